"""The parts of a `saved_model.pb` that a conversion needs, cut out without parsing the rest.

Nearly all of the file is traced functions (10.8 of 13.2 MB in EfficientNetB7). A protocol buffer is
a sequence of fields, each with a number and a length, so the needed ones can be cut out of the
mapped file.

Format: https://protobuf.dev/programming-guides/encoding/ and `saved_model.proto`,
`meta_graph.proto` in TensorFlow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fastload.errors import UnconvertibleModelError
from fastload.lean_dataclass import dataclass

# SavedModel and MetaGraphDef, by field number.
_META_GRAPHS: Final = 2
_META_INFO: Final = 1
_GRAPH: Final = 2
_COLLECTION: Final = 4
_ASSET: Final = 6
_OBJECT_GRAPH: Final = 7
# AssetFileDef; CollectionDef and its parts, in which TensorFlow listed assets before 1.9.
_ASSET_NAME: Final = 2
_KEY: Final = 1
_VALUE: Final = 2
_ANY_LIST: Final = 5
_ANY: Final = 1
_ANY_VALUE: Final = 2
_ASSETS_KEY: Final = "saved_model_assets"
# GraphDef, NodeDef, FunctionDefLibrary, FunctionDef, OpDef.
_NODE: Final = 1
_LIBRARY: Final = 2
_NODE_NAME: Final = 1
_FUNCTION: Final = 1
_SIGNATURE: Final = 1
_SIGNATURE_NAME: Final = 1
# MetaGraphDef.MetaInfoDef: version of TensorFlow and its git version.
_TENSORFLOW_VERSION: Final = 5
_TENSORFLOW_GIT_VERSION: Final = 6

#: Where Keras keeps what it knows of its objects; before TensorFlow 2.5, in the object graph.
_KERAS_METADATA: Final = "keras_metadata.pb"
#: The beginning of what such objects are called in the graph.
_OF_KERAS: Final = b"_tf_keras_"

#: Extent of a missing field.
_NOTHING: Final = (0, 0)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES: Final = 10
#: Set in every byte of a number but its last.
_MORE_FOLLOWS: Final = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModelParts:
    """What a conversion reads of a `saved_model.pb`.

    Attributes:
        object_graph: the bytes of its `SavedObjectGraph`.
        tensorflow_version: the version that wrote it.
        tensorflow_git_version: its commit.
    """

    object_graph: bytes
    tensorflow_version: str
    tensorflow_git_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionParts:
    """What a `saved_model.pb` holds for calling its functions.

    Attributes:
        objects: the bytes of a `SavedModel` with the `MetaInfoDef`, the object graph, the assets,
            the requested nodes, and the library without functions. They are copied, not parsed:
            parsing may reorder the entries of a map.
        library: the bytes of the `FunctionDefLibrary`.
        functions: offset and length in `library` of each `FunctionDef`, by name.
    """

    objects: bytes
    library: bytes
    functions: Mapping[str, tuple[int, int]]


def has_objects(path: Path) -> bool:
    """Say whether TensorFlow 2 wrote the `saved_model.pb` at *path*.

    Raises:
        UnconvertibleModelError: it is damaged.
    """
    with _opened(path) as view:
        graphs = _grouped(view, (0, len(view))).get(_META_GRAPHS, [])
        return len(graphs) == 1 and _OBJECT_GRAPH in _grouped(view, graphs[0])


def has_keras_objects(folder: Path) -> bool:
    """Say whether Keras 2 wrote the SavedModel in *folder*: Keras 3 exports functions alone.

    Raises:
        UnconvertibleModelError: it is damaged, or TensorFlow 2 did not write it.
    """
    graph = read_saved_model(folder / "saved_model.pb").object_graph
    return (folder / _KERAS_METADATA).exists() or _OF_KERAS in graph


def read_asset_names(path: Path) -> list[str]:
    """Return the names of the assets of the `saved_model.pb` at *path*, sorted.

    Raises:
        UnconvertibleModelError: it is damaged.
    """
    with _opened(path) as view:
        names = set()
        for graph in _grouped(view, (0, len(view))).get(_META_GRAPHS, []):
            fields = _grouped(view, graph)
            for asset in [*fields.get(_ASSET, []), *_collected_assets(view, fields)]:
                names.add(_text(view, _last(_grouped(view, asset), _ASSET_NAME)))
        return sorted(names)


def _collected_assets(
    view: memoryview, fields: Mapping[int, list[tuple[int, int]]]
) -> Iterator[tuple[int, int]]:
    for entry in fields.get(_COLLECTION, []):
        parts = _grouped(view, entry)
        if _text(view, _last(parts, _KEY)) == _ASSETS_KEY:
            values = _grouped(view, _last(_grouped(view, _last(parts, _VALUE)), _ANY_LIST))
            for each in values.get(_ANY, []):
                yield _last(_grouped(view, each), _ANY_VALUE)


def read_saved_model(path: Path) -> SavedModelParts:
    """Cut object graph and versions out of the `saved_model.pb` at *path*.

    Raises:
        UnconvertibleModelError: it is damaged, or TensorFlow 2 did not write it.
    """
    with _opened(path) as view:
        fields = _meta_graph(view)
        info = dict(_fields(view, *_last(fields, _META_INFO)))
        return SavedModelParts(
            object_graph=_bytes(view, fields[_OBJECT_GRAPH][-1]),
            tensorflow_version=_text(view, info.get(_TENSORFLOW_VERSION, _NOTHING)),
            tensorflow_git_version=_text(view, info.get(_TENSORFLOW_GIT_VERSION, _NOTHING)),
        )


def read_functions(path: Path, nodes: Collection[str]) -> FunctionParts:
    """Cut functions and what they need out of the `saved_model.pb` at *path*.

    Args:
        path: the file.
        nodes: names of the nodes of the main graph to include.

    Raises:
        UnconvertibleModelError: it is damaged, or TensorFlow 2 did not write it.
    """
    with _opened(path) as view:
        fields = _meta_graph(view)
        graph = _grouped(view, _last(fields, _GRAPH))
        library = _last(graph, _LIBRARY)
        spans = graph.get(_NODE, []) if nodes else []
        kept = [_bytes(view, s) for s in spans if _name(view, s, _NODE_NAME) in nodes]
        objects = [
            _field(_META_INFO, _bytes(view, _last(fields, _META_INFO))),
            _field(
                _GRAPH,
                *(_field(_NODE, node) for node in kept),
                _field(_LIBRARY, _without(view, library, _FUNCTION)),
            ),
            *(_field(_ASSET, _bytes(view, span)) for span in fields.get(_ASSET, [])),
            _field(_OBJECT_GRAPH, _bytes(view, _last(fields, _OBJECT_GRAPH))),
        ]
        return FunctionParts(
            objects=_field(_META_GRAPHS, *objects),
            library=_bytes(view, library),
            functions={
                _name(view, _last(_grouped(view, span), _SIGNATURE), _SIGNATURE_NAME): (
                    span[0] - library[0],
                    span[1] - span[0],
                )
                for number, span in _fields(view, *library)
                if number == _FUNCTION
            },
        )


@contextmanager
def _opened(path: Path) -> Iterator[memoryview]:
    # Read, as stock does: a map of a file that is saved over ends the process.
    with memoryview(path.read_bytes()) as view:
        if not view:
            raise UnconvertibleModelError("saved_model.pb is empty")
        yield view


def _meta_graph(view: memoryview) -> Mapping[int, list[tuple[int, int]]]:
    """Return the extents of the one meta-graph's fields, by field number."""
    graphs = _grouped(view, (0, len(view))).get(_META_GRAPHS, [])
    if len(graphs) != 1:
        raise UnconvertibleModelError(f"the SavedModel has {len(graphs)} meta-graphs, not one")
    fields = _grouped(view, graphs[0])
    if _OBJECT_GRAPH not in fields:
        raise UnconvertibleModelError("the SavedModel was not written by TensorFlow 2")
    return fields


def _grouped(view: memoryview, span: tuple[int, int]) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for number, extent in _fields(view, *span):
        found.setdefault(number, []).append(extent)
    return found


def _last(fields: Mapping[int, list[tuple[int, int]]], number: int) -> tuple[int, int]:
    return fields.get(number, [_NOTHING])[-1]


def _name(view: memoryview, span: tuple[int, int], number: int) -> str:
    """Return the text of field *number*, an early one, of the message at *span*."""
    return next((_text(view, s) for found, s in _fields(view, *span) if found == number), "")


def _without(view: memoryview, span: tuple[int, int], unwanted: int) -> bytes:
    """Return the message at *span* without its fields *unwanted*."""
    kept, start = bytearray(), span[0]
    for number, (_, end) in _fields(view, *span):
        if number != unwanted:
            kept += view[start:end]
        start = end
    return bytes(kept)


def _bytes(view: memoryview, span: tuple[int, int]) -> bytes:
    return bytes(view[slice(*span)])


def _text(view: memoryview, span: tuple[int, int]) -> str:
    return _bytes(view, span).decode(errors="replace")


def _field(number: int, *contents: bytes) -> bytes:
    """Return a length-delimited field."""
    length = sum(len(content) for content in contents)
    return b"".join([_encoded(number << 3 | _BYTES), _encoded(length), *contents])


def _encoded(value: int) -> bytes:
    head = bytearray()
    while value >= _MORE_FOLLOWS:
        head.append(value & 0x7F | _MORE_FOLLOWS)
        value >>= 7
    return bytes([*head, value])


def _fields(view: memoryview, start: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield number and extent of each length-delimited field between *start* and *end*."""
    while start < end:
        tag, start = _varint(view, start, end)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _BYTES:
            length, start = _varint(view, start, end)
            if length > end - start:
                raise UnconvertibleModelError(
                    "saved_model.pb is damaged: a field is longer than the file"
                )
            yield number, (start, start + length)
            start += length
        elif wire_type == _VARINT:
            _, start = _varint(view, start, end)
        elif wire_type in (_FIXED64, _FIXED32):
            start += 8 if wire_type == _FIXED64 else 4
        else:
            raise UnconvertibleModelError(f"saved_model.pb is damaged: wire type {wire_type}")


def _varint(view: memoryview, start: int, end: int) -> tuple[int, int]:
    value = 0
    for index in range(min(_MAX_VARINT_BYTES, end - start)):
        byte = view[start + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < _MORE_FOLLOWS:
            return value, start + index + 1
    raise UnconvertibleModelError("saved_model.pb is damaged: a number does not end")
