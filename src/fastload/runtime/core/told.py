"""What code tells the user: warnings, and what it logs.

Stock, which tries again where a load failed over the twin, does not repeat its warnings. What is
kept in place of code that tells something would not tell it.
"""

from __future__ import annotations

import functools
import logging
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
#: What no program shows but one that asks for it.
_UNSEEN: Final = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


@dataclass(slots=True)
class Told:
    """What one load, or one trace, tells.

    Attributes:
        given: the warnings, in order.
        is_repeated: the load is one that tries again: it does not give them.
        heard: how often something was told, if perhaps not in this process, which may filter it
            out; counted by `hearing`.
    """

    given: list[Warned] = field(default_factory=list)
    is_repeated: bool = False
    heard: int = 0


_current: Final[ContextVar[Told | None]] = ContextVar("fastload_told", default=None)


@contextmanager
def noting(told: Told) -> Iterator[None]:
    """Note the warnings that the block gives, or keep back those that were given before."""
    patches = [Patch(warnings, _SHOWS, _noted)] if hasattr(warnings, _SHOWS) else []
    with Change(partial(_current.set, _current.get())), patched(patches):
        _current.set(told)
        yield


@contextmanager
def hearing(told: Told) -> Iterator[None]:
    """Note how often the block tells something: here, or in a process that filters less."""
    patches = [
        Patch(warnings, "warn", _heard_warning),
        Patch(logging.Logger, "isEnabledFor", _heard_log),
    ]
    with noting(told), patched(patches):
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
            told.heard += 1

    return show


def _heard_warning(stock: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(stock)
    def warn(
        message: Any, category: Any = None, stacklevel: int = 1, source: Any = None, **more: Any
    ) -> None:
        kind = type(message) if isinstance(message, Warning) else category or UserWarning
        _hear(is_seen=not issubclass(kind, _UNSEEN))
        stock(message, category, max(stacklevel, 1) + 1, source, **more)

    return warn


def _heard_log(stock: Callable[[Any, int], bool]) -> Callable[[Any, int], bool]:
    @functools.wraps(stock)
    def is_enabled_for(logger: Any, level: int) -> bool:
        """Every record is asked for here first."""
        _hear(is_seen=level >= logging.WARNING)
        return stock(logger, level)

    return is_enabled_for


def _hear(*, is_seen: bool) -> None:
    told = _current.get()
    if told is not None:
        told.heard += is_seen
