"""Modules that a thread is importing at the moment: whether it is so, and waiting for the end."""

from __future__ import annotations

import _frozen_importlib
import threading
from collections.abc import Callable
from typing import Any, Final

#: The locks of all modules that are being imported, as weak references by name.
_locks: Final[dict[str, Any]] = getattr(_frozen_importlib, "_module_locks", {})
#: What `import` calls for a module that is there but is not finished.
_wait: Final[Callable[[str], object]] = getattr(
    _frozen_importlib, "_lock_unlock_module", lambda _name: None
)


def is_being_imported(name: str) -> bool:
    """Say whether a thread, this one or another, has begun to import a module."""
    return _importer(name) is not None


def wait_for(name: str) -> None:
    """Wait while another thread is importing a module, as `import` does; import nothing.

    It returns at once if that thread was left behind by a fork, and if this one is importing a
    module itself: if the other needs that, Python would see a deadlock and hand it over unfinished.
    """
    me = threading.get_ident()
    others = {thread.ident for thread in threading.enumerate()} - {me, None}
    if _importer(name) in others and me not in map(_importer, list(_locks)):
        _wait(name)


def _importer(name: str) -> int | None:
    """Return the thread that is importing a module."""
    reference = _locks.get(name)
    return None if reference is None else getattr(reference(), "owner", None)
