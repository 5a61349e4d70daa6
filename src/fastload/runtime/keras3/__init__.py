"""runtime/keras3."""
