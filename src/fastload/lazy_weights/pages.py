"""Pieces of a file in memory, each brought and dropped by itself.

Where the system can, a piece is a mapping of just its pages. What a process has of a file in memory
is then bounded by what it has mapped: a fault brings in pages around the one that was touched (64
KiB on Linux, and whole huge pages of 2 MiB where the page cache has them), but never beyond the end
of a mapping. `docs/decisions/0015-weights-on-loan.md` has the measurements. Elsewhere a piece is
read into memory of its own.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import sys
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from fastload import system, unfinished
from fastload.lazy_weights.lending_plan import LazyWeight

#: One entry of 64 bits per page; see Documentation/admin-guide/mm/pagemap.rst in the kernel's
#: source.
_PAGEMAP: Final = Path("/proc/self/pagemap")
_PRESENT, _SWAPPED, _OF_FILE = (np.uint64(1 << bit) for bit in (63, 62, 61))


def has_pagemap() -> bool:
    """Say whether the system has a page table to read (Linux)."""
    return bool(len(_entries(id(_PAGEMAP), 1)))


def is_in_memory(address: int, nbytes: int) -> bool:
    """Say whether any page of *nbytes* at *address* is in memory."""
    return bool(np.any(_entries(address, nbytes) & _PRESENT))


def was_written(address: int, nbytes: int) -> bool:
    """Say whether memory that was mapped copy-on-write from a file was written.

    A page that is in memory or swapped out, but not the file's, is a copy made by a write.
    """
    entries = _entries(address, nbytes)
    is_somewhere, is_of_file = entries & (_PRESENT | _SWAPPED), entries & _OF_FILE
    return bool(np.any(is_somewhere.astype(bool) & ~is_of_file.astype(bool)))


def _entries(address: int, nbytes: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return the entries of the pages of some memory; none where there is no page table."""
    first = address // mmap.PAGESIZE
    count = -(-(address + nbytes) // mmap.PAGESIZE) - first
    try:
        with _PAGEMAP.open("rb", buffering=0) as file:
            file.seek(first * 8)
            return np.frombuffer(file.read(count * 8), np.uint64)
    except OSError:
        return np.empty(0, np.uint64)


#: Linux 5.14: map and read pages at once, without touching them; see madvise(2).
_MADV_POPULATE_READ: Final = 22


class Piece:
    """Memory for the bytes of one weight; of most kinds the system does not report the pages."""

    __slots__ = ()

    @property
    def is_ready(self) -> bool:
        """Whether the bytes are there."""
        raise NotImplementedError

    def read(self) -> None:
        """Read all of it; may take as long as the disk does.

        Raises:
            OSError: the file cannot be read.
        """
        raise NotImplementedError

    def owner(self) -> Any:
        """Return a new object with the buffer interface; the bytes are in use while it lives."""
        raise NotImplementedError

    @property
    def can_be_watched(self) -> bool:
        """Whether its pages can be dropped while it is lent, and watched afterwards."""
        return False

    def drop_pages(self) -> None:
        """Drop its pages while it is lent; they are read again when they are touched."""
        raise NotImplementedError

    def is_touched(self) -> bool:
        """Say whether any page of it is in memory: if that is not known, it may be in use."""
        return True

    def was_written(self) -> bool:
        """Say whether it was written, so that it differs from the file, as far as that is known."""
        return False

    def close(self) -> None:
        """Free its memory, if its last reference does not; no owner is in use any more."""


class Pages(Protocol):
    """A file that is read in pieces."""

    def piece(self, weight: LazyWeight) -> Piece:
        """Return memory for *weight*, which begins with the byte at `weight.start` of the file."""

    def advise(self, weight: LazyWeight) -> None:
        """Have the system read *weight* from disk soon, into the page cache."""

    def content(self, weight: LazyWeight) -> bytes:
        """Return the bytes of *weight*, in ordinary memory.

        Raises:
            OSError: the file cannot be read.
        """


def pages_of(path: Path, *, mapped: bool = True) -> MappedPages | ReadPages:
    """Open the file at *path*; its pieces are mapped if *mapped* is true and the system can.

    Raises:
        OSError: it cannot be opened.
    """
    if mapped and _libc() is not None:
        return MappedPages(path)
    return ReadPages(path)


class _OpenFile:
    """A file that stays open while pieces of it may be needed."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._lock = unfinished.lock()
        weakref.finalize(self, self._file.close).atexit = False

    def head(self, nbytes: int) -> bytes:
        """Return the first bytes of the file."""
        head = memoryview(bytearray(nbytes))
        return bytes(head[: self._read(head, 0)])

    def advise(self, weight: LazyWeight) -> None:
        """Have the system read *weight* from disk soon, into the page cache."""
        if hasattr(os, "posix_fadvise"):
            wanted = os.POSIX_FADV_WILLNEED
            os.posix_fadvise(self._file.fileno(), weight.start, weight.nbytes, wanted)

    def content(self, weight: LazyWeight) -> bytes:
        """Return the bytes of *weight*, in ordinary memory."""
        content = bytearray(weight.ref.nbytes)
        self.read_into(memoryview(content), weight)
        return bytes(content)

    def read_into(self, memory: memoryview, weight: LazyWeight) -> None:
        """Read the bytes of *weight* into *memory*."""
        offset = weight.ref.offset
        while memory:
            count = self._read(memory, offset)
            if not count:
                raise OSError(f"the file ended within {weight.name!r}")
            memory, offset = memory[count:], offset + count

    def _read(self, memory: memoryview, offset: int) -> int:
        """Read into *memory* what is at *offset*; return how many bytes that is."""
        if hasattr(os, "preadv"):  # a process that was forked shares the place in the file
            return os.preadv(self._file.fileno(), [memory], offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.readinto(memory)


class MappedPages(_OpenFile):
    """A file whose pieces are mapped, copy-on-write, as the twin itself is."""

    def piece(self, weight: LazyWeight) -> Piece:
        """Map the pages of *weight*; none is read yet."""
        libc = _required_libc()
        protection, kind = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE
        address = libc.mmap(
            None, weight.nbytes, protection, kind, self._file.fileno(), weight.start
        )
        if address in (None, ctypes.c_void_p(-1).value):
            error = ctypes.get_errno()
            raise MemoryError(f"{weight.name!r} could not be mapped: {os.strerror(error)}")
        return _Mapping(address=address, nbytes=weight.nbytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mapping(Piece):
    address: int
    nbytes: int
    is_ready: bool = True

    def owner(self) -> Any:
        return (ctypes.c_ubyte * self.nbytes).from_address(self.address)

    def read(self) -> None:
        libc = _required_libc()
        # Both: the first requests the whole weight from the disk at once.
        libc.madvise(self.address, self.nbytes, mmap.MADV_WILLNEED)
        libc.madvise(self.address, self.nbytes, _MADV_POPULATE_READ)  # fails on older kernels

    @property
    def can_be_watched(self) -> bool:
        return has_pagemap() and not self.was_written()

    def drop_pages(self) -> None:
        _required_libc().madvise(self.address, self.nbytes, mmap.MADV_DONTNEED)

    def is_touched(self) -> bool:
        return is_in_memory(self.address, self.nbytes)

    def was_written(self) -> bool:
        return was_written(self.address, self.nbytes)

    def close(self) -> None:
        _required_libc().munmap(self.address, self.nbytes)


class ReadPages(_OpenFile):
    """A file whose pieces are read into anonymous memory."""

    def piece(self, weight: LazyWeight) -> Piece:
        """Allocate memory for *weight*; nothing is read yet."""
        return _Buffer(file=self, weight=weight, memory=mmap.mmap(-1, weight.nbytes))


@dataclass(slots=True, kw_only=True)
class _Buffer(Piece):
    file: ReadPages
    weight: LazyWeight
    memory: mmap.mmap
    is_ready: bool = False

    def read(self) -> None:
        before = self.weight.ref.offset - self.weight.start
        with memoryview(self.memory) as memory:
            self.file.read_into(memory[before : before + self.weight.ref.nbytes], self.weight)
        self.is_ready = True

    def owner(self) -> Any:
        return (ctypes.c_ubyte * len(self.memory)).from_buffer(self.memory)


@functools.cache
def _libc() -> Any:
    """Return the C library, or None where it has no `mmap` with 64-bit offsets."""
    if system.IS_WINDOWS or sys.maxsize < 2**63 - 1:
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    libc.mmap.argtypes = [pointer, size, number, number, number, ctypes.c_int64]
    libc.mmap.restype = pointer
    libc.munmap.argtypes = [pointer, size]
    libc.madvise.argtypes = [pointer, size, number]
    return libc


def _required_libc() -> Any:
    libc = _libc()
    assert libc is not None  # noqa: S101 - `pages_of` checked
    return libc
