"""Make one object take another one's place: its state, and every reference to it.

Keras ties a model to itself: among the attributes of one there are its own bound methods, functions
that close over it, weak references to it, and tables of layers with itself for a key. An object
that takes the state alone would leave these with the object that was loaded; the two would be told
apart.
"""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable
from contextlib import suppress
from types import CellType, FrameType, MemberDescriptorType, MethodType
from typing import Any, Final

from fastload.runtime.late import true_dict

_logger: Final = logging.getLogger(__name__)


def taking_place(make: Callable[[], Any]) -> Callable[[Any], None]:
    """Return what revives a late object in the place of the one that *make* returns.

    Nobody else may hold what *make* returns.
    """

    def revive(self: Any) -> None:
        made = make()
        _adopt(made, self)
        tied, gone = weakref.getweakrefs(made), weakref.ref(made)
        del made
        if tied or gone() is not None:  # somebody holds it in a way that nobody foresaw
            _logger.warning("%s refers to an object beside itself; please report this", type(self))

    return revive


def _adopt(made: Any, self: Any) -> None:
    true_dict(self).update(vars(made))
    new: dict[int, Any] = {id(made): self}
    tied = [made]
    for each in [*gc.get_referrers(made), *weakref.getweakrefs(made)]:
        if type(each) is MethodType:
            new[id(each)] = MethodType(each.__func__, self)
        elif type(each) is weakref.ref:
            new[id(each)] = weakref.ref(self, each.__callback__)
        else:
            continue
        tied.append(each)
    for holder in gc.get_referrers(*tied):
        if holder is not tied:
            _replace_in(holder, new)


def _replace_in(holder: Any, new: dict[int, Any]) -> None:
    """Have *holder* refer to the values of *new*, where it refers to what has their ids."""
    if type(holder) is CellType:
        holder.cell_contents = new[id(holder.cell_contents)]
    elif type(holder) is list:
        holder[:] = [new.get(id(each), each) for each in holder]
    elif isinstance(holder, dict):
        _replace_in_dict(holder, new)
    elif isinstance(holder, set):
        _replace_in_set(holder, new)
    elif not isinstance(holder, (FrameType, MethodType, tuple)):
        _replace_in_attributes(holder, new)


def _replace_in_dict(holder: dict[Any, Any], new: dict[int, Any]) -> None:
    if any(id(key) in new for key in holder):  # the order of the keys stays
        items = list(holder.items())
        dict.clear(holder)
        for key, value in items:
            dict.__setitem__(holder, new.get(id(key), key), value)
    for key, value in list(holder.items()):
        if id(value) in new:
            dict.__setitem__(holder, key, new[id(value)])


def _replace_in_set(holder: set[Any], new: dict[int, Any]) -> None:
    for each in [each for each in holder if id(each) in new]:
        holder.discard(each)
        holder.add(new[id(each)])


def _replace_in_attributes(holder: Any, new: dict[int, Any]) -> None:
    """Do so in an instance, which in some Pythons has no dict before it is asked for one."""
    with suppress(AttributeError, StopIteration, TypeError):
        _replace_in_dict(true_dict(holder), new)
    slots = (each for kind in type(holder).__mro__ for each in vars(kind).values())
    for slot in slots:
        if type(slot) is MemberDescriptorType:
            with suppress(AttributeError, KeyError, TypeError):  # empty, another thing, or of C
                slot.__set__(holder, new[id(slot.__get__(holder))])
