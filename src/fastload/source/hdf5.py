"""Guarded reading of the HDF5 files that Keras writes, from a path or from an open file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import h5py
import numpy as np
from h5py import h5d, h5g, h5o, h5s

from fastload.errors import UnconvertibleModelError, UnsafeSourceError
from fastload.source.hdf5_guard import check_link, check_storage, dtype_name
from fastload.source.limits import HDF5_EXPANSION, HDF5_TOTAL_FLOOR_BYTES, is_bomb
from fastload.twin.format import AttributeValue, WeightSpec, dtype_of

#: What h5py and HDF5 raise for damaged files; memory runs out where a damaged size is believed.
_DAMAGE: Final = (
    OSError,
    LookupError,
    RuntimeError,
    ValueError,
    TypeError,
    ArithmeticError,
    MemoryError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HDF5Source:
    """Everything in a Keras HDF5 file; weights are read by `stream`.

    Attributes:
        groups: attributes by group path; `""` is the root. Values are `str`, `bytes`, `int`,
            `float`, `bool`, or lists of `str` or `bytes`.
        specs: one for each dataset, in the order of the walk.
        links: further paths of datasets that occur more than once: `{path: name in specs}`.
    """

    groups: Mapping[str, Mapping[str, AttributeValue]]
    specs: tuple[WeightSpec, ...]
    links: Mapping[str, str]
    _file: h5py.File = field(repr=False)
    _file_bytes: int = field(repr=False)

    def stream(self) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        """Yield name and value of each weight in the order of `specs`, in native byte order.

        One weight is read at a time and none is kept: a caller that drops each before it takes the
        next never holds two. Strings come as an array of `bytes` objects, or of
        fixed-length bytes where the file has those.

        Raises:
            UnconvertibleModelError: the data is damaged.
            UnsafeSourceError: strings are longer in total than the file.
        """
        for spec in self.specs:
            yield spec.name, self._read(spec)

    def _read(self, spec: WeightSpec) -> np.ndarray[Any, Any]:
        with _translated(repr(spec.name)):
            dataset = h5d.open(self._file.id, spec.name.encode())
            if h5py.check_vlen_dtype(dataset.dtype) is not None:
                return _read_strings(h5py.Dataset(dataset), spec.name, self._file_bytes)
            return _read_plain(dataset, spec)


@contextmanager
def read_hdf5(source: str | os.PathLike[str] | BinaryIO) -> Iterator[HDF5Source]:
    """Open an HDF5 file, check all of its objects, and read everything but the weights.

    Args:
        source: path of a file, or a seekable file object that is open for reading bytes.

    Yields:
        The content; its `stream` works until the context ends.

    Raises:
        UnsafeSourceError: soft or external links, external or virtual storage, references, shape
            bombs, a group with two paths, or a file that is a zip archive as well.
        UnconvertibleModelError: damaged, or types and filters that Keras does not write.
    """
    with _translated("the HDF5 file"):
        if isinstance(source, (str, os.PathLike)) and zipfile.is_zipfile(source):
            raise UnsafeSourceError("the HDF5 file is a zip archive as well")
        file = h5py.File(source, "r")
    with file:
        with _translated("the HDF5 file"):
            content = _scan(file)
        yield content


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Translate what h5py raises for damaged files into `UnconvertibleModelError`."""
    try:
        yield
    except _DAMAGE as error:
        raise UnconvertibleModelError(f"{what} cannot be read: {error}") from error


def _scan(file: h5py.File) -> HDF5Source:
    """Walk the whole file, checking every object before it is used."""
    walk = _Walk(file_bytes=int(file.id.get_filesize()))
    pending = [("", h5g.open(file.id, b"/"))]
    while pending:
        path, group = pending.pop()
        pending += walk.enter(path, group)
    return HDF5Source(
        groups=walk.groups,
        specs=tuple(walk.specs),
        links=walk.links,
        _file=file,
        _file_bytes=walk.file_bytes,
    )


class _Walk:
    """What a walk has collected so far."""

    def __init__(self, *, file_bytes: int) -> None:
        self.file_bytes = file_bytes
        self.groups: dict[str, Mapping[str, AttributeValue]] = {}
        self.specs: list[WeightSpec] = []
        self.links: dict[str, str] = {}
        self._declared_bytes = 0
        self._first_path: dict[object, str] = {}

    def enter(self, path: str, group: h5g.GroupID) -> list[tuple[str, h5g.GroupID]]:
        """Add a group and its datasets; return its subgroups."""
        first = self._first_path.setdefault(_address(group), path)
        if first != path:
            raise UnsafeSourceError(f"the group {path!r} in the HDF5 file is {first!r} again")
        self.groups[path] = _attributes(group, path)
        subgroups = []
        for name in group:
            child = f"{path}/{name.decode()}" if path else name.decode()
            check_link(group, name, child)
            found = h5o.open(group, name)
            if isinstance(found, h5g.GroupID):
                subgroups.append((child, found))
            else:
                self._add_dataset(child, found)
        return subgroups[::-1]

    def _add_dataset(self, path: str, dataset: h5d.DatasetID) -> None:
        if not isinstance(dataset, h5d.DatasetID):
            raise UnconvertibleModelError(f"{path!r} in the HDF5 file is a bare datatype")
        first = self._first_path.setdefault(_address(dataset), path)
        if first != path:
            self.links[path] = first
            return
        self._count(check_storage(dataset, path, self.file_bytes))
        dtype = dtype_name(dataset, path)
        self.specs.append(WeightSpec(name=path, dtype=dtype, shape=dataset.shape))

    def _count(self, declared_bytes: int) -> None:
        self._declared_bytes += declared_bytes
        if is_bomb(
            self._declared_bytes,
            self.file_bytes,
            expansion=HDF5_EXPANSION,
            floor_bytes=HDF5_TOTAL_FLOOR_BYTES,
        ):
            raise UnsafeSourceError(
                f"the datasets of the HDF5 file declare over {self._declared_bytes:,} bytes"
                f" in a file of {self.file_bytes:,}"
            )


def _address(found: Any) -> object:
    """Return a value that is equal for all names of one object."""
    return h5o.get_info(found).addr


def _attributes(group: h5g.GroupID, path: str) -> dict[str, AttributeValue]:
    return {
        name: _attribute(value, f"the attribute {name!r} of {path or '/'!r} in the HDF5 file")
        for name, value in h5py.Group(group).attrs.items()
    }


def _attribute(value: Any, what: str) -> AttributeValue:
    """Return an attribute's value in plain Python types, `str` and `bytes` kept apart."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = _texts(value)
    if value is None or not isinstance(value, (str, bytes, int, float, list)):
        raise UnconvertibleModelError(f"{what} is neither text nor a number")
    if isinstance(value, str):
        value.encode()  # raises a ValueError for text that is not UTF-8
    return value


def _texts(values: np.ndarray[Any, Any]) -> list[str] | list[bytes] | None:
    """Return a list of `str` or of `bytes`, or None if *values* are anything else."""
    # A layer without weights has an empty list of names, which numpy stores as floats.
    items = values.tolist() if values.size else []
    if all(isinstance(item, str) for item in items):
        "".join(items).encode()
        return items
    return items if all(isinstance(item, bytes) for item in items) else None


def _read_plain(dataset: h5d.DatasetID, spec: WeightSpec) -> np.ndarray[Any, Any]:
    """Read fixed-size values in one call."""
    value = np.empty(dataset.shape, dataset.dtype.newbyteorder("="))
    if value.size:
        dataset.read(h5s.ALL, h5s.ALL, value)
    return value if spec.dtype == "string" else value.view(dtype_of(spec.dtype))


def _read_strings(dataset: h5py.Dataset, path: str, file_bytes: int) -> np.ndarray[Any, Any]:
    """Read strings one by one: many short references may name one long string."""
    value = np.empty(dataset.shape, object)
    left = file_bytes
    for index in np.ndindex(*dataset.shape):
        value[index] = dataset[index]
        left -= len(value[index])
        if left < 0:
            raise UnsafeSourceError(f"the strings of {path!r} are longer than the HDF5 file")
    return value
