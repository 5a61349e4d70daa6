"""What a thread has changed in the process for a while, and the locks that it holds meanwhile.

Two things end a change half-way: an interrupt, which may come between any two steps, and a fork,
whose child has all that was changed and none of the other threads. So whoever changes something of
the process says beforehand how it is undone; whoever may be interrupted undoes what was left; and a
child undoes what other threads had begun, frees their locks, and imports anew what they had not
imported to the end.

Programs that may never import TensorFlow import this module, so it imports nothing that a bare
interpreter has not imported.
"""

import _frozen_importlib
import os
import sys
from _thread import RLock, get_ident
from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

#: Changes by thread, in the order in which they were begun.
_begun: "dict[int, list[Change]]" = {}
_locks: "set[ref[Any]]" = set()


def lock() -> "Any":
    """Return a reentrant lock; in the child of a fork it is free unless the forking thread has it.

    What it guards must be right at each step, or be told as a `Change`.
    """
    made = RLock()
    _locks.add(ref(made, _locks.discard))
    return made


def has(lock: "Any") -> bool:
    """Say whether this thread has a lock that `lock` returned."""
    owned: bool = lock._is_owned()  # noqa: SLF001 - as `threading.Condition` asks
    return owned


class Change:
    """A change of the process while a block runs.

    Args:
        undo: undoes it, from whatever step on; it may be called more than once, and in another
            thread of a child process. What it sets in context variables is lost there.
    """

    def __init__(self, undo: "Callable[[], object]") -> None:
        self._undo: Callable[[], object] | None = undo

    def __enter__(self) -> None:
        _begun.setdefault(get_ident(), []).append(self)

    def __exit__(self, *_: object) -> None:
        self.undo()
        mine = _begun.get(get_ident(), [])
        if self in mine:
            mine.remove(self)
        if not mine:
            _begun.pop(get_ident(), None)

    def undo(self) -> None:
        """Undo the change, unless that was done."""
        if self._undo is not None:
            self._undo()
            self._undo = None


class undone_if_interrupted:  # noqa: N801 - a context manager, named as one that a function makes
    """Undo what changes are left of the block where it raises.

    An interrupt may keep the end of a change from running.
    """

    def __enter__(self) -> None:
        self._count = len(_begun.get(get_ident(), []))

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        traceback: "TracebackType | None",
    ) -> None:
        if kind is not None:
            _undo_from(get_ident(), self._count)


def _undo_from(thread: int, count: int) -> None:
    """Undo all changes of *thread* but the first *count*, the latest first."""
    mine = _begun.get(thread, [])
    for change in reversed(mine[count:]):
        change.undo()
    del mine[count:]
    if not mine:
        _begun.pop(thread, None)


#: Whose modules can be imported again, being nothing but Python.
_PACKAGES = ("fastload", "filelock")


def _in_child() -> None:
    """Free the locks of threads that this process does not have, and undo what they had begun."""
    from contextvars import copy_context

    _forget_imports()
    for found in [each() for each in list(_locks)]:
        if found is not None and not has(found):
            found._at_fork_reinit()  # noqa: SLF001 - as `logging` does
    for thread in _begun.keys() - {get_ident()}:
        copy_context().run(_undo_from, thread, 0)


def _forget_imports() -> None:
    """Have modules imported anew that another thread was importing: nobody would finish them."""
    locks: Any = getattr(_frozen_importlib, "_module_locks", {})
    for name, reference in list(locks.items()):
        owner = getattr(reference(), "owner", None)
        if name.partition(".")[0] in _PACKAGES and owner not in (None, get_ident()):
            del locks[name]
            sys.modules.pop(name, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
