"""What the page cache of the system has of files, and how to have it forget them."""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_WRITTEN_AFTER_S: Final = 300


def forget(paths: Iterable[Path]) -> None:
    """Have the page cache forget files, and all files of folders.

    What was not written to disk yet is written first. Pages that a living process has mapped stay,
    and so does what the system knows of folders and of the files' places on disk.
    """
    for path in files_of(paths):
        with path.open("rb") as file:
            # The system writes by itself what is older, and asking takes a millisecond a file.
            if time.time() - path.stat().st_mtime < _WRITTEN_AFTER_S:
                os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cached_share(paths: Iterable[Path]) -> float:
    """Return which share of the pages of files, and of all files of folders, is in the page cache.

    The system tells so of files that this user may write; it calls all others cached.
    """
    in_all = cached = 0
    for path in files_of(paths):
        pages = _cached_pages(path)
        in_all += len(pages)
        cached += sum(page & 1 for page in pages)
    return cached / in_all if in_all else 0.0


def files_of(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files among *paths*, and those in the folders among them; each but once."""
    seen: set[tuple[int, int]] = set()
    for path in paths:
        for each in path.rglob("*") if path.is_dir() else [path]:
            if each.is_file():
                status = each.stat()
                key = (status.st_dev, status.st_ino)
                if key not in seen:
                    seen.add(key)
                    yield each


def _cached_pages(path: Path) -> bytes:
    """Return a byte for each page of a file; the lowest bit says whether it is in memory."""
    size = path.stat().st_size
    if not size:
        return b""
    told = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as pages:
        start = ctypes.c_char.from_buffer(pages)
        address = ctypes.c_void_p(ctypes.addressof(start))
        status = ctypes.CDLL(None).mincore(address, ctypes.c_size_t(size), told)
        del start  # the mapping cannot be closed while something refers to it
    if status:
        raise OSError(f"the system does not say what it has in memory of {path}")
    return bytes(told)
