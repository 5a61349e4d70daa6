"""Weights within a byte budget: who holds what, what goes, what is read next. No TensorFlow."""
