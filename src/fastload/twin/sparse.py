"""A file in memory for HDF5 to lay a twin out in, holes and all.

HDF5 that meets a full disk while it closes a file can crash the process. So it never sees the disk:
it works on a `SparseFile`, which is as long as the twin but holds only the few pages that HDF5
writes, and the writer copies those to the real file by itself.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastload.twin.format import PAGE_BYTES

if TYPE_CHECKING:
    from typing_extensions import Buffer


class SparseFile(io.RawIOBase):
    """A seekable file in memory that knows which of its bytes were written; the others are zero."""

    def __init__(self) -> None:
        super().__init__()
        self._pages: dict[int, bytearray] = {}
        self._ranges: list[tuple[int, int]] = []
        self._size = 0
        self._position = 0

    @property
    def size(self) -> int:
        """Length of the file, holes included, in bytes."""
        return self._size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to *offset* from the start, from here or from the end."""
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = origins[whence] + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def truncate(self, size: int | None = None) -> int:
        """Set the length; what lies beyond is not forgotten, for HDF5 only ever grows a twin."""
        self._size = self._position if size is None else size
        return self._size

    def readinto(self, buffer: Buffer) -> int:
        """Fill *buffer* from the position on; holes read as zeros."""
        target = memoryview(buffer).cast("B")
        for page, inside, start, count in self._steps(len(target)):
            source = self._pages.get(page)
            part = source[inside : inside + count] if source else bytes(count)
            target[start : start + count] = part
        self._position += len(target)
        return len(target)

    def write(self, data: Buffer) -> int:
        """Write *data* at the position."""
        source = memoryview(data).cast("B")
        for page, inside, start, count in self._steps(len(source)):
            target = self._pages.setdefault(page, bytearray(PAGE_BYTES))
            target[inside : inside + count] = source[start : start + count]
        self._ranges.append((self._position, self._position + len(source)))
        self._position += len(source)
        self._size = max(self._size, self._position)
        return len(source)

    def pieces(self) -> Iterator[tuple[int, bytearray]]:
        """Give all that was written, and nothing else, as offset and bytes."""
        for start, end in _merged(self._ranges):
            self.seek(start)
            piece = bytearray(end - start)
            self.readinto(piece)
            yield start, piece

    def _steps(self, count: int) -> Iterator[tuple[int, int, int, int]]:
        """Split the next *count* bytes by page: page, place in it, place in the bytes, bytes."""
        done = 0
        while done < count:
            page, inside = divmod(self._position + done, PAGE_BYTES)
            step = min(PAGE_BYTES - inside, count - done)
            yield page, inside, done, step
            done += step


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that touch."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
