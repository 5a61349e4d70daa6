"""Entries: the files that belong to one twin, by name.

The name is a hash of the source's content, the Keras generation and the format version. fastload's
own version is not part of it, so that an upgrade keeps using its twins while it reads their format.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from fastload.cache.directory import CacheDir
from fastload.cache.publish import cache_faults, is_partial
from fastload.lean_dataclass import dataclass

#: How exactly the last use is known. A hit then writes at most once an hour, which is exact enough
#: for eviction.
USE_RESOLUTION_S: Final = 3600.0

#: Generations of Keras, as the names of entries have them.
KERAS2: Final = "keras2"
KERAS3: Final = "keras3"
#: The generation, in the name of an entry, of a Keras 2 model that was migrated to Keras 3. The
#: number is raised when a change of the rules changes migrated models.
MIGRATED: Final = "keras3-migrated-2"

_NAME: Final = re.compile(r"[0-9a-f]{32}")
_TWIN: Final = re.compile(r"([0-9a-f]{32})\.h5")
_COMPANION: Final = re.compile(r"([0-9a-f]{32})\.(?:used|[^.]+\.json|[^.]+\.flat)")


def entry_name(digest: str, generation: str, format_version: int) -> str:
    """Return the name of the entry for one content, Keras generation and format.

    Args:
        digest: hex digest of the source's content.
        generation: the Keras that the twin is for (`keras2`, `keras3`, or `MIGRATED`).
        format_version: version of the twin's file format.

    Returns:
        32 hexadecimal digits.

    Example:
        >>> entry_name("ab" * 32, "keras3", 1)
        'c386a8135346c5ba54a9a4214bc683de'
    """
    identity = "\n".join((digest, generation, str(format_version)))
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """The paths of one entry's files, whether they exist or not.

    Attributes:
        cache: the folder.
        name: as `entry_name` returns it. Anything else is a ValueError, so that no name leads out
            of the folder.
    """

    cache: CacheDir
    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"not the name of a cache entry: {self.name!r} (32 hex digits)")

    @property
    def path(self) -> Path:
        """The twin."""
        return self.cache.root / f"{self.name}.h5"

    @property
    def lock_path(self) -> Path:
        """The file that `locking.entry_lock` locks."""
        return self.cache.lock_dir / f"{self.name}.lock"

    @property
    def used_path(self) -> Path:
        """The empty file whose modification time is the twin's last use."""
        return self.cache.root / f"{self.name}.used"

    def side_path(self, kind: str) -> Path:
        """Return the path of a side entry: JSON that was found out after the twin was written."""
        return self.cache.root / f"{self.name}.{kind}.json"

    def flat_path(self, kind: str) -> Path:
        """Return the path of a flat function, which was made after the twin was written."""
        return self.cache.root / f"{self.name}.{kind}.flat"

    def count_flat(self, prefix: str = "") -> int:
        """Return how many flat functions are kept whose kind begins with *prefix*.

        Raises:
            CacheUnwritableError: the folder cannot be listed.
        """
        with cache_faults(self.cache.root):
            return sum(1 for _ in self.cache.root.glob(f"{self.name}.{prefix}*.flat"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTwin:
    """A twin that is in the cache.

    Attributes:
        name: the entry's name.
        path: the file.
        size_bytes: its length.
        created_s: when it was written, in seconds since the epoch.
        last_used_s: when it was last used, to the hour; if never, when it was written.
    """

    name: str
    path: Path
    size_bytes: int
    created_s: float
    last_used_s: float


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


def orphans(cache: CacheDir) -> tuple[Path, ...]:
    """List the side entries and `.used` files whose twin no longer exists.

    Raises:
        CacheUnwritableError: the folder cannot be listed.
    """
    files = _files(cache)
    return tuple(
        cache.root / name
        for name in sorted(files)
        if (match := _COMPANION.fullmatch(name)) and f"{match[1]}.h5" not in files
    )


def mark_used(entry: CacheEntry) -> None:
    """Record that the twin of *entry* is used now, unless that was recorded within the hour.

    Nothing fails where the cache cannot be written.
    """
    with suppress(OSError):
        try:
            age_s = time.time() - entry.used_path.stat().st_mtime
        except FileNotFoundError:
            os.close(os.open(entry.used_path, os.O_CREAT | os.O_WRONLY, 0o600))
            return
        # A time in the future means that the clock was set back.
        if not 0 <= age_s < USE_RESOLUTION_S:
            os.utime(entry.used_path)


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
