"""runtime/core."""
