"""The HDF5 side of a twin: the only module here that imports h5py; the writer is its only user.

Every dataset is contiguous and has its place in the file from the moment that it is made, so that
its file offset is known and its bytes can be written past HDF5. HDF5 itself writes to memory alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import h5py
import numpy as np

from fastload.twin.format import ALIGNMENT_BYTES, USER_BLOCK_BYTES, AttributeValue, WeightSpec
from fastload.twin.sparse import SparseFile
from fastload.twin.weights import is_plain, storage_dtype

File: TypeAlias = h5py.File

#: HDF5 keeps a message of an object header below 64 KiB; Keras splits lists of names at this size.
_ATTRIBUTE_LIMIT_BYTES: Final = 64512
#: What an element of variable length takes in an attribute; its characters lie in the file's heap.
_HEAP_REFERENCE_BYTES: Final = 16


@contextmanager
def opened(layout: SparseFile, mode: str, alignment: int = ALIGNMENT_BYTES) -> Iterator[File]:
    """Open the HDF5 file of a twin in the making.

    Args:
        layout: what HDF5 is to work on.
        mode: `w` to make it, `r+` to add to it.
        alignment: where new objects begin, in bytes: all of them at a multiple of 64, or those of a
            page and more at a multiple of a page.

    Yields:
        The open file; it is closed afterwards.
    """
    options: dict[str, Any] = {"userblock_size": USER_BLOCK_BYTES} if mode == "w" else {}
    with h5py.File(
        layout,
        mode,
        libver=("earliest", "v110"),  # what every HDF5 since 2016 reads
        alignment_threshold=alignment if alignment > ALIGNMENT_BYTES else 1,
        alignment_interval=alignment,
        **options,
    ) as file:
        yield file


def create_group(file: File, path: str, attributes: Mapping[str, AttributeValue]) -> None:
    """Make the group at *path* (`""` is the root) and give it *attributes*."""
    group = file.require_group(path) if path else file
    for name, value in attributes.items():
        _set_attribute(group.attrs, name, value)


def create_dataset(file: File, spec: WeightSpec) -> int:
    """Make the dataset of *spec* with its space in the file, unfilled.

    Returns:
        The absolute file offset of its first byte; 0 if it has no bytes.
    """
    dataset = _create_contiguous(file, spec.name, spec.shape, storage_dtype(spec.dtype))
    if not is_plain(spec.dtype):
        dataset.attrs["dtype"] = spec.dtype
    return _offset(dataset)


def reserve_bytes(file: File, path: str, nbytes: int) -> int:
    """Make a dataset of *nbytes* `uint8` at *path*, unfilled; return its offset, 0 if empty."""
    return _offset(_create_contiguous(file, path, (nbytes,), np.dtype("u1")))


def reserve_strings(file: File, spec: WeightSpec, nbytes: int) -> int:
    """Make the dataset for the *nbytes* that the strings of *spec* take; return its offset."""
    offset = reserve_bytes(file, spec.name, nbytes)
    attributes = file[spec.name].attrs
    attributes["dtype"] = spec.dtype
    attributes["shape"] = np.array(spec.shape, np.int64)
    return offset


def create_link(file: File, path: str, target: str) -> None:
    """Give the dataset *target* the further name *path*, by a hard link."""
    file[path] = file[target]


def _create_contiguous(
    file: File, path: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> h5py.Dataset:
    """Make a contiguous dataset that has its space now; HDF5 gives no file offset for any other."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    linking = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    linking.set_create_intermediate_group(True)
    linking.set_char_encoding(h5py.h5t.CSET_UTF8)
    space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
    kind = h5py.h5t.py_create(dtype, logical=True)
    made = h5py.h5d.create(file.id, path.encode(), kind, space, creation, lcpl=linking)
    return h5py.Dataset(made)


def _offset(dataset: h5py.Dataset) -> int:
    """Return the absolute file offset; what HDF5 says of a dataset without elements is no place."""
    return int(dataset.id.get_offset()) if dataset.size else 0


def _set_attribute(attributes: h5py.AttributeManager, name: str, value: AttributeValue) -> None:
    """Set one attribute; a long list becomes `name0`, `name1`, ... as both Kerases read it."""
    if not isinstance(value, (list, tuple)):
        attributes[name] = value
        return
    chunks = _chunks(name, value)
    names = [name] if len(chunks) == 1 else [f"{name}{number}" for number in range(len(chunks))]
    for chunk_name, chunk in zip(names, chunks, strict=True):
        attributes[chunk_name] = chunk


def _chunks(name: str, values: Sequence[str] | Sequence[bytes]) -> list[np.ndarray[Any, Any]]:
    """Split a list into arrays that fit into one attribute each; at least one, even if empty."""
    texts = any(isinstance(value, str) for value in values)
    array = np.array(values, h5py.string_dtype() if texts else np.bytes_)
    itemsize = _HEAP_REFERENCE_BYTES if texts else max(1, array.itemsize)
    if itemsize > _ATTRIBUTE_LIMIT_BYTES:
        raise ValueError(f"the attribute {name!r} holds an element of {itemsize} bytes")
    step = _ATTRIBUTE_LIMIT_BYTES // itemsize
    return [array[start : start + step] for start in range(0, max(1, len(array)), step)]
