"""A walk over Keras 3's objects sees what Keras's own walk sees."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from tests.small_models import functional_model

keras = pytest.importorskip("keras", minversion="3.6")


def _walks() -> tuple[Any, Any]:
    """Return Keras's walk, and ours."""
    from fastload.runtime.core.state_readers import StateReaders
    from fastload.runtime.keras3.keras3_loaders import keras3
    from fastload.runtime.keras3.state_walk import walking

    parts = keras3()
    readers = StateReaders(of_programs=True)
    ours = walking(parts.saving_lib, parts.global_state, readers, {})
    return parts.saving_lib._walk_saveable, ours["_walk_saveable"]


def _seen(walk: Any, found: Any) -> list[tuple[str, int]]:
    return [(name, id(each)) for name, each in walk(found) if _is_kept(each)]


def _is_kept(value: Any) -> bool:
    """Leave out what is made anew each time that it is asked for."""
    saveable = importlib.import_module("keras.src.saving.keras_saveable").KerasSaveable
    return isinstance(value, saveable)


class Own(keras.layers.Layer):  # type: ignore[misc, name-defined]
    """A layer of a program, with attributes of its class and of its own."""

    shared = keras.layers.Dense(2)

    def __init__(self) -> None:
        super().__init__()
        self._private = keras.layers.Dense(3)
        self.listed = [keras.layers.Dense(4)]

    @property
    def computed(self) -> Any:
        return self._private


class Listing(Own):
    """A layer that says itself which names it has."""

    def __dir__(self) -> list[str]:
        return ["listed", "computed"]


def test_the_walk_sees_the_same_in_the_same_order() -> None:
    """Names and objects, for models, layers, optimizers, metrics, and classes of a program."""
    stock, ours = _walks()
    model = functional_model(keras)
    objects = [model, *model.layers, model.optimizer, *model.metrics, Own(), Listing()]
    objects += [keras.layers.LSTM(2), keras.layers.Bidirectional(keras.layers.LSTM(2))]
    for each in objects:
        assert _seen(ours, each) == _seen(stock, each)
        assert [name for name, _ in ours(each)] == [name for name, _ in stock(each)]


def test_the_module_keeps_its_own_dir() -> None:
    """What stands for `dir` is seen by the copies alone."""
    _walks()
    lib = importlib.import_module("keras.src.saving.saving_lib")
    assert "dir" not in vars(lib)
