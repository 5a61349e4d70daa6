"""runtime/keras2."""
