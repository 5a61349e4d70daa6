"""What differs between systems, in one place; tests set `IS_WINDOWS` to see what is done there.

POSIX tells by owner and mode who can write to a file, and keeps a file alive that is mapped when it
is removed or replaced. On Windows access lists do the former, which keep the folders of users
private by themselves; and a file that is mapped or read-only can be neither removed nor replaced.
What only Linux tells is asked for where it is used, and done without elsewhere: `/proc`, `/sys`.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

#: Access lists instead of owners and modes; no `fork`; and mapped files are kept.
IS_WINDOWS: bool = sys.platform == "win32"
#: Advice for a mapping: pages of the process's own, now. Linux 5.14 has it, and Python has no
#: name for it (https://man7.org/linux/man-pages/man2/madvise.2.html).
POPULATE_WRITE: Final = 23 if sys.platform == "linux" else None
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_ROOT: Final = 0
#: Descriptors that C libraries write to, whatever is open there.
_STANDARD_STREAMS: Final = range(3)


def is_own(info: os.stat_result, *, or_root: bool = False) -> bool:
    """Say whether a file belongs to this user, or to root where that will do."""
    if IS_WINDOWS:
        return True
    return info.st_uid == os.geteuid() or (or_root and info.st_uid == _ROOT)


def others_write(info: os.stat_result) -> bool:
    """Say whether its mode lets other users write to a file."""
    return not IS_WINDOWS and bool(info.st_mode & _OTHERS_WRITE)


def may_write(folder: Path) -> bool:
    """Say whether this process may make files in *folder*, which exists, as far as modes tell."""
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def may_open(count: int) -> bool:
    """Say whether this process may have *count* more files open; False where that is not known."""
    if IS_WINDOWS:
        return False
    import resource  # Imported here: Windows has none.

    try:
        is_open = len(os.listdir("/dev/fd"))  # noqa: PTH208 - names alone
    except OSError:
        return False
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit == resource.RLIM_INFINITY or is_open + count <= limit


def is_alive(pid: int) -> bool:
    """Say whether process *pid* runs on this host; on Windows True: `kill` would end it."""
    if IS_WINDOWS:
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def host() -> str | None:
    """Return what tells this host, and its process namespace, from others; None on Windows."""
    if IS_WINDOWS:
        return None
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return f"{os.uname().nodename}:{namespace}"


def make_read_only(path: Path) -> None:
    """Let nobody write to the file, where it can be replaced and removed nevertheless."""
    if not IS_WINDOWS:
        path.chmod(0o400)


def make_writable(path: Path) -> None:
    """Let the owner write to the file again, whatever `make_read_only` did."""
    if not IS_WINDOWS:
        path.chmod(0o600)


def sync(path: Path) -> None:
    """Have the disk hold what was written to a file.

    Raises:
        OSError: it cannot.
    """
    _sync(path, os.O_RDWR)


def sync_folder(path: Path) -> None:
    """Have the disk hold the names in a folder, where the system and the disk can do that."""
    if not IS_WINDOWS:
        # Some network file systems cannot; what was renamed is in place anyway.
        with suppress(OSError):
            _sync(path, os.O_RDONLY)


def open_to_write(path: str | os.PathLike[str], flags: int, mode: int) -> int:
    """Open a file as `os.open` does, but never as a standard stream.

    Where a process has closed those, as daemons do, the next file gets their numbers, and what some
    C library prints would go into it.

    Raises:
        OSError: it cannot be opened.
    """
    with above_standard_streams():
        return _moved_up(os.open(path, flags, mode))


def opener(path: str, flags: int) -> int:
    """Open a file for `open(..., opener=)` as it would, but never as a standard stream."""
    return open_to_write(path, flags, 0o666)


def write_bytes(path: Path, content: bytes) -> None:
    """Do as `path.write_bytes` does; the file is never a standard stream.

    Raises:
        OSError: it cannot be written.
    """
    with open(path, "wb", opener=opener) as file:
        file.write(content)


@contextmanager
def above_standard_streams() -> Iterator[None]:
    """Have no file that is opened in the block become a standard stream: keep the block short.

    Their places are taken for as long by what nobody can write to, so that what is printed
    meanwhile fails as it did before. Moving a file after it was opened would be too late for that.
    """
    with ExitStack() as taken:
        # In a folder that is the root of a process, there may be no such device.
        with suppress(OSError):
            for _ in filter(_is_closed, _STANDARD_STREAMS):  # the lowest free number comes first
                taken.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield


def _is_closed(descriptor: int) -> bool:
    if IS_WINDOWS:
        return False
    try:
        os.fstat(descriptor)
    except OSError as error:
        return error.errno == errno.EBADF
    return False


def _moved_up(descriptor: int) -> int:
    """Give a file another number where another thread gave a place back just before."""
    if IS_WINDOWS or descriptor not in _STANDARD_STREAMS:
        return descriptor
    import fcntl  # Imported here: Windows has none.

    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, len(_STANDARD_STREAMS))
    finally:
        os.close(descriptor)


def _sync(path: Path, flags: int) -> None:
    descriptor = open_to_write(path, flags, 0)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
