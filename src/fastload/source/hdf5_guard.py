"""What an HDF5 file may hold: no links, external storage, bombs, or types that Keras never writes.

Every check is of one object, before any of its data is read.
"""

from __future__ import annotations

import math
from typing import Any, Final

import h5py
import numpy as np
from h5py import h5d, h5g, h5l, h5s, h5z

from fastload.errors import UnconvertibleModelError, UnsafeSourceError
from fastload.source.hdf5_attributes import read_attributes
from fastload.source.hdf5_budget import Budget
from fastload.source.hdf5_chunks import check_filters, chunk_count
from fastload.source.limits import HDF5_EXPANSION, is_bomb

_LINKS: Final = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "an external link"}
#: Filters of HDF5 and h5py themselves. HDF5 would look for any other as a plug-in on the host.
_FILTERS: Final = frozenset(
    {
        h5z.FILTER_DEFLATE,
        h5z.FILTER_SHUFFLE,
        h5z.FILTER_FLETCHER32,
        h5z.FILTER_SZIP,
        h5z.FILTER_NBIT,
        h5z.FILTER_SCALEOFFSET,
        h5z.FILTER_LZF,
    }
)
_NUMERIC: Final = frozenset(
    ["bool", "float16", "float32", "float64", "complex64", "complex128"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)
_TWO_OPAQUE_BYTES: Final = np.dtype("V2")
_MAX_DEPTH: Final = 256


def check_link(group: h5g.GroupID, name: bytes, path: str) -> None:
    """Reject an entry of *group* that is not a hard link, without following it.

    Args:
        group: the group that holds the entry.
        name: the entry's name.
        path: the entry's path in the file, for the message.

    Raises:
        UnsafeSourceError: it is a soft, external or user-defined link, or is nested too deep.
    """
    kind = group.links.get_info(name).type
    if kind != h5l.TYPE_HARD:
        what = _LINKS.get(kind, "a user-defined link")
        raise UnsafeSourceError(f"{path!r} in the HDF5 file is {what}")
    check_depth(path)


def check_depth(path: str) -> None:
    """Reject a path through too many groups.

    Raises:
        UnsafeSourceError: it is.
    """
    if path.count("/") > _MAX_DEPTH:
        raise UnsafeSourceError(f"groups in the HDF5 file are nested over {_MAX_DEPTH} deep")


def check_storage(dataset: h5d.DatasetID, path: str, budget: Budget) -> None:
    """Reject a dataset whose bytes are stored elsewhere, or are far fewer than it declares.

    Args:
        dataset: the dataset; its data stays unread.
        path: its path in the file, for messages.
        budget: what may still be read of the file.

    Raises:
        UnsafeSourceError: external or virtual storage, or a shape bomb.
        UnconvertibleModelError: a filter of neither HDF5 nor h5py, or no shape.
    """
    layout = dataset.get_create_plist()
    if layout.get_layout() == h5d.VIRTUAL:
        raise UnsafeSourceError(f"{path!r} in the HDF5 file is a virtual dataset")
    if layout.get_external_count():
        raise UnsafeSourceError(f"{path!r} in the HDF5 file keeps its data in another file")
    if dataset.get_space().get_simple_extent_type() == h5s.NULL:
        raise UnconvertibleModelError(f"{path!r} in the HDF5 file has no shape")
    _check_filters(layout, path)
    declared = _declared_bytes(dataset, layout)
    # A contiguous dataset states its own size as stored, whatever the file really has.
    stored = min(dataset.get_storage_size(), budget.file_bytes)
    if is_bomb(declared, stored, expansion=HDF5_EXPANSION):
        raise UnsafeSourceError(
            f"{path!r} in the HDF5 file declares {declared:,} bytes"
            f" but stores {stored:,} in a file of {budget.file_bytes:,}"
        )
    budget.take_values(declared)
    budget.take_chunks(chunk_count(dataset, layout))


def _check_filters(layout: Any, path: str) -> None:
    for index in range(layout.get_nfilters()):
        code = layout.get_filter(index)[0]
        if code not in _FILTERS or not h5z.filter_avail(code):
            raise UnconvertibleModelError(f"{path!r} in the HDF5 file needs the HDF5 filter {code}")
    check_filters(layout, path)


def _declared_bytes(dataset: h5d.DatasetID, layout: Any) -> int:
    """Return the larger of the whole dataset and one chunk, which HDF5 unpacks as a whole."""
    itemsize = int(dataset.get_type().get_size())
    chunk = layout.get_chunk() if layout.get_layout() == h5d.CHUNKED else (0,)
    return max(math.prod(map(int, dataset.shape)), math.prod(map(int, chunk))) * itemsize


def dtype_name(dataset: h5d.DatasetID, path: str, budget: Budget) -> str:
    """Return the name of a dataset's dtype: a numpy name, `bfloat16` or `string`.

    Args:
        dataset: the dataset.
        path: its path in the file, for messages.
        budget: what may still be read of the file.

    Raises:
        UnsafeSourceError: it holds references to other objects.
        UnconvertibleModelError: any other type that Keras variables do not have.
    """
    dtype = dataset.dtype
    if h5py.check_ref_dtype(dtype) is not None:
        raise UnsafeSourceError(f"{path!r} in the HDF5 file holds references")
    if h5py.check_string_dtype(dtype) is not None:
        budget.take_strings(math.prod(dataset.shape))
        return "string"
    if read_attributes(dataset, path, ["dtype"], budget).get("dtype") == "bfloat16":
        if dtype == _TWO_OPAQUE_BYTES:
            return "bfloat16"  # as Keras 3 stores it
        raise UnconvertibleModelError(f"{path!r} in the HDF5 file is marked as bfloat16")
    if dtype.metadata is not None or dtype.name not in _NUMERIC:
        raise UnconvertibleModelError(f"{path!r} in the HDF5 file has the type {dtype}")
    return str(dtype.name)
