"""What leaves the cache: the least recently used twins, and what killed processes left behind.

Last use is the modification time of an empty file beside the twin, renewed by `entry.mark_used` at
most once an hour. The twin's own times do not serve: its access time stands still on `noatime`
mounts and moves with every backup, and its modification time says when it was made. `unlink` leaves
maps of a twin valid on POSIX, so no reader need be asked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry, StoredTwin, entries, orphans, remove
from fastload.cache.memo import orphan_memos
from fastload.cache.publish import is_stale_partial, writing_to
from fastload.errors import CacheUnwritableError

_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneReport:
    """What `prune` removed, or would remove.

    Attributes:
        twins: the twins.
        leftovers: stale partial files, memos of models that are gone, and side entries without a
            twin.
        freed_bytes: length of all of them.
        kept_bytes: length of the twins that stay.
    """

    twins: tuple[StoredTwin, ...] = ()
    leftovers: tuple[Path, ...] = ()
    freed_bytes: int = 0
    kept_bytes: int = 0


def plan_eviction(
    stored: Iterable[StoredTwin], limit_bytes: int, keep: AbstractSet[str] = frozenset()
) -> tuple[StoredTwin, ...]:
    """Choose the twins that have to go; touch nothing.

    Args:
        stored: the twins in the cache.
        limit_bytes: how much they may take together.
        keep: names of entries that stay whatever the limit.

    Returns:
        The least recently used ones, oldest first: as few as bring the rest to the limit, or all
        but *keep*.
    """
    oldest_first = sorted(stored, key=lambda twin: (twin.last_used_s, twin.name))
    excess_bytes = sum(twin.size_bytes for twin in oldest_first) - limit_bytes
    keras: list[StoredTwin] = []
    for twin in oldest_first:
        if excess_bytes <= 0:
            break
        if twin.name not in keep:
            keras.append(twin)
            excess_bytes -= twin.size_bytes
    return tuple(keras)


def evict(
    cache: CacheDir, limit_bytes: int | None, keep: AbstractSet[str] = frozenset()
) -> tuple[StoredTwin, ...]:
    """Bring the cache to its limit after a twin was added, and drop stale partial files.

    Args:
        cache: the folder.
        limit_bytes: how much the twins may take together; None for no limit.
        keep: names of entries in use by the caller.

    Returns:
        The twins that were removed; one that cannot be (Windows: it is mapped) stays and is logged.

    Raises:
        CacheUnwritableError: the folder is not fastload's or cannot be listed.
    """
    cache.require_ours()
    _unlink_all(cache, stale_partials(cache))
    if limit_bytes is None:
        return ()
    return _remove_all(cache, plan_eviction(entries(cache), limit_bytes, keep))


def prune(
    cache: CacheDir,
    *,
    max_size_bytes: int | None = None,
    older_than_s: float | None = None,
    dry_run: bool = False,
) -> PruneReport:
    """Remove what a user asked for, and everything that serves no twin or model any more.

    Args:
        cache: the folder; one that does not exist holds nothing.
        max_size_bytes: remove the least recently used twins until the rest takes no more than this.
        older_than_s: remove the twins that were not used for so many seconds.
        dry_run: only say what would go.

    Returns:
        What was removed; with *dry_run*, what would be.

    Raises:
        CacheUnwritableError: the folder is not fastload's or cannot be listed.
    """
    if not cache.root.exists():
        return PruneReport()
    cache.require_ours()
    stored = entries(cache)
    twins = _plan_prune(stored, max_size_bytes, older_than_s)
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
    """List the partial files that nobody is going to finish."""
    now_s = time.time()
    with writing_to(cache.root):
        files = [
            file
            for folder in (cache.root, cache.memo_dir)
            if folder.is_dir()
            for file in sorted(folder.iterdir())
        ]
    return tuple(file for file in files if is_stale_partial(file, now_s=now_s))


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
    """Remove *entry*; False if it stays or if another process was first."""
    try:
        return remove(entry)
    except CacheUnwritableError as error:
        _logger.info("the twin %s stays in the cache: %s", entry.path, error)
        return False


def _unlink_all(cache: CacheDir, files: Iterable[Path]) -> None:
    with writing_to(cache.root):
        for file in files:
            file.unlink(missing_ok=True)


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
