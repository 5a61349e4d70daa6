"""A file made of a part of another file."""

from __future__ import annotations

import io
from typing import BinaryIO


class ByteRange(io.RawIOBase):
    """A read-only file made of a part of another one, which must stay open and unused by others.

    Args:
        file: the whole file, open for reading.
        start: offset of the part, in bytes.
        length: its size, in bytes.

    Example:
        >>> ByteRange(io.BytesIO(b"head weights tail"), 5, 7).read()
        b'weights'
    """

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._whole, self._start, self._length, self._position = file, start, length, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to *offset* bytes from what *whence* says and return the new position."""
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}
        self._position = max(0, origins[whence] + offset)
        return self._position

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is not for 3.10
        """Fill *buffer* as far as the part reaches and return the bytes read.

        Never returns less than that: h5py takes a short read for a complete one.

        Raises:
            OSError: the whole file ends inside the part.
        """
        wanted = memoryview(buffer).cast("B")[: max(0, self._length - self._position)]
        self._whole.seek(self._start + self._position)
        filled = 0
        while filled < len(wanted):
            count = self._whole.readinto(wanted[filled:])  # type: ignore[attr-defined]  # BinaryIO lacks it
            if not count:
                raise OSError("the file was cut short while it was read")
            filled += count
        self._position += filled
        return filled
