"""Make one object take another one's place: its state, and every reference to it.

Keras ties a model to itself: an instance of Keras 3 has its own bound methods, and functions that
close over it, among its attributes. An object that takes the state alone would leave these with
the object that was loaded; the two would be told apart.
"""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterable
from types import CellType, MethodType
from typing import Any, Final

from fastload.runtime.late import true_dict

_logger: Final = logging.getLogger(__name__)


def taking_place(make: Callable[[], Any]) -> Callable[[Any], None]:
    """Return what revives a late object in the place of the one that *make* returns.

    Nobody else may hold what *make* returns.
    """

    def revive(self: Any) -> None:
        gone = _adopt(make(), self)
        if gone() is not None:  # somebody holds it in a way that nobody foresaw
            _logger.warning("%s refers to an object beside itself; please report this", type(self))

    return revive


def _adopt(made: Any, self: Any) -> weakref.ref[Any]:
    true_dict(self).update(vars(made))
    _replace([made, *_methods_of(made)], self)
    return weakref.ref(made)


def _methods_of(made: Any) -> Iterable[MethodType]:
    return (each for each in gc.get_referrers(made) if type(each) is MethodType)


def _replace(objects: list[Any], self: Any) -> None:
    """Have everything that refers to one of *objects* refer to *self*, or to its like method."""
    made = objects[0]
    new = {id(made): self} | {id(each): MethodType(each.__func__, self) for each in objects[1:]}
    for holder in gc.get_referrers(*objects):
        if holder is objects:
            continue
        if type(holder) is CellType:
            holder.cell_contents = new[id(holder.cell_contents)]
        elif isinstance(holder, dict):
            _replace_values(holder, new)
        elif type(holder) is list:
            holder[:] = [new.get(id(each), each) for each in holder]


def _replace_values(holder: dict[Any, Any], new: dict[int, Any]) -> None:
    for key, value in list(holder.items()):
        if id(value) in new:
            holder[key] = new[id(value)]
