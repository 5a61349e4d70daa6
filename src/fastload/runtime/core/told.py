"""Warnings of a load that failed over the twin: stock, which tries again, does not repeat them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any, Final

from fastload.runtime.core.rebuild import Patch, patched
from fastload.unfinished import Change

#: Text, category and place.
Warned = tuple[str, Any, str, int]
#: Every warning that is shown, or recorded by `catch_warnings`, goes through it, also from C code.
_SHOWS: Final = "_showwarnmsg"


@dataclass(slots=True)
class Told:
    """The warnings of one load.

    Attributes:
        given: the warnings, in order.
        is_repeated: the load is one that tries again: it does not give them.
    """

    given: list[Warned] = field(default_factory=list)
    is_repeated: bool = False


_current: Final[ContextVar[Told | None]] = ContextVar("fastload_told", default=None)


@contextmanager
def noting(told: Told) -> Iterator[None]:
    """Note the warnings that the block gives, or keep back those that were given before."""
    patches = [Patch(warnings, _SHOWS, _noted)] if hasattr(warnings, _SHOWS) else []
    with Change(partial(_current.set, _current.get())), patched(patches):
        _current.set(told)
        yield


@contextmanager
def not_again(given: Sequence[Warned]) -> Iterator[None]:
    """Keep back each of these warnings, once."""
    if not given:
        yield
        return
    with noting(Told(given=list(given), is_repeated=True)):
        yield


def once_as_in(*modules: ModuleType) -> None:
    """Have copies of these modules' functions, made later, warn once where the modules would.

    Python notes in a module which warnings it has given there.
    """
    for module in modules:
        vars(module).setdefault("__warningregistry__", {})


def _noted(stock: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(stock)
    def show(warning: Any) -> None:
        told = _current.get()
        key = (str(warning.message), warning.category, warning.filename, warning.lineno)
        if told is not None and told.is_repeated and key in told.given:
            told.given.remove(key)
            return
        stock(warning)
        if told is not None and not told.is_repeated:
            told.given.append(key)

    return show
