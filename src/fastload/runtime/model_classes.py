"""Keras's own classes of models that predict by their function alone."""

from __future__ import annotations

from typing import Any, Final

from fastload.runtime.flavour import KERAS2, Flavour
from fastload.runtime.inference import input_structure
from fastload.runtime.tensorflow import first_module

#: The names of the classes.
PLAIN_CLASSES: Final = frozenset({"Sequential", "Functional"})
_FUNCTIONAL: Final = {
    "keras2": ("{package}.src.engine.functional", "{package}.engine.functional"),
    "keras3": ("{package}.src.models.functional",),
}


def plain_class(chosen: Flavour, name: str) -> Any:
    """Return Keras's class of models called *name*; None if it has none."""
    return _classes(chosen).get(name)


def plain_class_name(chosen: Flavour, model: Any) -> str:
    """Return the name of the class of *model*; a sentence if its `predict` does more than that."""
    names = [name for name, kind in _classes(chosen).items() if type(model) is kind]
    if not names:
        return f"it is a {type(model).__name__}"
    if not getattr(model, "inputs", None):
        return "it does not say what it takes before it is called"
    if model.run_eagerly or model.jit_compile:
        return "it runs eagerly, or is compiled by XLA"
    if int(_steps_per_execution(chosen, model)) != 1:
        return "it predicts several steps at a time"
    return names[0]


def input_form(model: Any) -> str | None:
    """Return how *model* takes its inputs: `one`, `list` or `dict`; None for any other way."""
    structure = input_structure(model)
    if isinstance(structure, dict):
        values, form = list(structure.values()), "dict"
    elif isinstance(structure, (list, tuple)):
        values, form = list(structure), "list"
    else:
        return "one"
    is_flat = not any(isinstance(each, (dict, list, tuple)) for each in values)
    return form if is_flat and len(values) > 1 else None


def layer_names(model: Any) -> set[str]:
    """Return the names of *model* and of all layers in it, and in those."""
    return {layer.name for layer in model._flatten_layers()}


def _steps_per_execution(chosen: Flavour, model: Any) -> Any:
    steps = getattr(
        model, "_steps_per_execution" if chosen.name == KERAS2 else "steps_per_execution"
    )
    return 1 if steps is None else steps


def _classes(chosen: Flavour) -> dict[str, Any]:
    names = (name.format(package=chosen.package) for name in _FUNCTIONAL[chosen.name])
    functional = getattr(first_module(*names), "Functional", None)
    found = {"Sequential": chosen.keras.Sequential}
    return found if functional is None else {**found, "Functional": functional}
