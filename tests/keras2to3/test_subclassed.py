"""Keras 2 models that are classes of their own, with ports of these to Keras 3."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.errors import MigrationError
from fastload.keras2to3.keras2_files import model_of_archive
from fastload.keras2to3.proof import prove_against_model
from fastload.keras2to3.rules.rule import Record
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


def test_a_saved_model_without_a_configuration_is_refused_for_that(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """To pass a class for it would not help."""

    class Bare(keras2.Model):  # type: ignore[misc, name-defined]
        def __init__(self, units: int) -> None:
            super().__init__()
            self.out = keras2.layers.Dense(units)

        def call(self, inputs: Any) -> Any:
            return self.out(inputs)

        def get_config(self) -> Any:
            raise NotImplementedError

    model = Bare(units=3)
    model(INPUTS)
    model.save(str(tmp_path / "m"), save_format="tf")

    with pytest.raises(MigrationError, match="a model of class Bare: it has no configuration"):
        fastload.load_model(tmp_path / "m", {"Bare": Bare}, keras="keras")
