"""One rebuild of a model: which variables wait for their weights, and the taps that make them wait.

While a rebuild runs in a context (thread or async task), Keras's own code makes the variables; a
tap on the one function through which Keras makes them hands out blank ones instead of random ones.
Other threads that make layers at the same moment pass through the tap untouched, and the tap is
gone when the last rebuild ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from fastload.runtime.core.zero_copy import BlankSheet


@dataclass(slots=True)
class Rebuild:
    """The state of one rebuild.

    Attributes:
        sheet: where blank variables lie.
        blanks: every blank variable, with the stock way to its initial value.
        filled: ids of variables that are known to have their weights.
        zeros: what blank variables hold on other backends than TensorFlow.
        lent: tensors over the twin, by address, where each goes to one variable only.
        unfilled: give a variable of these backends its initial value, if it got no weights.
        tape: recorded or replayed output specs, or None where layer calls are traced as ever.
        argspecs: signatures of functions that Keras asked for.
        wrapping: switches the wrapping of kernels; None until the first operation, see `kernels`.
    """

    sheet: BlankSheet = field(default_factory=BlankSheet)
    blanks: list[tuple[Any, Callable[[], Any]]] = field(default_factory=list)
    filled: set[int] = field(default_factory=set)
    zeros: dict[Any, Any] = field(default_factory=dict)
    lent: dict[int, Any] = field(default_factory=dict)
    unfilled: list[Callable[[], None]] = field(default_factory=list)
    tape: Any = None
    argspecs: dict[Any, Any] = field(default_factory=dict)
    wrapping: Callable[[bool], None] | None = None

    def fill_forgotten(self) -> None:
        """Give every variable that got no weights the initial value that stock gives it."""
        for variable, initial_value in self.blanks:
            if id(variable) not in self.filled and self.sheet.holds(variable.value()):
                variable.assign(initial_value())
        for fill in self.unfilled:
            fill()


_current: ContextVar[Rebuild | None] = ContextVar("fastload_rebuild", default=None)


def current_rebuild() -> Rebuild | None:
    """Return the rebuild that runs in this context, or None."""
    return _current.get()


@dataclass(frozen=True, slots=True)
class Tap:
    """A function of Keras that a rebuild listens to.

    Attributes:
        holder: the class or module that has it.
        name: its attribute name.
        make: given the stock function, returns the one to put in its place.
    """

    holder: Any
    name: str
    make: Callable[[Callable[..., Any]], Callable[..., Any]]


_lock = threading.Lock()
_users: dict[tuple[int, str], int] = {}
_stock: dict[tuple[int, str], Any] = {}


@contextmanager
def rebuilding(rebuild: Rebuild, taps: Sequence[Tap]) -> Iterator[None]:
    """Run the block as *rebuild*, with *taps* in place; fill what is still blank at the end."""
    with ExitStack() as opened:
        for tap in taps:
            _open(tap)
            opened.callback(_close, tap)
        token = _current.set(rebuild)
        opened.callback(_current.reset, token)
        yield
        rebuild.fill_forgotten()


def _open(tap: Tap) -> None:
    key = (id(tap.holder), tap.name)
    with _lock:
        if not _users.get(key):
            _stock[key] = vars(tap.holder)[tap.name]
            setattr(tap.holder, tap.name, tap.make(_stock[key]))
        _users[key] = _users.get(key, 0) + 1


def _close(tap: Tap) -> None:
    key = (id(tap.holder), tap.name)
    with _lock:
        _users[key] -= 1
        if not _users[key]:
            setattr(tap.holder, tap.name, _stock.pop(key))
