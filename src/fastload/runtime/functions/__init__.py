"""runtime/functions."""
