"""Keras 3's walk over the objects of a model that have variables, with less to look at in vain.

Keras asks each object for all names that it has, and skips those that any layer has. The functions
are Keras's own; they get names that were sorted out once for each class.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from fastload.runtime.core.global_state import KERAS3_NAMES
from fastload.runtime.core.state_readers import StateReaders
from fastload.runtime.core.transplant import Overlay, transplant

#: What is looked up in the module by the name that it has there.
_SKIPSETS = "get_attr_skipset"


def walking(
    saving_lib: ModuleType,
    global_state: ModuleType,
    readers: StateReaders,
    replaced: Mapping[str, Any],
) -> dict[str, Any]:
    """Return `transplant(saving_lib, replaced)` with a faster walk, known to *readers*.

    Args:
        saving_lib: Keras's module.
        global_state: that with the counters behind automatic names.
        readers: learns who reads the state of each object.
        replaced: as for `transplant`.
    """
    own: dict[str, Any] = {}
    builtin: dict[str, Any] = {"hasattr": readers.hasattr}
    if is_since_3_6(saving_lib):
        walk = _Walk(getattr(saving_lib, _SKIPSETS), global_state)
        own[_SKIPSETS] = walk.skipset
        own["file_utils"] = Overlay(saving_lib.file_utils, {"join": _join})
        builtin["dir"] = walk.names
    names = transplant(saving_lib, own | dict(replaced))
    names.update(builtin)  # in place: the copies of the module's functions look them up here
    return names


def is_since_3_6(saving_lib: ModuleType) -> bool:
    """Say whether this is Keras 3.6 or later, by the name of a function: it was another before."""
    return hasattr(saving_lib, _SKIPSETS)


def _join(path: str, *others: str) -> str:
    """Join as Keras does: paths of objects begin with an attribute, and are nowhere remote."""
    return os.path.join(path, *others)  # noqa: PTH118 - as Keras does


class _Walk:
    """What one walk has found out about kinds of objects.

    Keras 3.6 and later store a skip set under one name and look it up under another, so they create
    a new reference object for every layer of the model. Each advances the counters behind automatic
    names; they are advanced here too.
    """

    def __init__(self, stock: Callable[[str], set[str]], global_state: ModuleType) -> None:
        self._stock = stock
        self._global_state = global_state
        self._skipped: dict[str, tuple[set[str], dict[str, int]]] = {}
        self._of_class: dict[tuple[type[Any], str], list[str]] = {}

    def skipset(self, obj_type: str) -> set[str]:
        """Return the names that a walk skips in objects of a type, by Keras's name of it."""
        if obj_type in self._skipped:
            self._advance(self._skipped[obj_type][1])
        else:
            before = self._counters()
            skipset = self._stock(obj_type)
            taken = {name: n - before.get(name, 0) for name, n in self._counters().items()}
            self._skipped[obj_type] = (skipset, taken)
        return self._skipped[obj_type][0]

    def names(self, saveable: Any) -> list[str]:
        """Return what `dir` does, but for names that are skipped; those may be left in."""
        kind: Any = type(saveable)
        if kind.__dir__ is not object.__dir__ or not hasattr(saveable, "__dict__"):
            return dir(saveable)
        found = self._skipped.get(saveable._obj_type())
        skipped = set() if found is None else found[0]
        key = (kind, "" if found is None else saveable._obj_type())
        if key not in self._of_class:
            self._of_class[key] = _others(dir(kind), skipped)
        return list({**dict.fromkeys(self._of_class[key]), **vars(saveable)})

    def _counters(self) -> dict[str, int]:
        return dict(self._global_state.get_global_attribute(KERAS3_NAMES, default={}))

    def _advance(self, taken: Mapping[str, int]) -> None:
        counters = self._global_state.get_global_attribute(KERAS3_NAMES, default={})
        for name, count in taken.items():
            if count:
                counters[name] += count


def _others(names: list[str], skipped: set[str]) -> list[str]:
    return [name for name in names if not name.startswith("__") and name not in skipped]
