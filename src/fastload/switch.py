"""State of this thread or async task: whether the caller switched fastload on or off, and whether
a load is running.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from fastload.unfinished import Change

_choice: Final[ContextVar[bool | None]] = ContextVar("fastload_choice", default=None)
_loading: Final[ContextVar[bool]] = ContextVar("fastload_loading", default=False)


def choice() -> bool | None:
    """Return the value of the innermost `switched` block around this call; None outside of any."""
    return _choice.get()


@contextmanager
def switched(*, on: bool) -> Iterator[None]:
    """Switch fastload on or off in the block, for this thread or async task only."""
    with Change(partial(_choice.set, _choice.get())):
        _choice.set(on)
        yield


@contextmanager
def loading() -> Iterator[None]:
    """Mark the block as part of a load: calls of stock loaders in it are not served."""
    with Change(partial(_loading.set, _loading.get())):
        _loading.set(True)
        yield


def as_stock(loader: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls *loader* as part of a load: what that calls is not served."""

    def load(*args: Any, **kwargs: Any) -> Any:
        with loading():
            return loader(*args, **kwargs)

    return load


def is_loading() -> bool:
    """Return whether this call is made by a load of fastload's."""
    return _loading.get()
