"""Models of a few Dense layers, saved by each Keras at hand in each format that it writes."""

from __future__ import annotations

import hashlib
import importlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.installed import version_of

INPUTS = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What writes a model, and how.

    Attributes:
        generation: of Keras, 2 or 3.
        suffix: of the path; without one, Keras 2 writes a SavedModel.
    """

    generation: int
    suffix: str

    @property
    def id(self) -> str:
        return f"keras{self.generation}{self.suffix or '-saved_model'}"

    @property
    def package(self) -> str:
        """The module to import, which is also what `keras=` takes."""
        return package_of(self.generation)

    @property
    def stock(self) -> Any:
        """Keras itself; in 2.8 `tf.keras` has more than the package."""
        package = importlib.import_module(self.package)
        is_whole = hasattr(package.utils, "set_random_seed")
        return package if is_whole else importlib.import_module("keras.api._v2.keras")


SAVED_MODEL = Form(generation=2, suffix="")
KERAS2_HDF5 = Form(generation=2, suffix=".h5")
KERAS2_ARCHIVE = Form(generation=2, suffix=".keras")
KERAS3_HDF5 = Form(generation=3, suffix=".h5")
KERAS3_ARCHIVE = Form(generation=3, suffix=".keras")
FORMS = (SAVED_MODEL, KERAS2_HDF5, KERAS2_ARCHIVE, KERAS3_HDF5, KERAS3_ARCHIVE)
#: Those that stand for all where the format says little.
USUAL_FORMS = (SAVED_MODEL, KERAS3_ARCHIVE)


def by_format(form: Form, *others: str, is_usual: bool = True) -> Any:
    """Return a parameter, with *others* beside it, that a full run alone takes if it is unusual."""
    marks = () if is_usual and form in USUAL_FORMS else pytest.mark.full
    return pytest.param(form, *others, id="-".join([form.id, *others]), marks=marks)


#: For tests of the fixture `model` to which the format matters.
in_each_form = pytest.mark.parametrize("model", FORMS, ids=lambda form: form.id, indirect=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModel:
    """A model on disk that a test may do anything to."""

    form: Form
    path: Path

    def load_stock(self, **arguments: Any) -> Any:
        """Load it as its author would."""
        return self.form.stock.models.load_model(self.path, **arguments)


def package_of(generation: int) -> str:
    """Return the module that is Keras of that *generation* here; skip the test where none is."""
    for module, distribution in (("keras", "keras"), ("tf_keras", "tf-keras")):
        if version_of(distribution).split(".")[0] == str(generation):
            return module
    pytest.skip(f"no Keras {generation} in this environment")


def _set_random_seed(keras: Any, seed: int) -> None:
    utilities = keras.utils
    if not hasattr(utilities, "set_random_seed"):  # Keras 2.8 has it in TensorFlow's copy alone
        utilities = importlib.import_module("tensorflow").keras.utils
    utilities.set_random_seed(seed)


def dense_layers(keras: Any, names: str = "abc") -> list[Any]:
    return [keras.layers.Dense(4, activation="tanh", name=name) for name in names]


def functional_model(keras: Any, *, seed: int = 1) -> Any:
    """Make a functional model that was trained for a step."""
    _set_random_seed(keras, seed)
    inputs = hidden = keras.Input((4,), name="x")
    for layer in dense_layers(keras):
        hidden = layer(hidden)
    return _trained(keras, keras.Model(inputs, hidden))


def sequential_model(keras: Any, *, seed: int = 1) -> Any:
    """Make a sequential model that was trained for a step."""
    _set_random_seed(keras, seed)
    return _trained(keras, keras.Sequential([keras.Input((4,)), *dense_layers(keras)]))


def _trained(keras: Any, model: Any) -> Any:
    # Keras 3 cannot read its own HDF5 files where the loss was given as a string.
    model.compile("adam", keras.losses.MeanSquaredError())
    model.fit(INPUTS, np.ones((3, 4)), verbose=0)
    return model


def save(model: Any, path: Path) -> None:
    """Save *model* as its Keras does for that suffix."""
    model.save(path)


def copy_model(source: Path, target: Path) -> Path:
    """Copy a file or folder."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
    return target


def assert_same_model(expected: Any, actual: Any) -> None:
    """Check that two models are one: class, config, weights to the bit, optimizer, outputs."""
    assert type(actual) is type(expected)
    assert actual.get_config() == expected.get_config()
    assert_same_weights(expected, actual)
    ours, theirs = (getattr(model, "optimizer", None) for model in (actual, expected))
    assert type(ours) is type(theirs)
    if theirs is not None:
        assert_same_arrays(values(theirs), values(ours))


def assert_same_weights(expected: Any, actual: Any) -> None:
    """Check that two models compute the same with the same weights."""
    assert [each.name for each in actual.weights] == [each.name for each in expected.weights]
    assert_same_arrays(expected.get_weights(), actual.get_weights())
    assert_same_arrays([np.asarray(expected(INPUTS))], [np.asarray(actual(INPUTS))])


def values(optimizer: Any) -> list[Any]:
    """Return what an optimizer knows."""
    variables = optimizer.variables
    return [np.asarray(each) for each in (variables() if callable(variables) else variables)]


def assert_same_arrays(expected: list[Any], actual: list[Any]) -> None:
    """Check that two lists of arrays are the same, to the bit and in order."""
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert ours.tobytes() == theirs.tobytes()


def sha256(path: Path) -> str:
    """Return the digest of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
