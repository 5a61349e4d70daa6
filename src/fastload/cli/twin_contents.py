"""What a twin can serve: which loaders, and which signatures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from fastload.cli.output import Column, print_line, print_table
from fastload.source.kinds import SourceKind
from fastload.twin.format import (
    FUNCTION_SECTION,
    FUNCTIONS,
    KERAS_SECTION,
    REFUSALS,
    SIGNATURES,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastload.twin.index import Index

_LOADERS: Final = {KERAS_SECTION: "load_model", FUNCTION_SECTION: "load_saved_model"}
_COLUMNS: Final = (
    Column(title="Signature"),
    Column(title=""),
    Column(title="Name"),
    Column(title="Dtype"),
    Column(title="Shape", folds=True),
)


def serving_document(index: Index, read: Callable[[str], bytes | None]) -> dict[str, Any]:
    """Return what a JSON document says of it.

    Args:
        index: the twin's index.
        read: returns the content of a document, or None where there is none.
    """
    there = {document.name for document in index.documents}
    refusals = json.loads(read(REFUSALS) or b"{}")
    sections = {KERAS_SECTION} | ({FUNCTION_SECTION} if FUNCTIONS in there else set())
    serves = [_LOADERS[each] for each in _LOADERS if each in sections - refusals.keys()]
    if index.manifest.source_kind != SourceKind.SAVED_MODEL.value or SIGNATURES in there:
        serves.append("load_predictor")
    return {
        "serves": serves,
        "refusals": {_LOADERS[section]: told for section, told in refusals.items()},
        "signatures": json.loads(read(SIGNATURES) or b"{}"),
    }


def serving_facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield which loaders it serves, and why it does not serve the others."""
    yield "Serves", ", ".join(document["serves"])
    for loader, (code, reason) in document["refusals"].items():
        yield "", f"not {loader}: [{code}] {reason}"


def print_signatures(document: Mapping[str, Any]) -> None:
    """Print a table of signatures, if there are any."""
    rows = [row for name, specs in document["signatures"].items() for row in _rows(name, specs)]
    if rows:
        print_line("")
        print_table(_COLUMNS, rows)


def _rows(name: str, specs: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for side, arrow in (("inputs", "takes"), ("outputs", "gives")):
        for tensor, (dtype, shape) in specs[side].items():
            yield name, arrow, tensor, dtype, _shown(shape)
            name = ""


def _shown(shape: list[int | None] | None) -> str:
    """Return a shape as text.

    Example:
        >>> _shown([None, 224, 224, 3]), _shown(None)
        ('? x 224 x 224 x 3', 'any')
    """
    if shape is None:
        return "any"
    return " x ".join("?" if size is None else str(size) for size in shape) or "scalar"
