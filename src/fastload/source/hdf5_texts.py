"""How long the texts in an attribute are, from its object's header: HDF5 tells only by reading all.

An attribute with texts of any length holds references to a heap: a length in 4 bytes, and 12 that
say where. Many may refer to one long text, of which HDF5 would make as many copies.

Format: https://docs.hdfgroup.org/hdf5/develop/_f_m_t3.html, "Data Object Headers".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import h5py
import numpy as np
from h5py import h5o

from fastload.errors import UnconvertibleModelError

_ATTRIBUTE: Final = 0x0C
_CONTINUATION: Final = 0x10
_SHARED: Final = 0x02
_SIGNATURE: Final = b"OHDR"
_CHECKSUM_BYTES: Final = 4
_REFERENCE_BYTES: Final = 16
#: Of one header; 30,000 names take an eighth of it.
_MOST_BYTES: Final = 2**22
#: Flags of a header of version 2.
_WITH_TIMES: Final = 0x20
_WITH_PHASES: Final = 0x10
_WITH_ORDER: Final = 0x04


class HeaderReader:
    """Reads the headers of objects past HDF5.

    Args:
        file: the open file.
        raw: the same file, open for reading bytes.
    """

    def __init__(self, file: h5py.File, raw: BinaryIO) -> None:
        self._raw, self._base = raw, file.userblock_size
        self._is_usual = file.id.get_create_plist().get_sizes() == (8, 8)

    def text_bytes(self, found: Any, name: str, count: int) -> int:
        """Return the length of all texts in an attribute together.

        Args:
            found: the object's identifier in h5py's low-level interface.
            name: of the attribute.
            count: how many texts it has.

        Raises:
            UnconvertibleModelError: the header is of a kind that Keras's files do not have.
        """
        total = None
        for body in self._attributes(h5o.get_info(found).addr):
            own, data = _name_and_data(body)
            if own == name.encode():
                # Should there be two of one name, it does not matter which one HDF5 takes.
                lengths = np.frombuffer(data[: count * _REFERENCE_BYTES], "<u4")[::4]
                total = (total or 0) + int(lengths.sum(dtype=np.int64))
        if total is None or not self._is_usual:
            raise UnconvertibleModelError(
                f"the attribute {name!r} in the HDF5 file is not in place"
            )
        return total

    def _attributes(self, address: int) -> Iterator[bytes]:
        head = self._read(address, 64)
        is_old = head[:4] != _SIGNATURE
        blocks = [_old_block(address, head) if is_old else _new_block(address, head)]
        step = 8 if is_old else 6 if head[5] & _WITH_ORDER else 4
        # A continuation of version 2 has a signature before its messages, and a checksum behind.
        before, behind = (0, 0) if is_old else (len(_SIGNATURE), _CHECKSUM_BYTES)
        for block in blocks:  # grows while it is walked
            if sum(length for _, length in blocks) > _MOST_BYTES:
                raise UnconvertibleModelError("an object in the HDF5 file has a very long header")
            for kind, flags, body in _messages(self._read(*block), step):
                if kind == _CONTINUATION:
                    start, length = struct.unpack("<QQ", body[:16])
                    blocks.append((start + before, length - before - behind))
                if kind == _ATTRIBUTE:
                    if flags & _SHARED:
                        raise UnconvertibleModelError("the HDF5 file shares attributes")
                    yield body

    def _read(self, address: int, count: int) -> bytes:
        self._raw.seek(self._base + address)
        return self._raw.read(count)


def _old_block(address: int, head: bytes) -> tuple[int, int]:
    """Return the place of the first messages in a header of version 1."""
    return address + 16, struct.unpack_from("<I", head, 8)[0]


def _new_block(address: int, head: bytes) -> tuple[int, int]:
    """Return the place of the first messages in a header of version 2."""
    flags = head[5]
    start = 6 + (16 if flags & _WITH_TIMES else 0) + (4 if flags & _WITH_PHASES else 0)
    width = 1 << (flags & 3)
    return address + start + width, int.from_bytes(head[start : start + width], "little")


def _messages(block: bytes, step: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield kind, flags and body of each message; *step* is the length of what precedes a body."""
    place = 0
    while place + step <= len(block):
        form = "<HHB" if step == 8 else "<BHB"  # noqa: PLR2004 - of version 1
        kind, length, flags = struct.unpack_from(form, block, place)
        yield kind, flags, block[place + step : place + step + length]
        place += step + length


def _name_and_data(body: bytes) -> tuple[bytes, bytes]:
    """Return an attribute's name and value."""
    version, _, name, kind, space = struct.unpack_from("<BBHHH", body)
    start = 9 if version == 3 else 8  # noqa: PLR2004 - with the encoding of the name
    data = start + sum(-(-size // 8) * 8 if version == 1 else size for size in (name, kind, space))
    return body[start : start + name].rstrip(b"\0"), body[data:]
