"""Files that the user names for what a command makes: written where a shell's `>` would write them.

That is through links, into devices and pipes, and with the mode that is there. A plain file is
whole or as it was before: it is written beside, then renamed, where nothing is lost by that.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from fastload import system

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_KEEP: Final = os.O_WRONLY | getattr(os, "O_BINARY", 0)
#: A file that is mounted by itself, as into a container, cannot give its name to another.
_KEPT_NAMES: Final = frozenset({errno.EBUSY, errno.EXDEV})


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """Yield what to write the content of the file at *path* to; it may not be able to seek.

    If the block raises, a plain file stays as it was, and one that was not there is not there.

    Raises:
        OSError: a shell could not write there either, or the disk is full.
    """
    info = _found(path)
    place = Path(os.path.realpath(path))
    if info is None or _may_be_replaced(place, info):
        with _beside(place, info) as file:
            yield file
    else:
        with _in_place(path, info) as file:
            yield file


def is_plain(file: IO[bytes]) -> bool:
    """Say whether an open file is a file on a disk."""
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def _found(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _may_be_replaced(place: Path, info: os.stat_result) -> bool:
    """Say whether nothing but the content of a file would change: no other name, no owner.

    Raises:
        OSError: it may not be written.
    """
    if not stat.S_ISREG(info.st_mode):
        return False
    found = _found(place)  # another one where a path such as `/dev/stdout` leads to no name
    is_alone = info.st_nlink == 1 and system.is_own(info)
    is_there = found is not None and os.path.samestat(found, info)
    if not (is_alone and is_there and os.access(place.parent, os.W_OK | os.X_OK)):
        return False
    os.close(system.open_to_write(place, _KEEP, 0))
    return True


@contextmanager
def _beside(place: Path, info: os.stat_result | None) -> Iterator[IO[bytes]]:
    """Write a file that takes the name when the block ends, with the mode of the one before."""
    mode = 0o666 if info is None else stat.S_IMODE(info.st_mode) & 0o777
    partial = place.with_name(f".fastload-{os.urandom(6).hex()}.partial")
    descriptor = system.open_to_write(partial, _CREATE, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        if info is not None:
            partial.chmod(mode)
        _rename(partial, place)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def _rename(partial: Path, place: Path) -> None:
    try:
        partial.replace(place)
    except OSError as error:
        if error.errno not in _KEPT_NAMES:
            raise
        with partial.open("rb") as whole, open(place, "wb", opener=system.opener) as file:
            shutil.copyfileobj(whole, file)


@contextmanager
def _in_place(path: Path, info: os.stat_result) -> Iterator[IO[bytes]]:
    """Write into what is there; what a file had stays until there is something to write."""
    with os.fdopen(system.open_to_write(path, _KEEP, 0), "wb") as file:
        yield file
        if stat.S_ISREG(info.st_mode):
            file.truncate()
