"""Entries: the files that belong to one twin, by name, and where each is read and written.

The name is a hash of the source's content, the Keras generation and the format version. fastload's
own version is not part of it, so that an upgrade keeps using its twins while it reads their format.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from fastload import system
from fastload.cache.directory import CacheDir
from fastload.cache.publish import cache_faults, is_there, replacing
from fastload.errors import CacheUnwritableError
from fastload.lean_dataclass import dataclass

#: How exactly the last use is known. A hit then writes at most once an hour, which is exact enough
#: for eviction.
USE_RESOLUTION_S: Final = 3600.0

#: Generations of Keras, as the names of entries have them.
KERAS2: Final = "keras2"
KERAS3: Final = "keras3"
#: The generation, in the name of an entry, of a Keras 2 model that was migrated to Keras 3. The
#: number is raised when a change of the rules changes migrated models.
MIGRATED: Final = "keras3-migrated-6"

_NAME: Final = re.compile(r"[0-9a-f]{32}")
#: How many files a process keeps in memory, for want of a folder that it may write to.
_MOST_IN_MEMORY: Final = 64
_in_memory: Final[dict[Path, Any]] = {}


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

    @property
    def twin(self) -> CacheFile:
        """The twin, in the cache or in a layer."""
        return CacheFile(cache=self.cache, name=f"{self.name}.h5")

    def side(self, kind: str) -> CacheFile:
        """Return a side entry: JSON that was found out after the twin was written."""
        return CacheFile(cache=self.cache, name=f"{self.name}.{kind}.json")

    def flat(self, kind: str) -> CacheFile:
        """Return the file of a flat function, which was made after the twin was written."""
        return CacheFile(cache=self.cache, name=f"{self.name}.{kind}.flat")

    def count_flat(self, prefix: str = "") -> int:
        """Return how many flat functions the cache keeps whose kind begins with *prefix*.

        Raises:
            CacheUnwritableError: the folder cannot be listed.
        """
        with cache_faults(self.cache.root):
            return sum(1 for _ in self.cache.root.glob(f"{self.name}.{prefix}*.flat"))


class CacheFile:
    """A file of a cache: written to its folder, and read there or in the first layer that has it.

    Where there are layers, what cannot be written is kept in the memory of this process. Without
    layers, nothing here takes another system call than the one on the file. Every hit makes some of
    these, so they are no dataclass.

    Attributes:
        cache: the folder, with its layers.
        name: the path in the folder.
        path: where it is written.
    """

    __slots__ = ("cache", "name", "path")

    def __init__(self, *, cache: CacheDir, name: str) -> None:
        self.cache, self.name, self.path = cache, name, cache.root / name

    @property
    def found(self) -> Path:
        """Where it is read; where it would be written, if it is nowhere."""
        if not self.cache.layers or os.path.lexists(self.path):
            return self.path
        # Imported here: most users have no layers.
        from fastload.cache.read_only_layers import file_in

        return file_in(self.cache.layers, self.name) or self.path

    @property
    def in_memory(self) -> Any:
        """What this process keeps in its place; None where there is nothing."""
        return _in_memory.get(self.path) if self.cache.layers else None

    def is_there(self) -> bool:
        """Return whether it can be read.

        Raises:
            CacheUnwritableError: that cannot be told.
        """
        return self.in_memory is not None or is_there(self.found)

    def read_bytes(self) -> bytes:
        """Return its content.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        kept: bytes | None = self.in_memory
        return self.found.read_bytes() if kept is None else kept

    def keep(self, content: bytes) -> None:
        """Publish *content*, which is checked when it is read.

        Raises:
            CacheUnwritableError: it could not be written, nor is it kept in memory.
        """
        try:
            with self.replacing() as partial:
                system.write_bytes(partial, content)
        except CacheUnwritableError:
            if not self.keep_in_memory(content):
                raise

    @contextmanager
    def replacing(self) -> Iterator[Path]:
        """Yield a partial file to write to, as `publish.replacing` does.

        Raises:
            CacheUnwritableError: it could not be written.
        """
        self.require_folder()
        with cache_faults(self.path.parent), replacing(self.path, durable=False) as partial:
            yield partial
        _in_memory.pop(self.path, None)

    def require_folder(self) -> None:
        """Create the folder where there is none yet: with layers, twins are served without.

        Raises:
            CacheUnwritableError: it cannot be created or trusted.
        """
        if self.cache.layers and not self.cache.trusted():
            self.cache.ensure()

    def keep_in_memory(self, value: Any) -> bool:
        """Keep *value* for this process, and say whether it is: only where there are layers."""
        if not self.cache.layers:
            return False
        for oldest in list(_in_memory)[: max(0, len(_in_memory) - _MOST_IN_MEMORY + 1)]:
            _in_memory.pop(oldest, None)  # other threads may be about it too
        _in_memory[self.path] = value
        return True

    def discard(self) -> None:
        """Remove it where it is written, if it can be removed. What a layer has stays."""
        _in_memory.pop(self.path, None)
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def mark_used(entry: CacheEntry) -> None:
    """Record that the twin of *entry* is used now, unless that was recorded within the hour.

    Nothing fails where the cache cannot be written.
    """
    with suppress(OSError):
        try:
            age_s = time.time() - entry.used_path.stat().st_mtime
        except FileNotFoundError:
            flags = os.O_CREAT | os.O_WRONLY
            os.close(system.open_to_write(entry.used_path, flags, 0o600))
            return
        # A time in the future means that the clock was set back.
        if not 0 <= age_s < USE_RESOLUTION_S:
            os.utime(entry.used_path)
