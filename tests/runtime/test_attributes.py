"""The short cuts for attributes of layers leave on a layer what Keras's own method leaves."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.runtime.core.bookkeeping import _COUNTS, attribute_patch
from fastload.runtime.core.rebuild import Patch, Rebuild, rebuilding
from tests.needs import IS_FIRST_KERAS_3
from tests.small_models import package_of

pytest.importorskip("tensorflow")

#: What a layer may be given; several names get the same object, and a name several in turn.
VALUES = {
    "none": lambda layers: None,
    "yes": lambda layers: True,
    "no": lambda layers: False,
    "number": lambda layers: 2.5,
    "text": lambda layers: "text",
    "subclass of int": lambda layers: _Number(3),
    "numpy": lambda layers: np.float32(1.0),
    "list": lambda layers: [1, None],
    "tuple": lambda layers: (1, "a"),
    "dict": lambda layers: {"a": 1},
    "layer": lambda layers: layers.Activation("relu", name="inner"),
    "list of layers": lambda layers: [layers.Activation("relu", name="listed")],
    "variable": lambda layers: importlib.import_module("tensorflow").Variable([1.0], name="v"),
}
NAMES = ("a", "b", "c")
#: Turns tracking off; a property; an attribute of the class.
SWITCHES = ("_self_setattr_tracking", "trainable", "_auto_track_sub_layers")


class _Number(int):
    """A number that is no plain one."""


@pytest.fixture(scope="module", params=[2, 3], ids=["keras2", "keras3"])
def layers(request: pytest.FixtureRequest) -> Any:
    """The layers of each Keras at hand."""
    package = package_of(request.param)
    return importlib.import_module(package).layers


assignments = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(sorted(VALUES)))
    | st.tuples(st.sampled_from(SWITCHES), st.sampled_from(["yes", "no"])),
    max_size=12,
)


@given(steps=assignments)
def test_a_layer_is_left_as_by_keras(layers: Any, steps: list[tuple[str, str]]) -> None:
    """Attributes, their order, what is tracked, counts of references, errors."""
    values = {kind: make(layers) for kind, make in VALUES.items()}
    patch = _patch(layers)
    by_stock, by_us = (layers.Dense(2, name="made") for _ in range(2))

    told = [_told(by_stock, name, values[kind]) for name, kind in steps]
    with rebuilding(Rebuild(), [patch]):
        told_by_us = [_told(by_us, name, values[kind]) for name, kind in steps]

    assert told_by_us == told
    assert _traces(by_us) == _traces(by_stock)


def test_a_users_class_keeps_its_own_ways(layers: Any) -> None:
    """What a user's class does with its attributes is none of our business."""
    heard: list[str] = []

    class Listening(layers.Dense):  # type: ignore[misc, name-defined]
        def __setattr__(self, name: str, value: Any) -> None:
            heard.append(name)
            super().__setattr__(name, value)

    patch = _patch(layers)
    layer = Listening(2)
    with rebuilding(Rebuild(), [patch]):
        layer.mine = 1

    assert "mine" in heard
    assert layer.mine == 1


def test_a_method_that_does_something_else_is_not_patched(layers: Any) -> None:
    """The check at the first use: a `Layer` that numbers its assignments is not as expected."""

    class Changed(_base(layers)):  # type: ignore[misc]
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            vars(self)["assignments"] = vars(self).get("assignments", 0) + 1

    assert attribute_patch(Changed) is None


def _patch(layers: Any) -> Patch:
    patch = attribute_patch(_base(layers))
    if patch is None and _is_keras_2_8(layers):
        pytest.skip("Keras 2.8 counts references otherwise: its own method is used")
    if patch is None and IS_FIRST_KERAS_3:
        pytest.skip("Keras 3.0 and 3.1 have no such method: their own is used")
    assert patch is not None
    return patch


def _is_keras_2_8(layers: Any) -> bool:
    """Say whether a new layer is without its counts, which later versions of Keras 2 give it."""
    layer = _base(layers)()
    return _COUNTS not in vars(layer) and hasattr(layer, "_obj_reference_counts")


def _base(layers: Any) -> Any:
    """Return the class that has the `__setattr__` of all layers."""
    return next(
        c for c in layers.Dense.__mro__ if c.__name__ == "Layer" and "__setattr__" in vars(c)
    )


def _told(layer: Any, name: str, value: Any) -> str:
    try:
        setattr(layer, name, value)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "set"


def _traces(layer: Any) -> Any:
    """Return all that an assignment can leave; values by what they are, or else by identity."""
    counts = vars(layer).get("_obj_reference_counts_dict", {})
    return (
        [(name, _shown(value)) for name, value in vars(layer).items()],
        sorted((str(_shown(key)), count) for key, count in counts.items()),
        [variable.name for variable in layer.weights],
        [inner.name for inner in layer._flatten_layers()],
        sorted(layer._trackable_children()),
    )


def _shown(value: Any) -> Any:
    plain = (type(None), bool, int, float, str, tuple)
    if type(value) in plain:
        return value
    if isinstance(value, (list, dict, set)):
        return type(value).__name__, len(value)
    return type(value).__name__ if not inspect.isfunction(value) else value.__name__
