"""Twins that are published behind a load: the model is there before the disk has its twin.

A disk may take seconds for the bytes of a large twin. So the model is made of the file as it was
written; a thread hashes its weights, forces it to the disk, moves it to its place and frees the
lock of the entry. The interpreter waits for that thread at its end, as for all that are no daemons:
a program that loads a model and ends leaves a twin. What is killed leaves a partial file, as any
writer does.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event, Thread, main_thread
from typing import TYPE_CHECKING, Final

from fastload import system
from fastload.cache.publish import cache_faults, put_in_place
from fastload.errors import CacheError

if TYPE_CHECKING:
    from fastload.cache.entry import CacheEntry
    from fastload.loading.plan import Plan
    from fastload.twin.reader import Twin

_logger: Final = logging.getLogger("fastload")
#: Fewer bytes are on a disk as soon as a thread would have begun.
LEAST_BYTES: Final = 2**20
_SPARE_FILES: Final = 64
#: How long stock waits for descriptors; a disk may hang.
_PATIENCE_S: Final = 10.0
#: By the place of the twin. A child of a fork finds threads here that have ended.
_running: Final[dict[Path, Thread]] = {}


def is_worth_it(plan: Plan) -> bool:
    """Say whether the twin of *plan* can be published behind the load, and is large enough.

    What is lent is read from the published file, and what goes to a shared store is copied from it.
    Windows renames no file that is mapped. TensorFlow ends a process that can open no more files:
    the thread has some open while the program goes on. Nobody waits for threads that begin when the
    main one has ended. And the workers of a `multiprocessing.Pool` are killed when it ends, so that
    its first load might leave nothing, each time.
    """
    request = plan.request
    return (
        not system.IS_WINDOWS
        and request.weights != "lazy"
        and request.settings.remote is None
        and sum(file.size for file in plan.identity.source.files) >= LEAST_BYTES
        and system.may_open(_SPARE_FILES)
        and main_thread().is_alive()
        and not _is_killed_at_its_end()
    )


def _is_killed_at_its_end() -> bool:
    """Say whether this is a daemonic process of `multiprocessing`."""
    processes = sys.modules.get("multiprocessing.process")
    return processes is not None and bool(processes.current_process().daemon)


def publish_behind(plan: Plan, partial: Path, twin: Twin, locked: ExitStack) -> None:
    """Publish *twin*, which was opened from the file *partial*, in a thread.

    Args:
        plan: whose twin it is.
        partial: the file, complete.
        twin: what the model is made of.
        locked: what is left when it is published: the partial file, the entry's lock. The thread
            takes that over; where an interrupt comes before, the caller leaves it.
    """
    place = plan.identity.entry.path
    taken_over = Event()
    arguments = (plan, partial, twin, locked, taken_over)
    thread = Thread(target=_publish, args=arguments, name="fastload: publish a twin", daemon=False)
    _running[place] = thread
    try:
        thread.start()
        taken_over.wait()
    except RuntimeError:  # the interpreter ends, or the system has no more threads
        _publish(*arguments)


def wait_for(entry: CacheEntry, timeout_s: float) -> float:
    """Wait until the twin of *entry* is published, if a thread of this process is about it.

    Args:
        entry: the entry.
        timeout_s: how long to wait at most, in seconds.

    Returns:
        How long it waited, in seconds.
    """
    thread, begun_s = _running.get(entry.path), time.monotonic()
    if thread is not None:
        _join(thread, timeout_s)
    return time.monotonic() - begun_s


def wait_for_all() -> None:
    """Wait until no thread of this process is about a twin."""
    for thread in list(_running.values()):
        _join(thread)


def free_descriptors() -> None:
    """Wait for threads where a load by stock may find too few files that it can open."""
    for thread in list(_running.values()):
        if not system.may_open(_SPARE_FILES):
            _join(thread, _PATIENCE_S)


def _join(thread: Thread, timeout_s: float | None = None) -> None:
    with suppress(RuntimeError):  # it has not begun; or it is this one
        thread.join(timeout_s)


def _publish(plan: Plan, partial: Path, twin: Twin, locked: ExitStack, taken_over: Event) -> None:
    path, entry = plan.request.filepath, plan.identity.entry
    try:
        with locked.pop_all():
            taken_over.set()
            _put_in_place(partial, twin, entry)
        _evict(plan)
    except CacheError as error:
        _logger.warning("%s: its twin could not be published: %s", path, error)
    except Exception:
        _logger.warning("%s: its twin could not be published", path, exc_info=True)
    finally:
        taken_over.set()
        _running.pop(entry.path, None)


def _put_in_place(partial: Path, twin: Twin, entry: CacheEntry) -> None:
    # Imported here, as below: the module of a load that publishes nothing.
    from fastload.twin.digests import add_digests

    try:
        with cache_faults(entry.cache.root):
            add_digests(partial)
        put_in_place(partial, entry.path, durable=True)
    except CacheError:
        # A page that the disk did not take may be read from it as something else later.
        twin.keep_in_memory()
        raise


def _evict(plan: Plan) -> None:
    from fastload.cache.eviction import evict_after_writing
    from fastload.twin.sources import known_sources

    entry, limit_bytes = plan.identity.entry, plan.request.settings.cache_max_size_bytes
    evict_after_writing(entry.cache, limit_bytes, known_sources, entry.name)
