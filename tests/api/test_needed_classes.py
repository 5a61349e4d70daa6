"""`explain` names the classes that a program has to know before it can load a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fastload
from fastload.declarations import declare
from fastload.report import Outcome
from tests.conftest import SavedOnce
from tests.small_models import KERAS3_ARCHIVE

keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")


@pytest.fixture
def layer() -> Any:
    class Twice(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 2

    return Twice


@pytest.fixture
def path(layer: Any, tmp_path: Path) -> Path:
    if not keras.__version__.startswith("3."):
        pytest.skip("about files of Keras 3")
    found = tmp_path / "m.keras"
    keras.Sequential([keras.Input((3,)), layer(), keras.layers.Dense(2)]).save(found)
    return found


def told(path: Path) -> tuple[Outcome, bool]:
    """Return what a load would do, and whether it depends on a class."""
    found = fastload.explain(path, keras="keras")
    return found.outcome, "a program has to know Twice to load it" in found.reason


@pytest.mark.usefixtures("cache_root")
def test_a_class_of_a_program_is_named(path: Path, layer: Any) -> None:
    """It said `hit` and no more, where every load without the class fails as in stock."""
    assert told(path) == (Outcome.MISS, True)
    fastload.load_model(path, keras="keras", custom_objects={"Twice": layer})
    assert told(path) == (Outcome.HIT, True)
    declare({"Twice": "shop.layers:Twice"})
    assert told(path) == (Outcome.HIT, False)


def test_keras_s_own_classes_are_not(saved_once: SavedOnce, cache_root: Path) -> None:
    found = fastload.explain(saved_once(KERAS3_ARCHIVE), keras="keras")

    assert found.reason == "it has no twin yet; the first load writes it"
