"""Write beside, then replace: the only way in which a file of the cache comes to be.

A reader sees the old file or the new one, never half of one. A writer that is killed leaves a
`.partial` file, which carries the number of its process so that `is_stale_partial` can tell it from
one that is being written now.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from fastload.errors import CacheUnwritableError

#: A process that wrote nothing for a day is not going to finish; true on other hosts too, where its
#: number says nothing.
PARTIAL_LIFETIME_S: Final = 24 * 3600.0

_PARTIAL: Final = re.compile(r".+\.(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{12}\.partial")
#: What only a write can raise. Others (no permission, no such file) may come from the source that
#: the writer reads.
_STORAGE_FAULTS: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
)


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn any `OSError` inside into the cache's own error.

    Args:
        folder: the cache folder that the message names.

    Raises:
        CacheUnwritableError: the operating system refused something inside.
    """
    try:
        yield
    except OSError as error:
        raise CacheUnwritableError(folder, error.strerror or str(error)) from error


@contextmanager
def replacing(path: Path, *, needed_bytes: int = 0, durable: bool = True) -> Iterator[Path]:
    """Give a partial file beside *path* that takes its place when the block ends well.

    The partial is there already, empty, with mode 0600: fill it, do not create it exclusively. When
    the block ends it becomes read-only (0400) and is renamed. Whatever the block raises, an
    interrupt included, the partial is removed and *path* stays as it was.

    Args:
        path: the file to publish; its folder exists.
        needed_bytes: how long the file will be. Where there is less room, nothing is begun: HDF5
            may end the process when the disk is full while it closes a file.
        durable: force file and folder to the disk first. Without it a power cut may leave an empty
            file, which only suits files that are checked when they are read.

    Yields:
        The partial file to write to, on the same file system.

    Raises:
        CacheUnwritableError: the partial could not be made, filled (full or read-only disk) or
            renamed. Other errors of the block pass as they are.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.json"
        >>> with replacing(target) as partial:
        ...     _ = partial.write_text("{}")
        >>> target.read_text()
        '{}'
    """
    partial = path.with_name(f"{path.name}.{_host()}-{os.getpid()}-{os.urandom(6).hex()}.partial")
    try:
        _create(partial)
        _require_room(path.parent, needed_bytes)
        with _storage_faults(path.parent):
            yield partial
        _publish(partial, path, durable=durable)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def is_partial(path: Path) -> bool:
    """Say whether *path* is named as the partial files of `replacing` are.

    Example:
        >>> is_partial(Path("0123.h5.00c0ffee-42-0123456789ab.partial"))
        True
    """
    return _PARTIAL.fullmatch(path.name) is not None


def is_stale_partial(path: Path, *, now_s: float) -> bool:
    """Say whether *path* is a partial that nobody is going to finish.

    Args:
        path: any file of the cache.
        now_s: the time, in seconds since the epoch.

    Returns:
        True if its process ran on this host and is gone, or if it was last written more than a day
        ago.
    """
    match = _PARTIAL.fullmatch(path.name)
    if match is None:
        return False
    if match["host"] == _host() and not _is_alive(int(match["pid"])):
        return True
    try:
        return now_s - path.stat().st_mtime > PARTIAL_LIFETIME_S
    except OSError:
        return False


def _create(partial: Path) -> None:
    """Make the partial, so that a folder that cannot be written says so before the work starts."""
    with writing_to(partial.parent):
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _require_room(folder: Path, needed_bytes: int) -> None:
    if needed_bytes:
        import shutil  # Imported here: a hit writes nothing.

        free_bytes = shutil.disk_usage(folder).free
        if free_bytes < needed_bytes:
            reason = f"{needed_bytes:,} bytes are needed and {free_bytes:,} are free"
            raise CacheUnwritableError(folder, reason)


@contextmanager
def _storage_faults(folder: Path) -> Iterator[None]:
    """Translate only the errors that must be the cache's: the block also reads files of others."""
    try:
        yield
    except OSError as error:
        if error.errno in _STORAGE_FAULTS:
            raise CacheUnwritableError(folder, error.strerror or str(error)) from error
        raise


def _publish(partial: Path, path: Path, *, durable: bool) -> None:
    with writing_to(path.parent):
        if durable:
            _sync(partial, os.O_RDWR)
        # Windows can neither replace nor remove a read-only file, nor sync a folder.
        if os.name == "posix":
            partial.chmod(0o400)
        partial.replace(path)
    if durable and os.name == "posix":
        # Some network file systems cannot sync a folder; the file is in place all the same.
        with suppress(OSError):
            _sync(path.parent, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _host() -> str:
    """Name this host and its process namespace: a process number means something only there."""
    if sys.platform == "win32":
        return "0" * 8
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return hashlib.sha256(f"{os.uname().nodename}:{namespace}".encode()).hexdigest()[:8]


def _is_alive(pid: int) -> bool:
    """Say whether process *pid* of this host runs; on Windows always yes: asking would end it."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
