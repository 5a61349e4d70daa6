"""Removal of the least recently used twins, and of files that killed processes left behind.

The last use of a twin is the modification time of an empty file beside it, which `entry.mark_used`
renews at most once an hour. The twin's own times are of no use for this: its access time does not
change on `noatime` mounts and changes with every backup, and its modification time is that of its
writing. On POSIX, a removed twin stays valid where it is mapped, so readers need not be asked.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.listing import StoredTwin, entries, orphans, remove
from fastload.cache.memo import orphan_memos
from fastload.cache.publish import cache_faults, is_stale_partial
from fastload.errors import CacheError, CacheUnwritableError
from fastload.lean_dataclass import dataclass

_logger: Final = logging.getLogger(__name__)

#: The limit of a cache on a large disk.
DEFAULT_LIMIT_BYTES: Final = 20 * 2**30
#: How long a twin stays that no model is known to have the content of: one may come again.
_UNKNOWN_FOR_S: Final = 86_400

#: Where the models of a cache's twins are, by the name of the entry.
Sources = Callable[[CacheDir], Mapping[str, tuple[Path, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneReport:
    """What `prune` removed, or would remove.

    Attributes:
        twins: the twins.
        leftovers: stale partial files, memos of models that no longer exist, and side entries
            without a twin.
        freed_bytes: size of all of them.
        kept_bytes: size of the twins that stay.
    """

    twins: tuple[StoredTwin, ...] = ()
    leftovers: tuple[Path, ...] = ()
    freed_bytes: int = 0
    kept_bytes: int = 0


def limit_of(cache: CacheDir, asked_bytes: int | None) -> int:
    """Return how large the twins in *cache* may be together.

    Args:
        cache: the folder; it exists.
        asked_bytes: what was asked for; None for a tenth of the disk, and no more than 20 GiB.
    """
    if asked_bytes is not None:
        return asked_bytes
    with cache_faults(cache.root):
        return min(DEFAULT_LIMIT_BYTES, shutil.disk_usage(cache.root).total // 10)


def plan_eviction(
    stored: Iterable[StoredTwin],
    limit_bytes: int,
    keep: AbstractSet[str] = frozenset(),
    known: Container[str] = (),
) -> tuple[StoredTwin, ...]:
    """Choose the twins to be removed; remove nothing.

    Args:
        stored: the twins in the cache.
        limit_bytes: how large they may be together.
        keep: names of entries that stay in any case.
        known: names of entries of content that some model is known to have; all others go first.

    Returns:
        The least recently used twins, oldest first: as few as bring the rest to the limit, or all
        but *keep*.
    """
    oldest_first = sorted(
        stored, key=lambda twin: (twin.name in known, twin.last_used_s, twin.name)
    )
    excess_bytes = sum(twin.size_bytes for twin in oldest_first) - limit_bytes
    chosen: list[StoredTwin] = []
    for twin in oldest_first:
        if excess_bytes <= 0:
            break
        if twin.name not in keep:
            chosen.append(twin)
            excess_bytes -= twin.size_bytes
    return tuple(chosen)


def evict(
    cache: CacheDir,
    limit_bytes: int | None,
    sources: Sources,
    keep: AbstractSet[str] = frozenset(),
) -> tuple[StoredTwin, ...]:
    """Bring the cache to its limit after a twin was added, and remove stale partial files.

    Args:
        cache: the folder.
        limit_bytes: how large the twins may be together; None for the default of `limit_of`.
        sources: says where the twins' models are; asked only if something has to go.
        keep: names of entries that the caller uses.

    Returns:
        The twins that were removed. One that cannot be removed (on Windows, because it is mapped)
        is logged.

    Raises:
        CacheUnwritableError: the folder is not fastload's or cannot be listed.
    """
    cache.require_ours()
    _unlink_all(cache, stale_partials(cache))
    stored, limit = entries(cache), limit_of(cache, limit_bytes)
    if sum(twin.size_bytes for twin in stored) <= limit:
        return ()
    return _remove_all(cache, plan_eviction(stored, limit, keep, sources(cache)))


def evict_after_writing(
    cache: CacheDir, limit_bytes: int | None, sources: Sources, written: str
) -> None:
    """Bring the cache to its limit, as `evict` does; a fault is logged: the load has its twin.

    Args:
        cache: the folder.
        limit_bytes: as in `evict`.
        sources: as in `evict`.
        written: the name of the entry that was written, and stays.
    """
    try:
        evict(cache, limit_bytes, sources, {written})
    except CacheError as error:
        _logger.warning("older twins could not be removed: %s", error)


def prune(
    cache: CacheDir,
    sources: Sources,
    *,
    max_size_bytes: int | None = None,
    older_than_s: float | None = None,
    dry_run: bool = False,
) -> PruneReport:
    """Remove the twins that a user asked to remove, and all files that are of no more use.

    Of no more use are twins of models that are gone, and those of content that no model is known to
    have (it was saved over, for one), once they were not used for a day.

    Args:
        cache: the folder; one that does not exist has none.
        sources: says where the twins' models are.
        max_size_bytes: remove the least recently used twins until the rest is no larger than this.
        older_than_s: remove the twins that were not used for so many seconds.
        dry_run: remove nothing.

    Returns:
        What was removed; with *dry_run*, what would be removed.

    Raises:
        CacheUnwritableError: the folder is not fastload's or cannot be listed.
    """
    if not cache.root.exists():
        return PruneReport()
    cache.require_ours()
    stored, known = entries(cache), sources(cache)
    useless = _of_no_use(stored, known)
    rest = [twin for twin in stored if twin not in useless]
    twins = useless + _plan_prune(rest, max_size_bytes, older_than_s)
    leftovers = stale_partials(cache) + orphan_memos(cache) + orphans(cache)
    leftover_bytes = sum(_size_bytes(path) for path in leftovers)
    if not dry_run:
        twins = _remove_all(cache, twins)
        _unlink_all(cache, leftovers)
    twin_bytes = sum(twin.size_bytes for twin in twins)
    return PruneReport(
        twins=twins,
        leftovers=leftovers,
        freed_bytes=twin_bytes + leftover_bytes,
        kept_bytes=sum(twin.size_bytes for twin in stored) - twin_bytes,
    )


def stale_partials(cache: CacheDir) -> tuple[Path, ...]:
    """List the partial files that no process is going to finish."""
    now_s = time.time()
    with cache_faults(cache.root):
        files = [
            file
            for folder in (cache.root, cache.memo_dir)
            if folder.is_dir()
            for file in sorted(folder.iterdir())
        ]
    return tuple(file for file in files if is_stale_partial(file, now_s=now_s))


def _of_no_use(
    stored: Iterable[StoredTwin], known: Mapping[str, tuple[Path, ...]]
) -> tuple[StoredTwin, ...]:
    def is_useless(twin: StoredTwin) -> bool:
        if twin.name in known:
            paths = known[twin.name]  # none for a model at an address, which is not asked for
            return bool(paths) and not any(os.path.lexists(path) for path in paths)
        return twin.last_used_s < time.time() - _UNKNOWN_FOR_S

    return tuple(filter(is_useless, stored))


def _plan_prune(
    stored: Collection[StoredTwin], max_size_bytes: int | None, older_than_s: float | None
) -> tuple[StoredTwin, ...]:
    oldest_s = float("-inf") if older_than_s is None else time.time() - older_than_s
    expired = tuple(twin for twin in stored if twin.last_used_s < oldest_s)
    if max_size_bytes is None:
        return expired
    fresh = [twin for twin in stored if twin.last_used_s >= oldest_s]
    return expired + plan_eviction(fresh, max_size_bytes)


def _remove_all(cache: CacheDir, twins: Iterable[StoredTwin]) -> tuple[StoredTwin, ...]:
    return tuple(twin for twin in twins if _try_remove(CacheEntry(cache=cache, name=twin.name)))


def _try_remove(entry: CacheEntry) -> bool:
    """Remove *entry*; return False if that fails, or if another process removed it first."""
    try:
        return remove(entry)
    except CacheUnwritableError as error:
        _logger.info("the twin %s stays in the cache: %s", entry.path, error)
        return False


def _unlink_all(cache: CacheDir, files: Iterable[Path]) -> None:
    with cache_faults(cache.root):
        for file in files:
            file.unlink(missing_ok=True)


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
