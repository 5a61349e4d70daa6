"""The parts of a `saved_model.pb` that a conversion needs, cut out without parsing the rest.

Nearly all of the file is traced functions (10.8 of 13.2 MB in EfficientNetB7). Protocol buffers are
a sequence of fields, each with a number and a length, so the wanted ones can be cut out of the
mapped file.

Format: https://protobuf.dev/programming-guides/encoding/ and `saved_model.proto`,
`meta_graph.proto` in TensorFlow.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastload.errors import UnconvertibleModelError

# SavedModel and MetaGraphDef, by field number.
_META_GRAPHS: Final = 2
_META_INFO: Final = 1
_OBJECT_GRAPH: Final = 7
# MetaGraphDef.MetaInfoDef: version of TensorFlow and its git version.
_TENSORFLOW_VERSION: Final = 5
_TENSORFLOW_GIT_VERSION: Final = 6

#: Extent of a field that is not there.
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
        tensorflow_version: what wrote it.
        tensorflow_git_version: the same, to the commit.
    """

    object_graph: bytes
    tensorflow_version: str
    tensorflow_git_version: str


def read_saved_model(path: Path) -> SavedModelParts:
    """Cut the wanted parts out of the `saved_model.pb` at *path*.

    Raises:
        UnconvertibleModelError: it is damaged, or TensorFlow 2 did not write it.
    """
    if not path.stat().st_size:  # which cannot be mapped
        raise UnconvertibleModelError("saved_model.pb is empty")
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        memoryview(content) as view,
    ):
        return _parts(view)


def _parts(view: memoryview) -> SavedModelParts:
    graphs = [span for number, span in _fields(view, 0, len(view)) if number == _META_GRAPHS]
    if len(graphs) != 1:
        raise UnconvertibleModelError(f"the SavedModel has {len(graphs)} meta-graphs, not one")
    fields = dict(_fields(view, *graphs[0]))
    if _OBJECT_GRAPH not in fields:
        raise UnconvertibleModelError("the SavedModel was not written by TensorFlow 2")
    info = dict(_fields(view, *fields.get(_META_INFO, _NOTHING)))
    return SavedModelParts(
        object_graph=_bytes(view, fields[_OBJECT_GRAPH]),
        tensorflow_version=_text(view, info.get(_TENSORFLOW_VERSION, _NOTHING)),
        tensorflow_git_version=_text(view, info.get(_TENSORFLOW_GIT_VERSION, _NOTHING)),
    )


def _bytes(view: memoryview, span: tuple[int, int]) -> bytes:
    return bytes(view[slice(*span)])


def _text(view: memoryview, span: tuple[int, int]) -> str:
    return _bytes(view, span).decode(errors="replace")


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
