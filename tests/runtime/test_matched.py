"""Classes that have more variables than the file has values; `options=` of the stock loaders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.errors import UnsupportedRequestError
from tests.small_models import KERAS2_HDF5, SAVED_MODEL, SavedModel

tf = pytest.importorskip("tensorflow")


def shifting(keras: Any, more: str | None = None) -> type[Any]:
    """Return a layer class; *more* says how it makes a second variable."""

    class Shifting(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def build(self, shape: Any) -> None:
            self.shift = self.add_weight(name="shift", shape=(shape[-1],), initializer="ones")
            if more == "weight":
                self.other = self.add_weight(name="other", shape=(2,), initializer="ones")
            if more == "variable":
                self.others = [tf.Variable([1.0, 2.0], name="other")]

        def call(self, x: Any) -> Any:
            return x + self.shift

    return Shifting


@pytest.fixture
def saved(tmp_path: Path, cache_root: Path) -> Path:
    """A model with two layers of a program's, and its twin."""
    keras = SAVED_MODEL.stock

    class Unknown(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return x * 2.0

    inputs = keras.Input((4,))
    hidden = shifting(keras)(name="shifting")(inputs)
    keras.Model(inputs, Unknown(name="unknown")(hidden)).save(tmp_path / "m")
    fastload.load_saved_model(str(tmp_path / "m"), strict=True)
    return tmp_path / "m"


def known(more: str | None) -> dict[str, Any]:
    """Return the custom objects with all classes at hand."""
    keras = SAVED_MODEL.stock
    doubling = type("Unknown", (keras.layers.Layer,), {"call": lambda self, x: x * 2.0})
    return {**with_one(more), "Unknown": doubling}


def with_one(more: str | None) -> dict[str, Any]:
    """Return the custom objects without the class of the other layer."""
    return {"Shifting": shifting(SAVED_MODEL.stock, more)}


def load(path: Path, objects: dict[str, Any], **arguments: Any) -> Any:
    return fastload.load_model(path, objects, keras=SAVED_MODEL.package, **arguments)


def outcome() -> tuple[str, str | None]:
    report = fastload.last_load()
    assert report is not None
    return report.outcome.value, report.code


def partial() -> Any:
    return tf.saved_model.LoadOptions(allow_partial_checkpoint=True)


@pytest.mark.parametrize("objects", [known, with_one], ids=["rebuilt", "revived"])
@pytest.mark.parametrize("more", ["weight", "variable"])
def test_a_variable_without_a_value_is_stocks_error(saved: Path, more: str, objects: Any) -> None:
    """Unless a partial checkpoint is allowed, which is served; either may come first."""
    stock = SAVED_MODEL.stock.models.load_model
    for _ in range(2):
        with pytest.raises(AssertionError) as expected:
            stock(saved, custom_objects=objects(more))
        with pytest.raises(AssertionError) as actual:
            load(saved, objects(more))
        assert outcome() == ("bypass", "FL105")
        assert str(actual.value).split("[", 1)[0] == str(expected.value).split("[", 1)[0]

        theirs = stock(saved, custom_objects=objects(more), options=partial())
        ours = load(saved, objects(more), options=partial(), strict=True)
        assert outcome() == ("hit", None)
        for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, other)

    load(saved, objects(None), strict=True)
    assert outcome() == ("hit", None)


def options_that_are_served() -> list[Any]:
    make = tf.saved_model.LoadOptions
    return [None, make(), partial(), make(experimental_io_device="/job:localhost")]


def test_options_that_change_nothing_are_served(saved: Path) -> None:
    for options in options_that_are_served():
        load(saved, known(None), options=options, strict=True)
        assert outcome() == ("hit", None)
        fastload.load_saved_model(saved, options=options, strict=True)
        assert outcome() == ("hit", None)


def test_other_options_are_for_stock(saved: Path) -> None:
    options = tf.saved_model.LoadOptions(experimental_io_device="/CPU:0")
    load(saved, known(None), options=options)
    assert outcome() == ("bypass", "FL206")
    fastload.load_saved_model(str(saved), options=options)
    assert outcome() == ("bypass", "FL206")
    if "experimental_variable_policy" in options.__slots__:  # not yet in TensorFlow 2.8
        policy = tf.saved_model.LoadOptions(
            experimental_variable_policy="expand_distributed_variables"
        )
        with pytest.raises(UnsupportedRequestError):
            load(saved, known(None), options=policy, strict=True)


def test_what_takes_no_options_is_stocks_error(model: SavedModel, cache_root: Path) -> None:
    """An argument that stock does not know is not swallowed."""
    if model.form in (SAVED_MODEL, KERAS2_HDF5):
        pytest.skip("it takes options")
    with pytest.raises((TypeError, ValueError)) as expected:
        model.load_stock(options=None)
    with pytest.raises(type(expected.value)) as actual:
        fastload.load_model(model.path, keras=model.form.package, options=None)

    assert str(actual.value) == str(expected.value)
