"""Keras 2 models that are classes of their own, with ports of these to Keras 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import fastload
from fastload.errors import MigrationError
from fastload.keras2to3.keras2_files import model_of_archive
from fastload.keras2to3.proof import prove_against_model
from fastload.keras2to3.rules.rule import Record
from fastload.report import Outcome
from tests.keras2to3.conftest import seeded

INPUTS = np.random.default_rng(4).normal(size=(4, 3)).astype("float32")


def tower(keras: Any, depth: int = 2) -> Any:
    """Return a class of models whose archive has layers by attribute, in lists, and counted."""

    class Tower(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self, units: int) -> None:
            super().__init__()
            self.units = units
            self.first = keras.layers.Dense(units, activation="relu")
            self.middle = [keras.layers.Dense(units) for _ in range(depth)]
            self.norm = keras.layers.LayerNormalization()
            self.out = keras.layers.Dense(units)

        def call(self, inputs: Any) -> Any:
            x = self.first(inputs)
            for layer in self.middle:
                x = layer(x)
            return self.out(self.norm(x))

        def get_config(self) -> dict[str, Any]:
            return {"units": self.units}

        @classmethod
        def from_config(cls, config: Mapping[str, Any]) -> Any:
            return cls(**config)

    return Tower


@pytest.fixture
def saved(keras2: Any, tmp_path: Path) -> tuple[Any, Path]:
    """A model of Keras 2, and its archive."""
    model = tower(keras2)(units=3)
    model.build((None, 3))
    seeded(model)(INPUTS)
    model.save(str(tmp_path / "m.keras"))
    return model, tmp_path / "m.keras"


def test_a_ported_class_gets_each_weight(saved: tuple[Any, Path], keras3: Any) -> None:
    """All its layers have weights of one shape: none may go to another's place."""
    original, path = saved
    port = tower(keras3)

    for _ in range(2):
        model = fastload.load_model(path, {"Tower": port}, keras="keras")

        assert isinstance(model, port)
        np.testing.assert_allclose(model(INPUTS), original(INPUTS), rtol=1e-5, atol=1e-6)


def test_it_is_not_proved_because_nothing_says_what_it_takes(
    saved: tuple[Any, Path], keras3: Any
) -> None:
    original, path = saved
    ports = {"Tower": tower(keras3)}
    model = model_of_archive(path, keras3, lambda _: ports, Record())

    proof = prove_against_model(original, model)

    assert proof.unproved == "a subclassed model does not declare its inputs"


@pytest.mark.parametrize(
    ("depth", "told"), [(1, "has no 'dense_1' there"), (3, "the file has no value for it")]
)
def test_a_port_with_other_layers_is_refused(
    depth: int, told: str, saved: tuple[Any, Path], keras3: Any
) -> None:
    _, path = saved
    ports = {"Tower": tower(keras3, depth)}

    with pytest.raises(MigrationError, match=told):
        model_of_archive(path, keras3, lambda _: ports, Record())


def test_a_port_that_takes_another_shape_is_refused(saved: tuple[Any, Path], keras3: Any) -> None:
    class Tower(tower(keras3)):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return self.first(inputs[0]) + self.first(inputs[1], inputs[2])

    _, path = saved

    with pytest.raises(MigrationError, match="the file has no input shape that it can be"):
        model_of_archive(path, keras3, lambda _: {"Tower": Tower}, Record())


def bare(keras: Any, call: Callable[[Any, Any], Any]) -> Any:
    """Return a model of a class without a configuration, with two layers of its own."""

    class Bare(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first = keras.layers.Dense(4, activation="tanh")
            self.second = keras.layers.Dense(2)

        def call(self, inputs: Any) -> Any:
            return call(self, inputs)

    return Bare()


@pytest.fixture
def without_config(keras2: Any, tmp_path: Path) -> tuple[Any, Path]:
    """Such a model, trained, and its SavedModel."""
    model = bare(keras2, lambda model, x: model.second(model.first(x)))
    model.compile(keras2.optimizers.Adam(0.01), "mse")
    model.fit(INPUTS, np.ones((4, 2), "float32"), verbose=0)
    model.save(str(tmp_path / "m"), save_format="tf")
    return model, tmp_path / "m"


def test_a_model_without_a_configuration_is_one_layer(
    without_config: tuple[Any, Path], keras3: Any
) -> None:
    """Named after its class, with its weights, its compilation and the state of its optimizer."""
    original, path = without_config

    for _ in range(2):
        model = fastload.load_model(path, keras="keras")

        assert isinstance(model, keras3.Model)
        assert model.name == "Bare"
        np.testing.assert_allclose(model(INPUTS), original(INPUTS), rtol=1e-5, atol=1e-6)
        assert len(model.trainable_weights) == len(original.trainable_weights)
        assert np.asarray(model.optimizer.iterations) == 1
        assert model.loss == "mse"


def test_it_trains_as_in_keras_2(without_config: tuple[Any, Path], keras3: Any) -> None:
    original, path = without_config
    fastload.load_model(path, keras="keras")
    model = fastload.load_model(path, keras="keras")

    ours, theirs = (
        each.fit(INPUTS, np.ones((4, 2), "float32"), epochs=3, verbose=0).history["loss"]
        for each in (model, original)
    )

    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_it_can_be_saved_for_stock(
    without_config: tuple[Any, Path], keras3: Any, tmp_path: Path
) -> None:
    _, path = without_config
    model = fastload.load_model(path, keras="keras")

    model.save(tmp_path / "again.keras")

    again = keras3.models.load_model(tmp_path / "again.keras")
    np.testing.assert_array_equal(again(INPUTS), model(INPUTS))


@pytest.mark.parametrize("packed", [tuple, list, lambda pair: dict(zip("ab", pair, strict=True))])
def test_models_take_what_they_took(
    packed: Callable[[Any], Any], keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """Keras 3's files have lists for tuples; functions do not take one for the other."""

    def call(model: Any, pair: Any) -> Any:
        first, second = pair.values() if isinstance(pair, dict) else pair
        return {"out": model.second(model.first(first) * 2.0), "sum": first + second}

    given = packed((INPUTS, INPUTS * 2.0))
    original = bare(keras2, call)
    expected = original(given)
    original.save(str(tmp_path / "m"), save_format="tf")

    for _ in range(2):
        found = fastload.load_model(tmp_path / "m", keras="keras")(given)

        assert found.keys() == expected.keys()
        for name, each in expected.items():
            np.testing.assert_allclose(found[name], each, rtol=1e-5, atol=1e-6)


def test_a_model_whose_function_declares_no_shape(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """`squeeze` over an open axis: TensorFlow does not know what is left."""
    original = bare(keras2, lambda model, x: x * tf.expand_dims(tf.squeeze(x[:, :1]), 1))
    expected = original(INPUTS)
    original.save(str(tmp_path / "m"), save_format="tf")

    for _ in range(2):
        model = fastload.load_model(tmp_path / "m", keras="keras")

        assert model.output_shape == (None, 3)
        np.testing.assert_allclose(model(INPUTS), expected, rtol=1e-5, atol=1e-6)


def test_a_model_whose_metadata_are_gone(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """A package left out `keras_metadata.pb`; inputs are in the order of the model's."""
    inputs = [keras2.Input((3,), name="z"), keras2.Input((2,), name="a")]
    x = keras2.layers.Concatenate()([inputs[0] * 3.0, inputs[1]])
    original = seeded(keras2.Model(inputs, keras2.layers.Dense(2)(x)))
    original.save(str(tmp_path / "m"), save_format="tf")
    (tmp_path / "m" / "keras_metadata.pb").unlink()
    given = [INPUTS, INPUTS[:, :2]]

    assert fastload.explain(tmp_path / "m", keras="keras").outcome is Outcome.MISS
    for _ in range(2):
        model = fastload.load_model(tmp_path / "m", keras="keras")

        np.testing.assert_allclose(model(given), original(given), rtol=1e-5, atol=1e-6)


def test_functions_alone_are_no_keras_model(keras3: Any, tmp_path: Path, cache_root: Path) -> None:
    """`explain` says before a load what the load comes to, and what opens such a SavedModel."""
    tf.saved_model.save(tf.Module(), str(tmp_path / "module"))
    told = fastload.explain(tmp_path / "module", keras="keras")

    with pytest.raises(MigrationError, match=r"Use fastload\.load_saved_model, or") as caught:
        fastload.load_model(tmp_path / "module", keras="keras")
    assert told.reason == caught.value.explanation()
    assert (told.outcome, told.code) == (Outcome.BYPASS, "FL207")
    # Keras 2 makes an object of the functions.
    other = fastload.explain(tmp_path / "module", keras="tf_keras")
    assert other.outcome is Outcome.MISS


def test_a_class_with_a_configuration_needs_no_port_either(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """One that is passed goes before the function."""
    original = tower(keras2)(units=3)
    expected = original(INPUTS)
    original.save(str(tmp_path / "m"), save_format="tf")

    for objects in (None, {"Tower": tower(keras3)}, None):
        model = fastload.load_model(tmp_path / "m", objects, keras="keras")

        assert isinstance(model, keras3.Model)
        assert (type(model).__name__ == "Tower") is (objects is not None)
        np.testing.assert_allclose(model(INPUTS), expected, rtol=1e-5, atol=1e-6)
