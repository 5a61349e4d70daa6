"""Entries: the files that belong to one twin, found by name.

The name says which content, for which Keras, in which format version; fastload's own version is not
part of it, so that an upgrade keeps its twins as long as it reads their format.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastload.cache.directory import CacheDir
from fastload.cache.publish import is_partial, writing_to

#: How old the note of a last use may be. A hit then writes once an hour at most, and eviction needs
#: no finer order.
USE_RESOLUTION_S: Final = 3600.0

#: Generations of Keras, as the names of entries have them.
KERAS2: Final = "keras2"
KERAS3: Final = "keras3"
#: In the name of an entry: a Keras 3 model that was made of a Keras 2 one.
#: The number is raised where the rules of a migration change what comes of a file.
MIGRATED: Final = "keras3-migrated-2"

_NAME: Final = re.compile(r"[0-9a-f]{32}")
_TWIN: Final = re.compile(r"([0-9a-f]{32})\.h5")
_COMPANION: Final = re.compile(r"([0-9a-f]{32})\.(?:used|[^.]+\.json|[^.]+\.flat)")


def entry_name(digest: str, generation: str, format_version: int) -> str:
    """Return the name of the entry for one content, Keras generation and format.

    Args:
        digest: hex digest of the source's content.
        generation: the Keras that the twin serves (`keras2`, `keras3`).
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
    """Where the files of one entry are, whether they exist or not.

    Attributes:
        cache: the folder.
        name: as `entry_name` gives it; anything else is a ValueError, so that no name leads out of
            the folder.
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
        """Return where the side entry of that *kind* is: JSON learnt after the twin was written."""
        return self.cache.root / f"{self.name}.{kind}.json"

    def flat_path(self, kind: str) -> Path:
        """Return where the flat function of that *kind* is, made after the twin was written."""
        return self.cache.root / f"{self.name}.{kind}.flat"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTwin:
    """A twin that is in the cache.

    Attributes:
        name: the entry's name.
        path: the file.
        size_bytes: its length.
        created_s: when it was written, in seconds since the epoch.
        last_used_s: when it was last used, to the hour; when it was written, if never since.
    """

    name: str
    path: Path
    size_bytes: int
    created_s: float
    last_used_s: float


def entries(cache: CacheDir) -> tuple[StoredTwin, ...]:
    """List the twins in *cache* by looking at the folder only, sorted by name.

    Args:
        cache: the folder; one that does not exist holds nothing.

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
    """List the side entries and notes of use whose twin is gone.

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
    """Note that the twin of *entry* is in use now; free where that was noted within the hour.

    A cache that cannot be written keeps no note, and loads as well.
    """
    with suppress(OSError):
        try:
            age_s = time.time() - entry.used_path.stat().st_mtime
        except FileNotFoundError:
            os.close(os.open(entry.used_path, os.O_CREAT | os.O_WRONLY, 0o600))
            return
        # A note from the future comes from a clock that was set back.
        if not 0 <= age_s < USE_RESOLUTION_S:
            os.utime(entry.used_path)


def remove(entry: CacheEntry) -> bool:
    """Remove a twin with its side entries; programs that have it mapped keep their weights on
    POSIX.

    The lock file stays: a process that waits on a removed lock file would not exclude one that
    makes it again.

    Args:
        entry: the entry; one that holds nothing is fine.

    Returns:
        True if there was a twin.

    Raises:
        CacheUnwritableError: the folder is not fastload's, or a file cannot be removed (Windows: it
            is mapped).
    """
    entry.cache.require_ours()
    with writing_to(entry.cache.root):
        found = entry.path.exists()
        entry.path.unlink(missing_ok=True)
        for path in entry.cache.root.glob(f"{entry.name}.*"):
            if not is_partial(path):
                path.unlink(missing_ok=True)
    return found


def _files(cache: CacheDir) -> dict[str, os.stat_result]:
    """Return the stat of every regular file in the folder; links are not ours and are left out."""
    found: dict[str, os.stat_result] = {}
    with writing_to(cache.root), suppress(FileNotFoundError), os.scandir(cache.root) as listing:
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
