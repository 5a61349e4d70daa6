"""`explain` names the classes that a program has to know before it can load a model."""

from __future__ import annotations

import zipfile
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


@pytest.mark.usefixtures("cache_root")
@pytest.mark.parametrize("depth", [600, 50_000])
def test_a_configuration_that_is_nested_deeply_is_explained(
    path: Path, tmp_path: Path, depth: int
) -> None:
    """As far as it can be read; where not, it is a bypass, as the load is."""
    deep = tmp_path / "deep.keras"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(deep, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                content = content.rstrip()[:-1] + b', "deep": ' + b"[" * depth + b"]" * depth + b"}"
            target.writestr(name, content)

    outcome, names_the_class = told(deep)

    assert outcome is (Outcome.MISS if names_the_class else Outcome.BYPASS)
    assert names_the_class == (depth == 600)
