"""What Linux says of the pages of this process. Other systems say nothing."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any, Final

import numpy as np

#: One entry of 64 bits a page; see Documentation/admin-guide/mm/pagemap.rst in the kernel's source.
_PAGEMAP: Final = Path("/proc/self/pagemap")
_PRESENT, _SWAPPED, _OF_FILE = (np.uint64(1 << bit) for bit in (63, 62, 61))


def is_told() -> bool:
    """Say whether the system tells of pages at all."""
    return bool(len(_entries(id(_PAGEMAP), 1)))


def is_in_memory(address: int, nbytes: int) -> bool:
    """Say whether any page of *nbytes* at *address* is in memory."""
    return bool(np.any(_entries(address, nbytes) & _PRESENT))


def was_written(address: int, nbytes: int) -> bool:
    """Say whether somebody wrote into memory that was mapped from a file, copy-on-write.

    A page that is in memory or swapped out, and is not the file's, is a copy that a write made.
    """
    entries = _entries(address, nbytes)
    is_somewhere, is_of_file = entries & (_PRESENT | _SWAPPED), entries & _OF_FILE
    return bool(np.any(is_somewhere.astype(bool) & ~is_of_file.astype(bool)))


def _entries(address: int, nbytes: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return the entries of the pages that some memory lies on; none where the system is silent."""
    first = address // mmap.PAGESIZE
    count = -(-(address + nbytes) // mmap.PAGESIZE) - first
    try:
        with _PAGEMAP.open("rb", buffering=0) as file:
            file.seek(first * 8)
            return np.frombuffer(file.read(count * 8), np.uint64)
    except OSError:
        return np.empty(0, np.uint64)
