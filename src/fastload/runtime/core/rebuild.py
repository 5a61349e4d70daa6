"""One rebuild of a model: variables that wait for their weights, patches that make them wait.

While a rebuild runs in a context (thread or async task), Keras's own code creates the variables; a
patch of the one function through which Keras creates them returns blank ones instead of random
ones. Other threads that make layers at the same moment pass through the patch unchanged, and the
patch is removed when the last rebuild ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from fastload.runtime.core.zero_copy import BlankSheet


@dataclass(slots=True)
class Rebuild:
    """The state of one rebuild.

    Attributes:
        sheet: where blank variables lie.
        blanks: every blank variable, with what returns its stock initial value.
        filled: ids of variables that are known to have their weights.
        zeros: what blank variables hold on backends other than TensorFlow.
        lent: tensors over the twin, by address, where each goes to one variable only.
        unfilled: on these backends, what gives a variable without weights its initial value.
        spec_cache: recorded output specs of layer calls; None where all calls are traced.
        argspecs: signatures of functions that Keras inspected.
        wrapping: switches the wrapping of kernels; None until the first operation, see
            `bookkeeping`.
    """

    sheet: BlankSheet = field(default_factory=BlankSheet)
    blanks: list[tuple[Any, Callable[[], Any]]] = field(default_factory=list)
    filled: set[int] = field(default_factory=set)
    zeros: dict[Any, Any] = field(default_factory=dict)
    lent: dict[int, Any] = field(default_factory=dict)
    unfilled: list[Callable[[], None]] = field(default_factory=list)
    spec_cache: Any = None
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
class Patch:
    """A function of Keras's or TensorFlow's that is replaced during a rebuild.

    Attributes:
        holder: the class or module that holds it.
        name: its attribute name.
        make: returns the replacement of the stock function that it is given.
    """

    holder: Any
    name: str
    make: Callable[[Callable[..., Any]], Callable[..., Any]]


_lock = threading.Lock()
_users: dict[tuple[int, str], int] = {}
_stock: dict[tuple[int, str], Any] = {}


@contextmanager
def rebuilding(rebuild: Rebuild, patches: Sequence[Patch]) -> Iterator[None]:
    """Run the block as *rebuild*, with *patches* in place; fill what is still blank at the end."""
    with ExitStack() as opened:
        for patch in patches:
            _open(patch)
            opened.callback(_close, patch)
        token = _current.set(rebuild)
        opened.callback(_current.reset, token)
        yield
        rebuild.fill_forgotten()


def _open(patch: Patch) -> None:
    key = (id(patch.holder), patch.name)
    with _lock:
        if not _users.get(key):
            _stock[key] = vars(patch.holder)[patch.name]
            setattr(patch.holder, patch.name, patch.make(_stock[key]))
        _users[key] = _users.get(key, 0) + 1


def _close(patch: Patch) -> None:
    key = (id(patch.holder), patch.name)
    with _lock:
        _users[key] -= 1
        if not _users[key]:
            setattr(patch.holder, patch.name, _stock.pop(key))


_KERAS: Final = "keras."


def can_come_later(initializer: Any, base: type[Any]) -> bool:
    """Say whether *initializer* returns the same value when called later, without side effects.

    Keras's own do if their seed is a number: they draw from a state of their own each time. One
    that is seeded by a generator advances it, and a custom class may do anything.

    Args:
        initializer: the initializer of a variable.
        base: Keras's base class of initializers.
    """
    return (
        isinstance(initializer, base)
        and type(initializer).__module__.startswith(_KERAS)
        and isinstance(getattr(initializer, "seed", 0), int)
    )
