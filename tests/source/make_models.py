"""Run in a process of its own: save small models with the Keras at hand, and their weights."""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf


def save(keras, folder: Path) -> None:
    keras.utils.set_random_seed(7)
    inputs = keras.Input((4,), name="in")
    hidden = keras.layers.Dense(3, name="first")(inputs)
    hidden = keras.layers.Activation("relu", name="no_weights")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(2, name="out")(hidden))
    model.compile("adam", "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
    folder.mkdir()
    np.savez(folder / "weights.npz", *model.get_weights())
    model.save(folder / "model.h5")
    model.save(folder / "model.keras")


def save_bfloat16(keras, path: Path) -> None:
    layer = keras.layers.Dense(2, dtype="bfloat16", bias_initializer="ones")
    keras.Sequential([keras.Input((3,)), layer]).save(path)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    save(tf.keras, target / "keras")
    if hasattr(tf.keras, "ops"):  # Keras 3
        save_bfloat16(tf.keras, target / "keras" / "bfloat16.keras")
