"""Open a twin: check its header and index, and map it, without an HDF5 library."""

from __future__ import annotations

import hashlib
import json
import math
import mmap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import field, replace
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from fastload import system
from fastload.errors import TwinCorruptError
from fastload.lean_dataclass import dataclass
from fastload.twin.format import ALIGNMENT_BYTES, REFUSALS, Header, Manifest, WeightRef
from fastload.twin.index import Index, parse_index, read_header
from fastload.twin.weights import STRING, Array, decode, storage_dtype

if TYPE_CHECKING:
    from fastload.twin.view import TwinFile

#: What a malformed index raises.
_MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Twin:
    """An open twin; immutable, so that threads can share it.

    The file stays mapped for as long as the twin or one of its arrays lives.

    Attributes:
        path: the file, which may be deleted by now.
        header: the header of the file, different from that of any other twin.
        manifest: all but the weights; documents are read, and checked, on access.
        refs: where each weight is, by name, in the order in which they were written.
    """

    path: Path
    header: Header
    manifest: Manifest
    refs: Mapping[str, WeightRef]
    _buffer: Array = field(repr=False)

    @classmethod
    def open(cls, path: Path, *, mapped: bool = True, place: Path | None = None) -> Twin:
        """Open the twin at *path*.

        Args:
            path: a file that `write_twin` wrote.
            mapped: map the file, so that weights are read on access and shared by processes; else
                read all of it now into memory of this process.
            place: the path that the file is about to get, where it is not *path*.

        Returns:
            The twin; the file itself is closed.

        Raises:
            FileNotFoundError: there is no such file.
            TwinCorruptError: it is not what was written; the error says in which way.
            TwinVersionError: it has a format version that this fastload does not read.
        """
        with path.open("rb", buffering=0) as file:
            header = read_header(path, file)
            buffer = _map(file) if mapped else _read(path, file, header.file_nbytes)
        path = place or path
        index = _read_index(path, header, buffer)
        refs = MappingProxyType({ref.name: ref for ref in index.weights})
        documents = _Documents(path, {ref.name: ref for ref in index.documents}, buffer)
        manifest = replace(index.manifest, documents=documents)
        return cls(path=path, header=header, manifest=manifest, refs=refs, _buffer=buffer)

    @property
    def weights_nbytes(self) -> int:
        """Stored bytes of all weights."""
        return sum(ref.nbytes for ref in self.refs.values())

    @property
    def refusals(self) -> Mapping[str, tuple[str, str]]:
        """Error code and reason of each section that it lacks."""
        if REFUSALS not in self.manifest.documents:
            return {}
        found: dict[str, tuple[str, str]] = json.loads(self.document(REFUSALS))
        return found

    @property
    def extent(self) -> tuple[int, int]:
        """Its place in memory: the address of its first byte, and the number of bytes."""
        return self._buffer.ctypes.data, self._buffer.nbytes

    def release_pages(self) -> None:
        """Release the pages that were read; they are read again on access.

        Changes to arrays of the twin are lost. Does nothing where the system cannot do it.
        """
        self._advise(getattr(mmap, "MADV_DONTNEED", None))

    def keep_in_memory(self) -> None:
        """Have pages of this process's own in place of the file's, whatever becomes of the file.

        Does nothing where the system cannot do it: it is Linux that can, from 5.14 on.
        """
        with suppress(OSError):
            self._advise(system.POPULATE_WRITE)

    def _advise(self, advice: int | None) -> None:
        mapping = self._buffer.base
        mapping = getattr(mapping, "obj", mapping)
        if isinstance(mapping, mmap.mmap) and advice is not None:
            mapping.madvise(advice)

    @property
    def root(self) -> TwinFile:
        """The twin as h5py would show it.

        Raises:
            TwinCorruptError: the names in its index are no tree.
        """
        # Imported here: predictors do without.
        from fastload.twin.view import Contents, Tree, TwinFile

        try:
            tree = Tree.of(self.manifest, self.refs)
        except _MALFORMED as error:
            raise TwinCorruptError(self.path, f"its index is malformed: {error}") from error
        return TwinFile(Contents(tree=tree, attributes=self.manifest.groups, array=self.array))

    def array(self, name: str) -> Array:
        """Return the values of a weight.

        Args:
            name: its name in `refs`.

        Returns:
            A view of the twin at a multiple of 64 bytes. Writing to it changes the memory of this
            process, never the file, and later calls see it. Strings, and weights without elements,
            are new arrays.

        Raises:
            KeyError: there is no such weight.
            TwinCorruptError: its strings are malformed.
        """
        try:
            return decode(self._buffer, self.refs[name])
        except ValueError as error:
            raise TwinCorruptError(self.path, str(error)) from error

    def addresses(self) -> dict[int, str]:
        """Return the names of weights by the address of their first byte in memory."""
        start: int = self._buffer.ctypes.data
        return {start + ref.offset: ref.name for ref in self.refs.values() if ref.nbytes}

    def document(self, name: str) -> bytes:
        """Return a document.

        Raises:
            KeyError: there is no such document.
            TwinCorruptError: its bytes do not match their digest.
        """
        return self.manifest.documents[name]

    def verify(self) -> tuple[str, ...]:
        """Read every weight and return the names of those whose bytes do not match their digest."""
        refs = self.refs.values()
        return tuple(ref.name for ref in refs if not _matches(_bytes_at(self._buffer, ref), ref))


class _Documents(Mapping[str, bytes]):
    """The documents of a twin, read and checked on access."""

    def __init__(self, path: Path, refs: Mapping[str, WeightRef], buffer: Array) -> None:
        self._path, self._refs, self._buffer = path, refs, buffer

    def __getitem__(self, name: str) -> bytes:
        ref = self._refs[name]
        data = _bytes_at(self._buffer, ref)
        if not _matches(data, ref):
            raise TwinCorruptError(self._path, f"the document {name!r} does not match its digest")
        return data.tobytes()

    def __iter__(self) -> Iterator[str]:
        return iter(self._refs)

    def __len__(self) -> int:
        return len(self._refs)


def _map(file: FileIO) -> Array:
    """Map the file copy-on-write: it must not change, and TensorFlow needs a writable buffer."""
    return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), np.uint8)


def _read(path: Path, file: FileIO, nbytes: int) -> Array:
    """Read the file into memory that begins at a multiple of 64."""
    memory = np.empty(nbytes + ALIGNMENT_BYTES, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT_BYTES
    buffer = memory[start : start + nbytes]
    file.seek(0)
    rest = buffer.data
    while rest:
        count = file.readinto(rest)
        if not count:
            raise TwinCorruptError(path, f"it ended {len(rest)} bytes early while it was read")
        rest = rest[count:]
    return buffer


def _read_index(path: Path, header: Header, buffer: Array) -> Index:
    """Read the index, and check that every place in it is in the file."""
    data = buffer.data[header.index_offset : header.index_offset + header.index_nbytes]
    index = parse_index(path, header, data)
    try:
        for ref in (*index.weights, *index.documents):
            _check_place(ref, header.file_nbytes)
    except _MALFORMED as error:
        raise TwinCorruptError(path, f"its index is malformed: {error}") from error
    return index


def _check_place(ref: WeightRef, file_nbytes: int) -> None:
    """Check that *ref* is inside the file, aligned, and as long as its shape says."""
    inside = 0 <= ref.offset <= ref.offset + ref.nbytes <= file_nbytes
    if ref.offset % ALIGNMENT_BYTES or not inside:
        raise ValueError(f"{ref.name!r} is not where a weight can be")
    expected = storage_dtype(ref.dtype).itemsize * math.prod(ref.shape)
    if ref.dtype != STRING and expected != ref.nbytes:
        raise ValueError(f"{ref.name!r} has {ref.nbytes} bytes, but its shape needs {expected}")


def _bytes_at(buffer: Array, ref: WeightRef) -> Array:
    return buffer[ref.offset : ref.offset + ref.nbytes]


def _matches(data: Array, ref: WeightRef) -> bool:
    return hashlib.sha256(data.data).hexdigest() == ref.sha256
