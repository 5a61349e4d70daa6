"""Guarded reading of the HDF5 files that Keras writes: only what Keras would read of them."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Any, BinaryIO, Final

import h5py
import numpy as np
from h5py import h5a, h5d, h5s

from fastload.errors import UnconvertibleModelError, UnsafeSourceError
from fastload.lean_dataclass import dataclass
from fastload.source.hdf5_budget import Budget
from fastload.source.hdf5_chunks import check_chunks
from fastload.source.hdf5_walk import ModelWalk, StateWalk, Walk, WeightsWalk
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
    zlib.error,
    struct.error,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HDF5Source:
    """What Keras would read of an HDF5 file; weights are read by `stream`.

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
    _budget: Budget = field(repr=False)

    def stream(self) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        """Yield name and value of each weight in the order of `specs`, in native byte order.

        One weight is read at a time and none is kept: a caller that drops each before it takes the
        next never holds two. Strings come as an array of `bytes` objects, or of
        fixed-length bytes where the file has those.

        Raises:
            UnconvertibleModelError: the data is damaged.
            UnsafeSourceError: strings are longer in total than the file, or a chunk unpacks to more
                than it declares.
        """
        for spec in self.specs:
            yield spec.name, self._read(spec)

    def read(self, name: str) -> np.ndarray[Any, Any]:
        """Return the value of the weight *name*, one of `specs`; errors are those of `stream`."""
        return self._read(next(spec for spec in self.specs if spec.name == name))

    def _read(self, spec: WeightSpec) -> np.ndarray[Any, Any]:
        with _translated(repr(spec.name)):
            dataset = h5d.open(self._file.id, spec.name.encode())
            check_chunks(dataset, spec.name, self._budget.file_bytes)
            if h5py.check_vlen_dtype(dataset.dtype) is not None:
                return _read_strings(h5py.Dataset(dataset), spec.name, self._budget.file_bytes)
            return _read_plain(dataset, spec)


@contextmanager
def read_hdf5(path: str | os.PathLike[str]) -> Iterator[HDF5Source]:
    """Open a legacy HDF5 file of a model, and read everything but the weights.

    Every object on the way to what Keras reads is checked before it is used; others are not looked
    at.

    Args:
        path: path of the file.

    Yields:
        The content; its `stream` works until the context ends.

    Raises:
        UnsafeSourceError: soft or external links, external or virtual storage, references, shape
            bombs, a group with two paths, or a file that is a zip archive as well.
        UnconvertibleModelError: damaged, types and filters that Keras does not write, or more
            objects than a model has.
    """
    with _read_whole_file(path, ModelWalk) as found:
        yield found


@contextmanager
def read_weights(path: str | os.PathLike[str]) -> Iterator[HDF5Source]:
    """Open an HDF5 file of weights, and read everything but the weights; as `read_hdf5`.

    All groups are walked, as in `read_state`; of their attributes the names of layers and weights
    are read, and what wrote them.

    Args:
        path: path of the file.
    """
    with _read_whole_file(path, WeightsWalk) as found:
        yield found


@contextmanager
def _read_whole_file(
    path: str | os.PathLike[str], kind: Callable[[h5py.File, BinaryIO], ModelWalk | WeightsWalk]
) -> Iterator[HDF5Source]:
    with _translated("the HDF5 file"):
        if zipfile.is_zipfile(path):
            raise UnsafeSourceError("the HDF5 file is a zip archive as well")
        file = h5py.File(path, "r")
    with file:
        with _translated("the HDF5 file"), Path(path).open("rb") as raw:
            walk = kind(file, raw)
            walk.run()
        yield _content(walk, file)


def holds_model(path: str | os.PathLike[str]) -> bool:
    """Say whether an HDF5 file holds a model, and not weights alone.

    Raises:
        UnconvertibleModelError: it cannot be read.
    """
    with _translated("the HDF5 file"), h5py.File(path, "r") as file:
        return bool(h5a.exists(file.id, b"model_config"))


@contextmanager
def read_state(source: str | os.PathLike[str] | BinaryIO, config: bytes) -> Iterator[HDF5Source]:
    """Open the HDF5 file of the variables in a `.keras` archive; as `read_hdf5`.

    Which of its groups Keras would read only the classes in the model know: all are walked. Of the
    attributes only the names of layers are read.

    Args:
        source: a seekable file object that is open for reading bytes, or a path.
        config: the configuration of the model, as JSON.
    """
    with _translated("the HDF5 file"):
        file = h5py.File(source, "r")
    with file:
        with _translated("the HDF5 file"):
            walk = StateWalk(file, config)
            walk.run()
        yield _content(walk, file)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Translate what h5py raises for damaged files into `UnconvertibleModelError`."""
    try:
        yield
    except _DAMAGE as error:
        raise UnconvertibleModelError(f"{what} cannot be read: {error}") from error


def _content(walk: Walk, file: h5py.File) -> HDF5Source:
    return HDF5Source(
        groups=walk.groups,
        specs=tuple(walk.specs),
        links=walk.links,
        _file=file,
        _budget=walk.budget,
    )


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
