"""Keras 2 configurations as Keras 3's: plain dictionaries in, plain dictionaries out."""
