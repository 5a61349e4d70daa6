"""Write beside, then replace: the only way in which files of the cache are written.

A reader sees the old file or the new one, never half of one. A writer that is killed leaves a
`.partial` file. Its name has the number of the process, so that `is_stale_partial` can distinguish
it from one that is being written.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from fastload import system
from fastload.errors import CacheUnwritableError

#: A partial file that was not written to for a day is stale, also if its process, of which nothing
#: is known here, ran on another host.
PARTIAL_LIFETIME_S: Final = 24 * 3600.0

_PARTIAL: Final = re.compile(r".+\.(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{12}\.partial")
#: The end of the name of a partial file that another process may go on with.
_INCOMING: Final = ".incoming"
#: Errors that only a write can raise. Others (no permission, no such file) may come from the source
#: that the writer reads.
_STORAGE_FAULTS: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
)


@contextmanager
def cache_faults(folder: Path) -> Iterator[None]:
    """Turn any `OSError` in the block into the cache's own error.

    Whatever a load reads or writes in the cache, it does in such a block: no state of the cache may
    fail it.

    Args:
        folder: the cache folder that the message names.

    Raises:
        CacheUnwritableError: the block raised an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise CacheUnwritableError(folder, error.strerror or str(error)) from error


def is_there(path: Path) -> bool:
    """Return whether there is something at *path*, a file of the cache.

    Raises:
        CacheUnwritableError: that cannot be told.
    """
    with cache_faults(path.parent):
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


def publish(path: Path, content: bytes) -> None:
    """Write a small file that is checked when it is read; a power cut may leave it empty.

    Raises:
        CacheUnwritableError: it could not be written.
    """
    with cache_faults(path.parent), replacing(path, durable=False) as partial:
        system.write_bytes(partial, content)


@contextmanager
def replacing(path: Path, *, needed_bytes: int = 0, durable: bool = True) -> Iterator[Path]:
    """Yield a partial file beside *path*, which replaces *path* if the block raises nothing.

    The partial file exists already, empty, with mode 0600: write to it, do not create it. When the
    block ends, it is made read-only (0400) and renamed. If the block raises anything, an interrupt
    included, the partial file is removed and *path* stays as it was.

    Args:
        path: the file to publish; its folder exists.
        needed_bytes: how large the file will be. With less free space, nothing is written: HDF5 may
            end the process if the disk is full while it closes a file.
        durable: sync file and folder to the disk first. Without it, a power cut may leave an empty
            file, so it may be False only for files that are checked when they are read.

    Yields:
        The partial file to write to, on the same file system.

    Raises:
        CacheUnwritableError: the partial file could not be created, written (full or read-only
            disk) or renamed. Other errors of the block pass unchanged.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.json"
        >>> with replacing(target) as partial:
        ...     _ = partial.write_text("{}")
        >>> target.read_text()
        '{}'
    """
    with beside(path, needed_bytes=needed_bytes) as partial:
        yield partial
        put_in_place(partial, path, durable=durable)


@contextmanager
def beside(path: Path, *, needed_bytes: int = 0) -> Iterator[Path]:
    """Yield a partial file beside *path*, and remove it unless `put_in_place` was called for it.

    Arguments and errors are those of `replacing`.
    """
    partial = path.with_name(f"{path.name}.{_host()}-{os.getpid()}-{os.urandom(6).hex()}.partial")
    try:
        _create(partial)
        _require_room(path.parent, needed_bytes)
        with storage_faults(path.parent):
            yield partial
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def put_in_place(partial: Path, path: Path, *, durable: bool) -> None:
    """Make a partial file read-only and give it the name that readers know; see `replacing`.

    Raises:
        CacheUnwritableError: it could not be written or renamed.
    """
    with cache_faults(path.parent):
        if durable:
            system.sync(partial)
        system.make_read_only(partial)
        partial.replace(path)
    if durable:
        system.sync_folder(path.parent)


@contextmanager
def going_on(path: Path, content: str, *, needed_bytes: int) -> Iterator[Path]:
    """Yield a partial file as `replacing` does: the one that an earlier writer left, if any.

    It stays where the block raises, or the process ends. One writer at a time may be in such a
    block: hold the lock of the entry.

    Args:
        path: the file to publish; its folder exists.
        content: what the file will hold: hexadecimal digits of its digest.
        needed_bytes: how large the file will be.

    Yields:
        The partial file, whose content is some beginning, or anything after a power cut.

    Raises:
        CacheUnwritableError: as in `replacing`.
    """
    incoming = path.with_name(f"{path.name}.{content[:32]}{_INCOMING}")
    if not is_there(incoming):
        _create(incoming)
    with cache_faults(path.parent):
        system.make_writable(incoming)  # its writer may have been about to publish it
        has_bytes = incoming.stat().st_size
    _require_room(path.parent, max(0, needed_bytes - has_bytes))
    with storage_faults(path.parent):
        yield incoming
    put_in_place(incoming, path, durable=True)


def is_incoming(path: Path) -> bool:
    """Return whether *path* is named like the partial files of `going_on`.

    Example:
        >>> is_incoming(Path("0123.h5.00c0ffee.incoming"))
        True
    """
    return path.name.endswith(_INCOMING)


def is_partial(path: Path) -> bool:
    """Return whether *path* is named like the partial files of `replacing`.

    Example:
        >>> is_partial(Path("0123.h5.00c0ffee-42-0123456789ab.partial"))
        True
    """
    return _PARTIAL.fullmatch(path.name) is not None


def is_stale_partial(path: Path, *, now_s: float) -> bool:
    """Return whether *path* is a partial file that no process is going to finish.

    Args:
        path: any file of the cache.
        now_s: the time, in seconds since the epoch.

    Returns:
        True if its process ran on this host and has ended, or if it was last written to more than a
        day ago.
    """
    match = _PARTIAL.fullmatch(path.name)
    if match is None and not is_incoming(path):
        return False
    if match and match["host"] == _host() and not system.is_alive(int(match["pid"])):
        return True
    try:
        return now_s - path.stat().st_mtime > PARTIAL_LIFETIME_S
    except OSError:
        return False


def _create(partial: Path) -> None:
    """Create the partial file, so that an unwritable folder is noticed before the work starts."""
    with cache_faults(partial.parent):
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        os.close(system.open_to_write(partial, flags, 0o600))


def _require_room(folder: Path, needed_bytes: int) -> None:
    if needed_bytes:
        import shutil  # Imported here because a hit writes nothing.

        with cache_faults(folder):
            free_bytes = shutil.disk_usage(folder).free
        if free_bytes < needed_bytes:
            reason = f"{needed_bytes:,} bytes are needed and {free_bytes:,} are free"
            raise CacheUnwritableError(folder, reason)


@contextmanager
def storage_faults(folder: Path) -> Iterator[None]:
    """Turn those errors in the block that only writing raises into the cache's own.

    Args:
        folder: the cache folder that the message names. The block may read elsewhere.

    Raises:
        CacheUnwritableError: the disk is full, or read-only, or fails.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _STORAGE_FAULTS:
            raise CacheUnwritableError(folder, error.strerror or str(error)) from error
        raise


def _host() -> str:
    """Return a hash of this host and its process namespace, in which process numbers are unique."""
    name = system.host()
    return "0" * 8 if name is None else hashlib.sha256(name.encode()).hexdigest()[:8]
