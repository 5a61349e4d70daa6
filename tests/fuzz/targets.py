"""What is fuzzed: models of a few layers in each format, and what changes them."""

from __future__ import annotations

import importlib
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import mutations
from tests.fuzz.mutations import Dice, Mutation
from tests.session_models import save_session_model


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is fuzzed.

    Attributes:
        name: for the command line.
        package: the Keras that writes and loads it.
        suffix: of its files; none for a SavedModel.
        mutate: changes a copy of the model.
        of_twin: whether not the model is changed, but its twin.
    """

    name: str
    package: str
    suffix: str
    mutate: Mutation
    of_twin: bool = False

    def loader(self, seed: int) -> str:
        """Return whose loader opens the input of *seed*: of a SavedModel, TensorFlow's as well."""
        is_objects = not self.suffix and self.name != "keras_metadata.pb" and seed % 2
        return "tensorflow" if is_objects else self.package


def _twin(path: Path, dice: Dice) -> None:
    content = mutations.twin(path.read_bytes(), dice)
    changed = path.with_suffix(".changed")
    changed.write_bytes(content)
    changed.replace(path)


TARGETS = {
    each.name: each
    for each in (
        Target(name="keras2.h5", package="tf_keras", suffix=".h5", mutate=mutations.hdf5),
        Target(name="keras3.h5", package="keras", suffix=".h5", mutate=mutations.hdf5),
        Target(name="keras2.keras", package="tf_keras", suffix=".keras", mutate=mutations.archive),
        Target(name="keras3.keras", package="keras", suffix=".keras", mutate=mutations.archive),
        Target(
            name="keras_metadata.pb", package="tf_keras", suffix="", mutate=mutations.keras_metadata
        ),
        Target(name="saved_model.pb", package="tf_keras", suffix="", mutate=mutations.saved_model),
        Target(name="session.pb", package="tensorflow", suffix="", mutate=mutations.session_model),
        Target(name="checkpoint", package="tf_keras", suffix="", mutate=mutations.checkpoint),
        Target(name="twin.keras", package="keras", suffix=".keras", mutate=_twin, of_twin=True),
        Target(name="twin.tf", package="tf_keras", suffix="", mutate=_twin, of_twin=True),
    )
}


#: Models of TensorFlow 1, which no Keras writes.
_SESSION_MODELS = ("trained", "trained with resources", "vocabulary", "two signatures", "loop")


def save_models(target: Target, folder: Path) -> list[Path]:
    """Save the models that inputs are made of."""
    if target.package == "tensorflow":
        return [Path(save_session_model(name, folder / name)) for name in _SESSION_MODELS]
    keras = importlib.import_module(target.package)
    keras.utils.set_random_seed(1)
    paths = []
    for maker in (_functional, _sequential):
        path = folder / f"{maker.__name__}{target.suffix}"
        maker(keras, target.suffix).save(str(path))
        paths.append(path)
    return paths


def _functional(keras: Any, _: str) -> Any:
    """Return a trained model with branches."""
    x = keras.Input((4,), name="x")
    a = keras.layers.Dense(3, activation="tanh", name="a")(x)
    b = keras.layers.BatchNormalization(name="b")(keras.layers.Dense(3, name="c")(x))
    model = keras.Model(x, keras.layers.Add(name="y")([a, b]), name="m")
    model.compile("adam", keras.losses.MeanSquaredError())
    model.fit(np.ones((2, 4)), np.ones((2, 3)), verbose=0)
    return model


def _sequential(keras: Any, suffix: str) -> Any:
    """Return a model with words, which are an asset where the format has any."""
    layers = keras.layers
    words = layers.StringLookup(name="words", vocabulary=["a"] if suffix == ".h5" else None)
    if suffix != ".h5":
        words.adapt(["a", "b", "c"])
    rest = [layers.Embedding(6, 2, name="e"), layers.Flatten(), layers.Dense(1, name="y")]
    return keras.Sequential([layers.InputLayer((3,), dtype="string", name="x"), words, *rest])


def made(target: Target, source: Path, path: Path, seed: int) -> None:
    """Make the input of *seed* at *path*."""
    if source.is_dir():
        shutil.copytree(source, path)
    else:
        shutil.copy(source, path)
    target.mutate(path, random.Random(seed))
