"""What differs between the backends of Keras 3: how a variable starts and gets its weight."""
