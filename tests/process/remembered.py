"""Makes, or loads and uses, a model with many kinds of layers: `remembered.py KERAS PATH [use]`.

What is said of code that is not what it was goes to standard error.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

import numpy as np

INPUTS = [np.ones((2, 6, 4), "float32"), np.ones((2, 5), "int32")]


def make(keras: Any, path: str) -> None:
    """Save the model at *path*, if stock opens it there."""
    layers = keras.layers
    series, words = keras.Input((6, 4)), keras.Input((5,), dtype="int32")
    x = layers.Masking()(series)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True, dropout=0.1))(x)
    x = layers.GRU(3, return_sequences=True)(x)
    x = layers.LayerNormalization()(x)
    if not keras.__version__.startswith(("2.8.", "2.9.")):  # which load it from functions alone
        x = layers.MultiHeadAttention(2, 2)(x, x)
    x = layers.BatchNormalization()(layers.Conv1D(4, 2, padding="same")(x))
    x = layers.SimpleRNN(3)(layers.ReLU()(x))
    y = layers.GlobalAveragePooling1D()(layers.Embedding(10, 3)(words))
    x = layers.Dropout(0.2)(layers.Concatenate()([x, y]))
    model = keras.Model([series, words], layers.Dense(3, activation="softmax")(x))
    model.compile("adam", keras.losses.MeanSquaredError())
    model.save(path)
    keras.models.load_model(path)  # Keras 3.0 cannot


def use(keras: Any, path: str) -> None:
    """Load it, predict, and load its predictor."""
    fastload = importlib.import_module("fastload")
    logging.getLogger("fastload.runtime.core.code_files").addHandler(logging.StreamHandler())
    logging.getLogger("fastload").setLevel(logging.INFO)
    fastload.load_model(path, keras=keras.__name__).predict(INPUTS, verbose=0)
    fastload.load_predictor(path, keras=keras.__name__)


if __name__ == "__main__":
    module = importlib.import_module(sys.argv[1])
    (use if sys.argv[3:] else make)(module, sys.argv[2])
