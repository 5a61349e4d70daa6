"""Keras 2 (tf-keras, and `tf.keras` up to TensorFlow 2.15): its own loaders, run over a twin.

In: a twin, the stock loader's arguments, recorded output specs. Out: the model that stock returns.
It does not know Keras 3, nor where twins are kept.
"""
