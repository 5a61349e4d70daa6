"""Keras 3: its own loaders, run over a twin.

In: a twin and the stock loader's arguments. Out: the model that stock returns. It does not know
Keras 2 or SavedModels, nor where twins are kept.
"""
