"""What a Keras model is made of at a moment, so that one can say later whether it still is.

Values are kept by identity, and weakly: the note keeps nothing alive. It reaches every layer, all
their attributes, and the lists and dicts in those. What a variable holds is not part of it.
"""

from __future__ import annotations

import weakref
from collections.abc import Container
from typing import Any, Final

_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes, type})
#: Names of attributes, and keys of dicts, are noted together.
_COMPARED: Final = frozenset({*_PLAIN, tuple})
_SEQUENCES: Final = (list, tuple, set, frozenset)
_CONTAINERS: Final = (dict, *_SEQUENCES)


def state_of(
    model: Any, layer_class: Any, ignored: Container[str], of_model: Container[str]
) -> list[Any]:
    """Return a note of what *model* is made of.

    Args:
        model: a Keras model.
        layer_class: of its layers.
        ignored: attributes that do not count.
        of_model: attributes of the model itself, not of its layers, that do not count.
    """
    kinds = _Kinds(layer_class)
    own = {name: value for name, value in vars(model).items() if name not in of_model}
    waiting: list[tuple[Any, bool]] = [(_without(own, ignored), True)]
    seen = {id(model)}
    note: list[Any] = []
    for holder, is_layer in waiting:  # which grows
        values = _contents(holder, note)
        note += [value if type(value) in _PLAIN else _reference(value) for value in values]
        for value, is_inner in kinds.holders(values, with_containers=is_layer):
            if id(value) not in seen:
                seen.add(id(value))
                waiting.append((_without(vars(value), ignored) if is_inner else value, is_inner))
    return note


def is_same(before: list[Any], after: list[Any]) -> bool:
    """Say whether two notes of a model tell the same of it."""
    return len(before) == len(after) and all(map(_are_same, before, after))


def _are_same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    return type(one) is type(other) and type(one) in _COMPARED and bool(one == other)


class _Kinds:
    """Which classes hold something that counts.

    Args:
        layer_class: of layers.
    """

    def __init__(self, layer_class: Any) -> None:
        self._layer_class = layer_class
        self._known = set(_PLAIN)
        self._layers: set[type] = set()
        self._containers: set[type] = set()

    def holders(self, values: list[Any], *, with_containers: bool) -> list[tuple[Any, bool]]:
        """Return the layers, and containers if asked, among *values*: and which are layers."""
        for kind in set(map(type, values)) - self._known:
            self._known.add(kind)
            if issubclass(kind, self._layer_class):
                self._layers.add(kind)
            elif issubclass(kind, _CONTAINERS):
                self._containers.add(kind)
        layers = self._layers
        wanted = layers | self._containers if with_containers else layers
        return [(value, type(value) in layers) for value in values if type(value) in wanted]


def _without(items: dict[str, Any], ignored: Container[str]) -> dict[str, Any]:
    return {name: value for name, value in items.items() if name not in ignored}


def _contents(holder: Any, note: list[Any]) -> list[Any]:
    """Return the values in *holder*, and note how they are called."""
    if isinstance(holder, dict):
        note.append(tuple([key if type(key) in _PLAIN else id(key) for key in holder]))
        return list(holder.values())
    return list(holder)


def _reference(value: Any) -> Any:
    try:
        # The same object as long as the value lives.
        return weakref.ref(value)
    except TypeError:
        # A container, whose contents are noted, or something small and without attributes.
        return type(value) if isinstance(value, _CONTAINERS) else value
