"""runtime/saved_model."""
