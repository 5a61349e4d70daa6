"""The HDF5 side of a twin: the only module here that imports h5py; the writer is its only user.

Every dataset is contiguous and has its place in the file from the moment that it is made, so that
its file offset is known and its bytes can be written past HDF5. HDF5 itself writes to memory alone:
one that meets a full disk while it closes a file can crash the process. It works on a `SparseFile`,
which is as long as the twin but holds only the few pages that HDF5 writes, and the writer copies
those to the real file by itself.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import h5py
import numpy as np

from fastload.twin.format import (
    ALIGNMENT_BYTES,
    PAGE_BYTES,
    USER_BLOCK_BYTES,
    AttributeValue,
    WeightSpec,
)
from fastload.twin.weights import is_plain, storage_dtype

if TYPE_CHECKING:
    from typing_extensions import Buffer


class SparseFile(io.RawIOBase):
    """A seekable file in memory that records which bytes were written; the others are zero."""

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
        """Set the length; data beyond it is kept, as HDF5 only ever grows a twin."""
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
        """Yield everything that was written, as offset and bytes."""
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


File: TypeAlias = h5py.File

#: HDF5 keeps a message of an object header below 64 KiB; Keras splits lists of names at this size.
_ATTRIBUTE_LIMIT_BYTES: Final = 64512
#: What an element of variable length takes in an attribute; its characters are in the heap.
_HEAP_REFERENCE_BYTES: Final = 16


@contextmanager
def opened(layout: SparseFile, mode: str, alignment: int = ALIGNMENT_BYTES) -> Iterator[File]:
    """Open the HDF5 file of a twin that is being written.

    Args:
        layout: the file that HDF5 works on.
        mode: `w` to create it, `r+` to add to it.
        alignment: of new objects, in bytes: 64 for all of them, or a page for those of a page and
            more.

    Yields:
        The open file; it is closed afterwards.
    """
    options: dict[str, Any] = {}
    if mode == "w":
        # By default HDF5 searches all gaps that the alignment left for room for the next object.
        options = {"userblock_size": USER_BLOCK_BYTES, "fs_strategy": "aggregate"}
    with h5py.File(
        layout,
        mode,
        libver=("earliest", "v110"),  # what every HDF5 since 1.10.1 (2017) reads
        alignment_threshold=alignment if alignment > ALIGNMENT_BYTES else 1,
        alignment_interval=alignment,
        **options,
    ) as file:
        yield file


def create_group(file: File, path: str, attributes: Mapping[str, AttributeValue]) -> None:
    """Create the group at *path* (`""` is the root) with *attributes*, after its parent."""
    created = h5py.h5g.create(file.id, path.encode(), _link_properties()) if path else file.id
    if attributes:
        manager = h5py.AttributeManager(h5py.Group(created) if path else file)
        for name, value in attributes.items():
            _set_attribute(manager, name, value)


def create_dataset(file: File, spec: WeightSpec) -> int:
    """Create the dataset of *spec* with its space in the file, unfilled.

    Returns:
        The absolute file offset of its first byte; 0 if it has no bytes.
    """
    dataset = _create_contiguous(file, spec.name, spec.shape, storage_dtype(spec.dtype))
    if not is_plain(spec.dtype):
        dataset.attrs["dtype"] = spec.dtype
    return _offset(dataset)


def reserve_bytes(file: File, path: str, nbytes: int) -> int:
    """Create a dataset of *nbytes* `uint8` at *path*, unfilled; return its offset, 0 if empty."""
    return _offset(_create_contiguous(file, path, (nbytes,), np.dtype("u1")))


def reserve_strings(file: File, spec: WeightSpec, nbytes: int) -> int:
    """Create the dataset of *nbytes* for the strings of *spec*; return its offset."""
    offset = reserve_bytes(file, spec.name, nbytes)
    attributes = file[spec.name].attrs
    attributes["dtype"] = spec.dtype
    attributes["shape"] = np.array(spec.shape, np.int64)
    return offset


def create_link(file: File, path: str, target: str) -> None:
    """Create a hard link *path* to the dataset *target*."""
    file[path] = file[target]


def _create_contiguous(
    file: File, path: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> h5py.Dataset:
    """Create a contiguous dataset with its space allocated; HDF5 has no file offset for any
    other.
    """
    space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
    kind = h5py.h5t.py_create(dtype, logical=True)
    made = h5py.h5d.create(
        file.id, path.encode(), kind, space, _contiguous(), lcpl=_link_properties()
    )
    return h5py.Dataset(made)


@cache
def _contiguous() -> Any:
    """Return the properties of a dataset that has its place from the start, unfilled."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    return creation


@cache
def _link_properties() -> Any:
    linking = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    linking.set_create_intermediate_group(True)
    linking.set_char_encoding(h5py.h5t.CSET_UTF8)
    return linking


def _offset(dataset: h5py.Dataset) -> int:
    """Return the absolute file offset; 0 for a dataset without elements, which has none."""
    return int(dataset.id.get_offset()) if dataset.size else 0


def _set_attribute(attributes: h5py.AttributeManager, name: str, value: AttributeValue) -> None:
    """Set one attribute; a long list becomes `name0`, `name1`, ..., as both generations of
    Keras read it.
    """
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
