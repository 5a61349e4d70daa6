"""Write a twin: HDF5 lays out the file, then weights are streamed straight to their places."""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fastload import system
from fastload.lean_dataclass import dataclass
from fastload.twin import hdf5_layout as hdf5
from fastload.twin.digests import NO_DIGEST, add_digests, write_at
from fastload.twin.format import (
    DOCUMENTS_GROUP,
    INDEX_DATASET,
    PAGE_BYTES,
    Header,
    Manifest,
    WeightRef,
    WeightSpec,
    WeightStream,
)
from fastload.twin.hdf5_layout import SparseFile
from fastload.twin.index import Index, plain_groups
from fastload.twin.view import Tree, require_valid
from fastload.twin.weights import STRING, Array, dtype_name, encode, encode_strings, stored_nbytes

#: What is written at once. Larger writes have Linux look for larger pieces of memory: 4 MiB at once
#: took 0.1 to 1.2 s for 500 MB on ext4, 1 MiB at once 0.1 s (Linux 6.18 on a virtual machine).
_WRITTEN_BYTES: Final = 2**20


def write_twin(
    path: Path, manifest: Manifest, specs: Sequence[WeightSpec], stream: WeightStream
) -> int:
    """Write the twin of a model to *path*.

    The file is complete when this returns, but not flushed to disk: the publisher does that. If
    this raises, the file at *path* is not a twin, as the header is written last.

    Args:
        path: the file to write; an existing one is replaced.
        manifest: everything but the weights.
        specs: the weights, in the order for readers.
        stream: `(name, values)` of each weight once, in any order; only one is held at a time.

    Returns:
        The size of the file, in bytes.

    Raises:
        ValueError: names collide or are impossible in HDF5, or the stream does not match *specs*;
            the message names the weight.
        TypeError: an attribute has a type that a twin cannot hold.
        OSError: the disk is full, or writing fails otherwise.
    """
    nbytes = write_without_digests(path, manifest, specs, stream)
    add_digests(path)
    return nbytes


def write_without_digests(
    path: Path, manifest: Manifest, specs: Sequence[WeightSpec], stream: WeightStream
) -> int:
    """Write a twin that can be read, but not published before `digests.add_digests` is called.

    Arguments, result and errors are those of `write_twin`.
    """
    plain_groups(manifest.groups)  # raises for what an index cannot hold, before there is a file
    tree = _checked_tree(manifest, specs)
    layout = SparseFile()
    placed = _lay_out(layout, manifest, tree, specs)
    with _opened(path) as file:
        strings = _write_weights(file, specs, placed, stream)
        return _complete(layout, file, manifest, specs, _Written(refs=placed, strings=strings))


@contextmanager
def _opened(path: Path) -> Iterator[io.FileIO]:
    """Open the empty file at *path*; created where there is none.

    An empty file is not truncated: ext4 writes a file that was truncated to the disk as it is
    closed, and the caller would wait for that
    (https://docs.kernel.org/admin-guide/ext4.html, `auto_da_alloc`).
    """
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
    with io.FileIO(system.open_to_write(path, flags, 0o600), "w") as file:
        if os.fstat(file.fileno()).st_size:
            file.truncate()
        yield file


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """The weights that are in place, and the strings, which have no place yet."""

    refs: Mapping[str, WeightRef]
    strings: Mapping[str, bytes]


def _checked_tree(manifest: Manifest, specs: Sequence[WeightSpec]) -> Tree:
    """Return the tree of names, after checking that HDF5 can hold each."""
    names = [spec.name for spec in specs]
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"the weight {name!r} is listed {count} times")
    for path in (*names, *manifest.links, *filter(None, manifest.groups), *manifest.documents):
        require_valid(path)
    return Tree.of(manifest, names)


def _lay_out(
    layout: SparseFile, manifest: Manifest, tree: Tree, specs: Sequence[WeightSpec]
) -> Mapping[str, WeightRef]:
    """Create all groups, and all datasets but those of strings; return the places of weights."""
    placed = [spec for spec in specs if spec.dtype != STRING]
    small = [spec for spec in placed if stored_nbytes(spec) < PAGE_BYTES]
    large = [spec for spec in placed if stored_nbytes(spec) >= PAGE_BYTES]
    with hdf5.opened(layout, "w") as file:
        for group in sorted(tree.children):  # parents first
            hdf5.create_group(file, group, manifest.groups.get(group, {}))
        offsets = {spec.name: hdf5.create_dataset(file, spec) for spec in small}
    # Alignment is a property of the open file, not of the dataset: pages need a second opening.
    with hdf5.opened(layout, "r+", alignment=PAGE_BYTES) as file:
        offsets |= {spec.name: hdf5.create_dataset(file, spec) for spec in large}
    return {
        spec.name: _ref(spec, offsets[spec.name], stored_nbytes(spec), NO_DIGEST) for spec in placed
    }


def _write_weights(
    file: io.FileIO,
    specs: Sequence[WeightSpec],
    placed: Mapping[str, WeightRef],
    stream: WeightStream,
) -> Mapping[str, bytes]:
    """Write every weight of the stream to its place; return the strings, which have none yet."""
    pending = {spec.name: spec for spec in specs}
    strings = {}
    for name, array in stream:
        spec = _take(pending, name, array)
        if spec.dtype == STRING:
            strings[name] = _encode_strings(name, array)
        else:
            _write_weight(file, placed[name].offset, array)
        # Otherwise this weight would live while the stream reads the next one.
        del array
    if pending:
        raise ValueError(f"the stream ended without the weight {min(pending)!r}")
    return strings


def _take(pending: dict[str, WeightSpec], name: str, array: Array) -> WeightSpec:
    """Remove the spec of *array* from *pending*, check the array against it, and return it."""
    if name not in pending:
        raise ValueError(f"the stream has the weight {name!r} twice, or it is not listed")
    spec = pending.pop(name)
    found = (dtype_name(array), array.shape)
    if found != (spec.dtype, tuple(spec.shape)):
        raise ValueError(
            f"the weight {name!r} is listed as {spec.dtype} {list(spec.shape)}, "
            f"but the stream has {found[0]} {list(found[1])}"
        )
    return spec


def _write_weight(file: io.FileIO, offset: int, array: Array) -> None:
    file.seek(offset)
    for piece in encode(array):
        _write_all(file, piece)


def _write_all(file: io.FileIO, data: memoryview) -> None:
    """Write *data* at the current position."""
    while data:
        data = data[file.write(data[:_WRITTEN_BYTES]) :]


def _encode_strings(name: str, array: Array) -> bytes:
    try:
        return encode_strings(array)
    except ValueError as error:
        raise ValueError(f"the weight {name!r}: {error}") from None


def _complete(
    layout: SparseFile,
    file: io.FileIO,
    manifest: Manifest,
    specs: Sequence[WeightSpec],
    written: _Written,
) -> int:
    """Add what had to wait for the weights: strings, documents, links and the index.

    Returns:
        The size of the file.
    """
    with hdf5.opened(layout, "r+") as root:
        strings = _write_strings(root, file, specs, written.strings)
        documents = _write_documents(root, file, manifest.documents)
        for link, target in manifest.links.items():
            hdf5.create_link(root, link, target)
        refs = {**written.refs, **strings}
        ordered = tuple(refs[spec.name] for spec in specs)
        index = Index(manifest=manifest, weights=ordered, documents=documents).to_bytes()
        offset = hdf5.reserve_bytes(root, INDEX_DATASET, len(index))
        write_at(file, offset, index)
    header = Header(
        index_offset=offset,
        index_nbytes=len(index),
        file_nbytes=layout.size,
        index_sha256=hashlib.sha256(index).digest(),
    )
    _write_layout(file, layout)
    write_at(file, 0, header.to_bytes())
    return layout.size


def _write_strings(
    root: hdf5.File, file: io.FileIO, specs: Sequence[WeightSpec], strings: Mapping[str, bytes]
) -> dict[str, WeightRef]:
    """Write the string weights, whose sizes are known only now."""
    refs = {}
    for spec in specs:
        if spec.dtype == STRING:
            data = strings[spec.name]
            offset = hdf5.reserve_strings(root, spec, len(data))
            write_at(file, offset, data)
            refs[spec.name] = _stored(spec, offset, data)
    return refs


def _write_documents(
    root: hdf5.File, file: io.FileIO, documents: Mapping[str, bytes]
) -> tuple[WeightRef, ...]:
    """Write the documents."""
    refs = []
    for name, data in documents.items():
        offset = hdf5.reserve_bytes(root, f"{DOCUMENTS_GROUP}/{name}", len(data))
        write_at(file, offset, data)
        spec = WeightSpec(name=name, dtype="uint8", shape=(len(data),))
        refs.append(_stored(spec, offset, data))
    return tuple(refs)


def _write_layout(file: io.FileIO, layout: SparseFile) -> None:
    """Write HDF5's own structures around the weights, and set the length of the file."""
    for offset, piece in layout.pieces():
        write_at(file, offset, piece)
    file.truncate(layout.size)


def _stored(spec: WeightSpec, offset: int, data: bytes) -> WeightRef:
    return _ref(spec, offset, len(data), hashlib.sha256(data).hexdigest())


def _ref(spec: WeightSpec, offset: int, nbytes: int, sha256: str) -> WeightRef:
    return WeightRef(
        name=spec.name,
        dtype=spec.dtype,
        shape=tuple(spec.shape),
        offset=offset,
        nbytes=nbytes,
        sha256=sha256,
    )
