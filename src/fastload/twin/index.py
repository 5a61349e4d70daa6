"""The index of a twin as JSON: everything about it but the bytes of its weights and documents."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastload.twin.format import AttributeValue, Manifest, WeightRef

_BYTES: Final = "$bytes"

#: The key of `Manifest.generation` in the JSON of format version 1.
_GENERATION: Final = "flavour"


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What the index dataset holds.

    Attributes:
        manifest: what the twin was made from; its `documents` are empty here.
        weights: where each weight is, in the order in which the writer was given them.
        documents: where each document is, under its bare name, as a run of `uint8`.
    """

    manifest: Manifest
    weights: tuple[WeightRef, ...]
    documents: tuple[WeightRef, ...]

    def to_bytes(self) -> bytes:
        """Return the index as compact JSON.

        Raises:
            TypeError: an attribute has a type that an index cannot hold; the message names it.
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
            AttributeError, KeyError, TypeError, ValueError: this is not what `to_bytes` writes.
        """
        content = json.loads(bytes(data))
        weights, documents = _refs(content.pop("weights")), _refs(content.pop("documents"))
        groups = content.pop("groups")
        for attributes in groups.values():
            attributes.update((name, _plain(value)) for name, value in attributes.items())
        generation = content.pop(_GENERATION)
        manifest = Manifest(generation=generation, groups=groups, **content)
        return cls(manifest=manifest, weights=weights, documents=documents)


def plain_groups(groups: Mapping[str, Mapping[str, AttributeValue]]) -> dict[str, Any]:
    """Return the attributes of all groups as values that JSON can hold.

    Raises:
        TypeError: an index cannot hold one of them; the message names its group.
    """
    return {path: _attributes(path, attributes) for path, attributes in groups.items()}


def _row(ref: WeightRef) -> list[Any]:
    return [ref.name, ref.dtype, list(ref.shape), ref.offset, ref.nbytes, ref.sha256]


def _refs(rows: Iterable[list[Any]]) -> tuple[WeightRef, ...]:
    return tuple(
        WeightRef(
            name=name, dtype=dtype, shape=tuple(shape), offset=offset, nbytes=nbytes, sha256=sha256
        )
        for name, dtype, shape, offset, nbytes, sha256 in rows
    )


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
        raise TypeError(f"a {type(value).__name__} that is no list of str or of bytes")
    return list(value)


def _plain(value: Any) -> Any:
    """Return what `_tagged` was given."""
    if not isinstance(value, dict):
        return value
    data = value[_BYTES]
    if isinstance(data, list):
        return [base64.b64decode(each) for each in data]
    return base64.b64decode(data)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
