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
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final

from fastload import system
from fastload.cache.publish import cache_faults, put_in_place
from fastload.errors import CacheError

if TYPE_CHECKING:
    from fastload.cache.entry import CacheEntry
    from fastload.loading.plan import Plan

_logger: Final = logging.getLogger("fastload")
#: Fewer bytes are on a disk as soon as a thread would have begun.
LEAST_BYTES: Final = 2**20
_SPARE_FILES: Final = 64
#: By the place of the twin. A child of a fork finds threads here that have ended.
_running: Final[dict[Path, Thread]] = {}


def is_worth_it(plan: Plan) -> bool:
    """Say whether the twin of *plan* can be published behind the load, and is large enough.

    What is lent is read from the published file, and what goes to a shared store is copied from it.
    Windows renames no file that is mapped. TensorFlow ends a process that can open no more files:
    the thread has some open while the program goes on. And the workers of a `multiprocessing.Pool`
    are killed when it ends, so that its first load might leave nothing, each time.
    """
    request = plan.request
    return (
        not system.IS_WINDOWS
        and request.weights != "lazy"
        and request.settings.remote is None
        and sum(file.size for file in plan.identity.source.files) >= LEAST_BYTES
        and system.may_open(_SPARE_FILES)
        and not _is_killed_at_its_end()
    )


def _is_killed_at_its_end() -> bool:
    """Say whether this is a daemonic process of `multiprocessing`."""
    processes = sys.modules.get("multiprocessing.process")
    return processes is not None and bool(processes.current_process().daemon)


def publish_behind(plan: Plan, partial: Path, until_published: ExitStack) -> None:
    """Publish the twin in *partial* in a thread.

    Args:
        plan: whose twin it is.
        partial: the file, complete.
        until_published: what is left when it is published: the partial file, the entry's lock.
    """
    place = plan.identity.entry.path
    thread = Thread(
        target=_publish, args=(plan, partial, until_published), name="fastload: publish a twin"
    )
    _running[place] = thread
    try:
        thread.start()
    except RuntimeError:  # the interpreter ends, or the system has no more threads
        _publish(plan, partial, until_published)


def wait_for(entry: CacheEntry) -> None:
    """Wait until the twin of *entry* is published, if a thread of this process is about it."""
    thread = _running.get(entry.path)
    if thread is not None and thread.ident is not None:
        thread.join()


def wait_for_all() -> None:
    """Wait until no thread of this process is about a twin: each has files open."""
    for thread in list(_running.values()):
        if thread.ident is not None:
            thread.join()


def _publish(plan: Plan, partial: Path, until_published: ExitStack) -> None:
    entry, settings = plan.identity.entry, plan.request.settings
    try:
        # Imported here: a load that goes to stock waits for all, and publishes nothing.
        from fastload.cache.eviction import evict
        from fastload.twin.digests import add_digests
        from fastload.twin.sources import known_sources

        with until_published:
            with cache_faults(entry.cache.root):
                add_digests(partial)
            put_in_place(partial, entry.path, durable=True)
        evict(entry.cache, settings.cache_max_size_bytes, known_sources, {entry.name})
    except CacheError as error:
        _logger.warning("%s: its twin is not kept: %s", plan.request.filepath, error)
    except Exception:
        _logger.warning("%s: its twin is not kept", plan.request.filepath, exc_info=True)
    finally:
        _running.pop(entry.path, None)
