"""How TensorFlow is imported: in less time, and only as much of it as is needed."""
