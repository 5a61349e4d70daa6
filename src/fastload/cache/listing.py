"""What a cache folder holds: its twins, what belongs to none, and their removal."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.publish import cache_faults, is_incoming, is_partial
from fastload.lean_dataclass import dataclass

_TWIN: Final = re.compile(r"([0-9a-f]{32})\.h5")
#: Archives and stores bring names that others chose: a kind is a word, so that it leads nowhere.
_COMPANION: Final = re.compile(
    r"([0-9a-f]{32})\.(used|[\w-]{1,128}\.json|[\w-]{1,128}\.flat)", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTwin:
    """A twin that is in the cache.

    Attributes:
        name: the entry's name.
        path: the file.
        size_bytes: its length.
        created_s: when it was written, in seconds since the epoch.
        last_used_s: when it was last used, to the hour; if never, when it was written.
        layer: the read-only layer that it is in; None for the cache itself.
    """

    name: str
    path: Path
    size_bytes: int
    created_s: float
    last_used_s: float
    layer: Path | None = None


def entries(cache: CacheDir) -> tuple[StoredTwin, ...]:
    """List the twins in *cache*, sorted by name. No twin is opened.

    Args:
        cache: the folder; one that does not exist has none.

    Raises:
        CacheUnwritableError: the folder cannot be listed.
    """
    files = _files(cache)
    return tuple(
        _stored(cache, match[1], info, files.get(f"{match[1]}.used"))
        for name, info in sorted(files.items())
        if (match := _TWIN.fullmatch(name))
    )


def all_entries(cache: CacheDir) -> tuple[StoredTwin, ...]:
    """List the twins in *cache* and, after them, what its layers have besides.

    Raises:
        CacheUnwritableError: the folder, or a layer, cannot be listed.
    """
    found = {twin.name: twin for twin in entries(cache)}
    for layer in cache.layers:
        for twin in entries(CacheDir(root=layer)):
            found.setdefault(twin.name, replace(twin, layer=layer))
    return tuple(found.values())


def companion(name: str) -> str | None:
    """Return what the file called *name* is to a twin: `used`, `specs.json`; None if it is nothing.

    Example:
        >>> companion("c386a8135346c5ba54a9a4214bc683de.specs.json")
        'specs.json'
    """
    match = _COMPANION.fullmatch(name)
    return match[2] if match else None


def orphans(cache: CacheDir) -> tuple[Path, ...]:
    """List the side entries and `.used` files whose twin neither exists nor is being written.

    Raises:
        CacheUnwritableError: the folder cannot be listed.
    """
    files = _files(cache)
    has_twin = {
        name.partition(".")[0]
        for name in files
        if _TWIN.fullmatch(name) or is_partial(Path(name)) or is_incoming(Path(name))
    }
    return tuple(
        cache.root / name
        for name in sorted(files)
        if (match := _COMPANION.fullmatch(name)) and match[1] not in has_twin
    )


def remove(entry: CacheEntry) -> bool:
    """Remove a twin with its side entries. On POSIX, it stays valid where it is mapped.

    The lock file stays: a process that waits for a removed lock file would not exclude another one
    that creates it again.

    Args:
        entry: the entry, which may have no files.

    Returns:
        True if there was a twin.

    Raises:
        CacheUnwritableError: the folder is not fastload's, or a file cannot be removed (on Windows,
            because it is mapped).
    """
    entry.cache.require_ours()
    with cache_faults(entry.cache.root):
        found = entry.path.exists()
        entry.path.unlink(missing_ok=True)
        for path in entry.cache.root.glob(f"{entry.name}.*"):
            if not is_partial(path):
                path.unlink(missing_ok=True)
    return found


def _files(cache: CacheDir) -> dict[str, os.stat_result]:
    """Return the stat of every regular file in the folder; fastload makes no links."""
    found: dict[str, os.stat_result] = {}
    if cache.fault is not None:
        return found
    with cache_faults(cache.root), suppress(FileNotFoundError), os.scandir(cache.root) as listing:
        for item in listing:
            with suppress(FileNotFoundError):
                if item.is_file(follow_symlinks=False):
                    found[item.name] = item.stat(follow_symlinks=False)
    return found


def _stored(
    cache: CacheDir, name: str, twin: os.stat_result, used: os.stat_result | None
) -> StoredTwin:
    return StoredTwin(
        name=name,
        path=cache.root / f"{name}.h5",
        size_bytes=twin.st_size,
        created_s=twin.st_mtime,
        last_used_s=max(twin.st_mtime, used.st_mtime if used else 0.0),
    )
