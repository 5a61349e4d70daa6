"""What the user pointed at: its kind, its files, its content; nothing here imports TensorFlow."""
