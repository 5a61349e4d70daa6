"""The index of a twin: everything but the bytes of its weights and documents, as checked JSON.

Reading it neither maps the file nor imports numpy.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any, Final

from fastload.errors import TwinCorruptError, TwinVersionError
from fastload.lean_dataclass import dataclass
from fastload.twin.format import (
    FORMAT_VERSION,
    USER_BLOCK_BYTES,
    AttributeValue,
    Header,
    Manifest,
    WeightRef,
)

_BYTES: Final = "$bytes"

#: The key of `Manifest.generation` in the JSON of format version 1.
_GENERATION: Final = "flavour"


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What the index dataset holds.

    Attributes:
        manifest: the manifest, without the documents' contents.
        weights: where each weight is, in the writer's order.
        documents: where each document is, by its bare name, as bytes.
    """

    manifest: Manifest
    weights: tuple[WeightRef, ...]
    documents: tuple[WeightRef, ...]

    def to_bytes(self) -> bytes:
        """Return the index as compact JSON.

        Raises:
            TypeError: an index cannot hold the type of an attribute; the message names its group.
        """
        manifest = self.manifest
        content = {
            "source_kind": manifest.source_kind,
            "source_digest": manifest.source_digest,
            _GENERATION: manifest.generation,
            "groups": plain_groups(manifest.groups),
            "links": dict(manifest.links),
            "object_names": dict(manifest.object_names),
            "versions": dict(manifest.versions),
            "weights": [_row(ref) for ref in self.weights],
            "documents": [_row(ref) for ref in self.documents],
        }
        # ASCII: a name with a lone surrogate has no UTF-8, but JSON can escape it.
        return json.dumps(content, separators=(",", ":"), ensure_ascii=True).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Index:
        """Read an index.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: it was not written by `to_bytes`.
        """
        content = json.loads(bytes(data))
        weights, documents = _refs(content.pop("weights")), _refs(content.pop("documents"))
        groups = content.pop("groups")
        for attributes in groups.values():
            attributes.update((name, _plain(value)) for name, value in attributes.items())
        generation = content.pop(_GENERATION)
        manifest = Manifest(generation=generation, groups=groups, **content)
        _require_texts(manifest)
        return cls(manifest=manifest, weights=weights, documents=documents)


def plain_groups(groups: Mapping[str, Mapping[str, AttributeValue]]) -> dict[str, Any]:
    """Return the attributes of all groups as values that JSON can hold.

    Raises:
        TypeError: an index cannot hold one of them; the message names its group.
    """
    return {path: _attributes(path, attributes) for path, attributes in groups.items()}


def _row(ref: WeightRef) -> list[Any]:
    return [ref.name, ref.dtype, list(ref.shape), ref.offset, ref.nbytes, ref.sha256]


#: Of the values of a row.
_KINDS: Final = (str, str, list, int, int, str)


def _refs(rows: Iterable[list[Any]]) -> tuple[WeightRef, ...]:
    """Return what a list of rows says of weights; somebody else may have written it."""
    rows = list(rows)
    for row in rows:
        if tuple(map(type, row)) != _KINDS or any(type(each) is not int for each in row[2]):
            raise TypeError(f"{row!r:.80} is not about a weight")
    return tuple(
        WeightRef(
            name=name, dtype=dtype, shape=tuple(shape), offset=offset, nbytes=nbytes, sha256=sha256
        )
        for name, dtype, shape, offset, nbytes, sha256 in rows
    )


def _require_texts(manifest: Manifest) -> None:
    """Check that there are strings where there should be."""
    mappings = (manifest.links, manifest.object_names, manifest.versions)
    texts = [manifest.source_kind, manifest.source_digest, manifest.generation]
    for text in (*texts, *(text for mapping in mappings for text in mapping.values())):
        if type(text) is not str:
            raise TypeError(f"{text!r:.80} is not a string")


def _attributes(path: str, attributes: Mapping[str, AttributeValue]) -> dict[str, Any]:
    """Return the attributes of the group at *path* as values that JSON can hold."""
    try:
        return {key: _tagged(value) for key, value in attributes.items()}
    except TypeError as error:
        raise TypeError(f"the group {path!r} has an attribute that is {error}") from None


def _tagged(value: AttributeValue) -> Any:
    """Return *value* with bytes, which JSON does not know, in Base64 under a tag."""
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, bytes):
        return {_BYTES: _base64(value)}
    kinds = {type(element) for element in value} if isinstance(value, (list, tuple)) else {None}
    if kinds and kinds <= {bytes}:
        return {_BYTES: [_base64(element) for element in value if isinstance(element, bytes)]}
    if not kinds <= {str}:
        raise TypeError(f"a {type(value).__name__} that is not a list of str or of bytes")
    return list(value)


def _plain(value: Any) -> Any:
    """Return the value that `_tagged` encoded."""
    if not isinstance(value, dict):
        return value
    data = value[_BYTES]
    if isinstance(data, list):
        return [base64.b64decode(each) for each in data]
    return base64.b64decode(data)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def read_header(path: Path, file: FileIO) -> Header:
    """Read the header, and check the length of the file against it.

    Args:
        path: the twin, for messages.
        file: the twin, open at its start.

    Raises:
        TwinCorruptError: it is not what was written.
        TwinVersionError: it has a format version that this fastload does not read.
    """
    try:
        header = Header.from_bytes(file.read(USER_BLOCK_BYTES))
    except ValueError as error:
        raise TwinCorruptError(path, str(error)) from None
    if header.format_version != FORMAT_VERSION:
        raise TwinVersionError(path, header.format_version, FORMAT_VERSION)
    size = os.fstat(file.fileno()).st_size
    if size != header.file_nbytes:
        raise TwinCorruptError(path, f"it has {size} bytes where {header.file_nbytes} were written")
    if header.index_offset + header.index_nbytes > size:
        raise TwinCorruptError(path, "its index lies outside the file")
    return header


def parse_index(path: Path, header: Header, data: bytes | memoryview) -> Index:
    """Check the bytes of an index against their digest and decode them.

    Args:
        path: the twin, for messages.
        header: its header.
        data: the bytes of the index.

    Raises:
        TwinCorruptError: the bytes are not what was written.
    """
    if hashlib.sha256(data).digest() != header.index_sha256:
        raise TwinCorruptError(path, "its index does not match its digest")
    try:
        return Index.from_bytes(data)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise TwinCorruptError(path, f"its index is malformed: {error}") from error


def read_index(path: Path) -> Index:
    """Return the index of a twin; weights and documents are neither read nor checked.

    Takes 1 ms for a network of 300 weights.

    Args:
        path: a file that `write_twin` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        TwinCorruptError: its header or index is not what was written.
        TwinVersionError: it has a format version that this fastload does not read.
    """
    with path.open("rb", buffering=0) as file:
        header = read_header(path, file)
        file.seek(header.index_offset)
        data = file.read(header.index_nbytes)
    return parse_index(path, header, data)


def read_document(path: Path, index: Index, name: str) -> bytes | None:
    """Return a document of the twin at *path*, or None if it has no such document.

    Args:
        path: the twin.
        index: its index.
        name: as in `twin.format`.

    Raises:
        TwinCorruptError: its bytes do not match their digest.
    """
    refs = {ref.name: ref for ref in index.documents}
    if name not in refs:
        return None
    with path.open("rb", buffering=0) as file:
        file.seek(refs[name].offset)
        content = file.read(refs[name].nbytes)
    if hashlib.sha256(content).hexdigest() != refs[name].sha256:
        raise TwinCorruptError(path, f"its document {name!r} does not match its digest")
    return content
