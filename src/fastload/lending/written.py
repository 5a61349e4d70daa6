"""Whether somebody wrote into memory that was mapped from a file, copy-on-write."""

from __future__ import annotations

import ctypes
import mmap
import struct
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

#: One entry of 64 bits a page; see Documentation/admin-guide/mm/pagemap.rst in the kernel's source.
_PAGEMAP: Final = Path("/proc/self/pagemap")
_PRESENT, _SWAPPED, _OF_FILE = (np.uint64(1 << bit) for bit in (63, 62, 61))
#: Linux 6.7 looks for such pages itself, and takes huge ones in one step.
_PAGEMAP_SCAN: Final = 0xC0606610
#: Size, flags, start, end, end of the walk, answers, room for answers, most pages, and which kinds
#: of pages: not of, of all of, of any of, answered.
_SCAN: Final = struct.Struct("12Q")
_ANSWER: Final = struct.Struct("3Q")
_IS_OF_FILE, _IS_PRESENT, _IS_SWAPPED = (1 << bit for bit in (2, 3, 4))


def was_written(address: int, nbytes: int) -> bool:
    """Say whether some of *nbytes* at *address* are no longer what the file has.

    A page that is in memory or swapped out, and is not the file's, is a copy that a write made.
    Elsewhere than on Linux this is false.
    """
    first = address - address % mmap.PAGESIZE
    count = -(-(address + nbytes - first) // mmap.PAGESIZE)
    try:
        with _PAGEMAP.open("rb", buffering=0) as pagemap:
            found = _found_copies(pagemap, first, count)
            return _has_copies(pagemap, first, count) if found is None else found
    except OSError:
        return False


def _found_copies(pagemap: IO[bytes], first: int, count: int) -> bool | None:
    """Ask the kernel to look; None if it is too old."""
    import fcntl  # not on Windows, which has no such file either

    answer = ctypes.create_string_buffer(_ANSWER.size)
    end, kinds = first + count * mmap.PAGESIZE, _IS_PRESENT | _IS_SWAPPED
    answers = (ctypes.addressof(answer), 1, 1)
    wanted = (_IS_OF_FILE, _IS_OF_FILE, kinds, kinds)
    request = bytearray(_SCAN.pack(_SCAN.size, 0, first, end, 0, *answers, *wanted))
    try:
        return int(fcntl.ioctl(pagemap.fileno(), _PAGEMAP_SCAN, request)) > 0
    except OSError:
        return None


def _has_copies(pagemap: IO[bytes], first: int, count: int) -> bool:
    """Look at what the kernel says of each page."""
    pagemap.seek(first // mmap.PAGESIZE * 8)
    entries: np.ndarray[Any, np.dtype[np.uint64]]
    entries = np.frombuffer(pagemap.read(count * 8), np.uint64)
    is_somewhere, is_of_file = entries & (_PRESENT | _SWAPPED), entries & _OF_FILE
    return bool(np.any(is_somewhere.astype(bool) & ~is_of_file.astype(bool)))
