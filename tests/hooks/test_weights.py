"""`model.load_weights` of programs that nobody changed."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

import fastload
from fastload.report import Outcome
from tests.api.test_load_weights import aged, made
from tests.hooks.conftest import RunOpted
from tests.small_models import assert_same_arrays, package_of


@pytest.fixture(params=[3, 2], ids=["keras3", "keras2"])
def keras(request: pytest.FixtureRequest) -> Any:
    """A Keras."""
    package = importlib.import_module(package_of(request.param))
    is_whole = hasattr(package.utils, "set_random_seed")
    return package if is_whole else importlib.import_module("tensorflow").keras


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras"])
def test_the_method_is_served(keras: Any, suffix: str, tmp_path: Path, hooks: None) -> None:
    """The method that every program calls finds the twin, and stock's bits are in the model."""
    path = tmp_path / f"file{suffix}"
    source = made(keras)
    source.save_weights(path) if suffix == ".weights.h5" else source.save(path)
    model = made(keras, seed=2)
    for outcome in (Outcome.MISS, Outcome.HIT):
        assert model.load_weights(str(aged(path))) is None
        assert fastload.last_load().outcome is outcome
        assert_same_arrays(source.get_weights(), model.get_weights())
    with fastload.disabled():
        model.load_weights(path)
    assert_same_arrays(source.get_weights(), model.get_weights())


def test_the_method_is_served_of_shards(tmp_path: Path, hooks: None) -> None:
    """Weights in several files are one twin for the method too."""
    keras = importlib.import_module("keras")
    path = tmp_path / "file.weights.json"
    source, model = made(keras), made(keras, seed=2)
    try:
        source.save_weights(path, max_shard_size=1)
    except TypeError:
        pytest.skip("this Keras writes no shards")
    for each in tmp_path.iterdir():
        aged(each)
    for outcome in (Outcome.MISS, Outcome.HIT):
        assert model.load_weights(str(path)) is None
        assert fastload.last_load().outcome is outcome
    assert_same_arrays(source.get_weights(), model.get_weights())


def test_the_method_may_be_called_by_its_class(keras: Any, tmp_path: Path, hooks: None) -> None:
    """As a method of a subclass does that has the same name."""
    path = tmp_path / "file.h5"
    source = made(keras)
    source.save(path)
    model = made(keras, seed=2)

    keras.Model.load_weights(model, str(aged(path)))

    assert fastload.last_load().outcome is Outcome.MISS
    assert_same_arrays(source.get_weights(), model.get_weights())


def test_the_public_function_keeps_its_looks(hooks: None) -> None:
    """`keras.saving.load_weights` has stock's signature, and is put back."""
    keras = pytest.importorskip("keras")
    if not hasattr(getattr(keras, "saving", None), "load_weights"):
        pytest.skip("this Keras has no such function")
    parameters = ["model", "filepath", "skip_mismatch", "kwargs"]
    assert list(inspect.signature(keras.saving.load_weights).parameters) == parameters


def test_a_program_that_builds_and_loads(tmp_path: Path, run_opted: RunOpted) -> None:
    """A process under FASTLOAD=1 writes the twin, the next one maps it."""
    pytest.importorskip("keras")
    keras = importlib.import_module("keras")
    path = tmp_path / "file.h5"
    source = made(keras)
    source.save(path)
    program = """
import sys
import keras, numpy as np
layers = [keras.Input((4,)), *(keras.layers.Dense(4, name=name) for name in "abc")]
model = keras.Sequential(layers)
model.load_weights(sys.argv[1])
import fastload
print(fastload.last_load().outcome.value, model.get_weights()[0].tobytes().hex())
"""
    first = source.get_weights()[0].tobytes().hex()
    cache = {"FASTLOAD_CACHE_DIR": str(tmp_path / "cache")}
    for outcome in ("miss", "hit"):
        assert run_opted(program, aged(path), **cache) == f"{outcome} {first}"
