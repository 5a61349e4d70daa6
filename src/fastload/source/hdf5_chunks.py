"""Chunks of HDF5 datasets: none may unpack to more than it declares.

HDF5 unpacks a chunk as a whole, however long it gets, before it looks at its size.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator
from typing import Any, Final

from h5py import h5d, h5z

from fastload.errors import UnconvertibleModelError, UnsafeSourceError

_COMPRESSORS: Final = frozenset({h5z.FILTER_DEFLATE, h5z.FILTER_LZF, h5z.FILTER_SZIP})
#: Of the filter Fletcher32.
_CHECKSUM_BYTES: Final = 4


def chunk_count(dataset: h5d.DatasetID, layout: Any) -> int:
    """Return into how many chunks a dataset is cut, stored or not; 0 if it is in one piece.

    Args:
        dataset: the dataset.
        layout: its creation properties.
    """
    if layout.get_layout() != h5d.CHUNKED:
        return 0
    return math.prod(map(len, _grid(dataset, layout)))


def check_filters(layout: Any, path: str) -> None:
    """Check that the compression of a dataset can be checked.

    Args:
        layout: the creation properties of the dataset.
        path: its path in the file, for the message.

    Raises:
        UnconvertibleModelError: it is compressed twice, or changed after it was compressed.
    """
    codes = _codes(layout)
    after = codes[codes.index(h5z.FILTER_DEFLATE) + 1 :] if h5z.FILTER_DEFLATE in codes else []
    if sum(code in _COMPRESSORS for code in codes) > 1 or set(after) - {h5z.FILTER_FLETCHER32}:
        raise UnconvertibleModelError(f"{path!r} in the HDF5 file is filtered in an unusual way")


def check_chunks(dataset: h5d.DatasetID, path: str, file_bytes: int) -> None:
    """Check that no chunk of a dataset unpacks to more than its declared size.

    Args:
        dataset: the dataset.
        path: its path in the file, for messages.
        file_bytes: size of the whole file.

    Raises:
        UnsafeSourceError: one does, or claims to be longer than the file.
        zlib.error: one is damaged.
    """
    layout = dataset.get_create_plist()
    codes = _codes(layout)
    if h5z.FILTER_DEFLATE not in codes:
        return
    skipped = 1 << codes.index(h5z.FILTER_DEFLATE)
    most = math.prod(layout.get_chunk()) * dataset.get_type().get_size() + _CHECKSUM_BYTES
    for mask, data in _stored_chunks(dataset, layout, path, file_bytes):
        if not mask & skipped and len(zlib.decompressobj().decompress(data, most + 1)) > most:
            raise UnsafeSourceError(f"a chunk of {path!r} in the HDF5 file is a bomb")


def _stored_chunks(
    dataset: h5d.DatasetID, layout: Any, path: str, file_bytes: int
) -> Iterator[tuple[int, bytes]]:
    """Yield each chunk as it is stored, with the mask of the filters that it skipped."""
    for offset in itertools.product(*_grid(dataset, layout)):
        size = dataset.get_chunk_info_by_coord(offset).size
        if size > file_bytes:
            raise UnsafeSourceError(f"a chunk of {path!r} is longer than the HDF5 file")
        if size:
            yield dataset.read_direct_chunk(offset)


def _grid(dataset: h5d.DatasetID, layout: Any) -> list[range]:
    """Return the offsets of chunks along each axis."""
    return [
        range(0, int(size), int(step))
        for size, step in zip(dataset.shape, layout.get_chunk(), strict=True)
    ]


def _codes(layout: Any) -> list[int]:
    return [layout.get_filter(index)[0] for index in range(layout.get_nfilters())]
