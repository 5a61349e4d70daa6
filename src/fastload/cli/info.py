"""`info`: everything about one twin but the values of its weights. Needs no numpy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fastload.cache.directory import CacheDir
from fastload.cache.stats import stock_seconds
from fastload.cli.kept import kept_beside, kept_facts
from fastload.cli.ls import KERAS, KINDS, Listed, listed_document, read_all
from fastload.cli.options import as_json
from fastload.cli.output import described, facts, line_of, say, shown_seconds, shown_size, table
from fastload.cli.selection import entry_of, located_cache, selected, shown_root
from fastload.declarations import declaration_of
from fastload.errors import CacheError
from fastload.source.detect import SourceKind
from fastload.twin.format import (
    FUNCTION_SECTION,
    FUNCTIONS,
    KERAS_SECTION,
    MIGRATION,
    PREDICTION_SECTION,
    REFUSALS,
    SESSION_MODEL,
    SIGNATURES,
    WEIGHTS_SECTION,
    is_served,
)

if TYPE_CHECKING:
    from rich.table import Table

    from fastload.twin.format import Manifest, WeightRef
    from fastload.twin.index import Index

_LARGEST: Final = 5
_LOADERS: Final = {
    KERAS_SECTION: "load_model",
    FUNCTION_SECTION: "load_saved_model",
    PREDICTION_SECTION: "load_predictor",
    WEIGHTS_SECTION: "load_weights",
}
_MIGRATED_FROM: Final = {
    "saved_model": "a Keras 2 SavedModel",
    "keras_hdf5": "a Keras 2 HDF5 file",
    "keras_archive": "a Keras 2 .keras archive",
}


@click.command(short_help="Show all about one twin.")
@click.argument("entry", type=click.Path())
@as_json
def info(entry: str, *, as_json: bool) -> None:
    """Show all about one twin. ENTRY is a model's path, or the beginning of an entry's name."""
    cache = located_cache()
    listed = read_all(cache, selected(cache, [entry], in_layers=True))
    documents = [_document(cache, each) for each in listed]
    document = {"cache": shown_root(cache), "entries": documents}
    say(document, _text(documents), as_json=as_json)


def _document(cache: CacheDir, listed: Listed) -> dict[str, Any]:
    """Return what JSON output has of one twin."""
    document = listed_document(listed)
    if listed.index is not None:
        document |= _manifest_document(listed.index.manifest) | _weights_document(listed.index)
        entry = entry_of(cache, listed.twin)
        document["stock_seconds"] = stock_seconds(entry)
        document["kept_beside"] = kept_beside(entry)
        try:
            document |= _serving_document(listed.twin.path, listed.index)
            document["migration"] = _read_json(listed.twin.path, listed.index, MIGRATION)
        except (CacheError, OSError) as error:
            document["fault"] = described(error)
    return document


def _manifest_document(manifest: Manifest) -> dict[str, Any]:
    return {
        "source_digest": manifest.source_digest,
        "versions": dict(manifest.versions),
        "objects": dict(manifest.object_names),
        "registered_objects": sorted(name for name in manifest.object_names if ">" in name),
        "declared_objects": {
            name: {"object": found.value, "declared_by": found.origin}
            for name in sorted(manifest.object_names)
            if (found := declaration_of(name)) is not None
        },
        # Stock Keras takes a file for a model if its root has this.
        "opens_as_hdf5": "model_config" in manifest.groups.get("", {}),
    }


def _weights_document(index: Index) -> dict[str, Any]:
    dtypes: Counter[str] = Counter()
    for ref in index.weights:
        dtypes[ref.dtype] += ref.nbytes
    largest = sorted(index.weights, key=lambda ref: (-ref.nbytes, ref.name))[:_LARGEST]
    return {
        "weights": len(index.weights),
        "bytes_by_dtype": dict(dtypes.most_common()),
        "largest": [_weight_document(ref) for ref in largest],
    }


def _weight_document(ref: WeightRef) -> dict[str, Any]:
    return {
        "name": ref.name,
        "dtype": ref.dtype,
        "shape": list(ref.shape),
        "size_bytes": ref.nbytes,
    }


def _serving_document(path: Path, index: Index) -> dict[str, Any]:
    """Return which loaders the twin serves, why not the others, and its signatures."""
    refusals = _read_json(path, index, REFUSALS) or {}
    return {
        "serves": list(_served(index, refusals)),
        "refusals": {
            _LOADERS[section]: why
            for section, why in refusals.items()
            if section in _LOADERS and not is_served(section, refusals)
        },
        "signatures": _read_json(path, index, SIGNATURES) or {},
    }


def _read_json(path: Path, index: Index, name: str) -> dict[str, Any] | None:
    from fastload.twin.index import read_document

    content = read_document(path, index, name)
    found: dict[str, Any] | None = json.loads(content) if content else None
    return found


def _served(index: Index, refusals: Mapping[str, object]) -> Iterator[str]:
    there = {document.name for document in index.documents}
    sections = {KERAS_SECTION}
    if there & {FUNCTIONS, SESSION_MODEL}:
        sections.add(FUNCTION_SECTION)
    if index.manifest.source_kind != SourceKind.SAVED_MODEL.value or SIGNATURES in there:
        sections.add(PREDICTION_SECTION)
    is_file = index.manifest.source_kind != SourceKind.SAVED_MODEL.value
    if is_file and MIGRATION not in there:  # whose weights are other ones
        sections.add(WEIGHTS_SECTION)
    yield from (
        _LOADERS[each] for each in _LOADERS if each in sections and is_served(each, refusals)
    )


def _text(documents: Iterable[Mapping[str, Any]]) -> Iterator[str | Table]:
    for place, document in enumerate(documents):
        if place:
            yield ""
        yield from facts(_place_facts(document))
        if document["fault"] is None:
            yield from facts(_content_facts(document))
            yield from facts(_migration_facts(document["migration"]))
            yield from facts(_serving_facts(document))
            yield from facts(_weight_facts(document))
            yield from facts(kept_facts(document["kept_beside"]))
            yield from _signature_table(document["signatures"])


def _place_facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield where the twin is, when it was used, and what is wrong with it."""
    yield "Entry", document["name"]
    yield "Twin", f"{document['twin']} ({shown_size(document['size_bytes'])})"
    if document["layer"] is not None:
        yield "Layer", f"{document['layer']}, which is read and never written"
    yield "Written", document["created"]
    yield "Last used", document["last_used"]
    if document["fault"] is not None:
        yield "Fault", line_of(document["fault"])


def _content_facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the twin was made from, and what opens it."""
    yield "Model", "\n".join(map(str, document["models"])) or "unknown"
    yield "Kind", KINDS.get(document["kind"], document["kind"])
    yield "For", KERAS.get(document["keras"], document["keras"])
    yield "Content", document["source_digest"]
    yield "Written by", ", ".join(f"{name} {v}" for name, v in document["versions"].items())
    opens = "opens the twin as HDF5" if document["opens_as_hdf5"] else "does not open it"
    yield "Stock Keras", opens
    yield "Custom objects", ", ".join(document["registered_objects"]) or "none under a package name"
    for name, found in document["declared_objects"].items():
        yield "", f"{name} is {found['object']}, declared by {found['declared_by']}"
    if document["stock_seconds"] is not None:
        yield "Stock load", shown_seconds(document["stock_seconds"])


def _migration_facts(migration: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Yield what was migrated, by which rules, and how much the outputs differ."""
    if migration is None:
        return
    yield "Migrated from", _MIGRATED_FROM.get(migration["from"], migration["from"])
    rules = (f"{name} ({count})" for name, count in migration["rules"].items())
    yield "Rules", ", ".join(rules) or "none"
    if functions := migration.get("functions"):
        layers = (f"{name} ({kind})" for name, kind in functions.items())
        yield "Of functions", ", ".join(layers)
    yield "Proof", _shown_proof(migration["proof"])
    for what, why in migration["left_out"].items():
        yield "Left out", f"{what}: {why}"


def _shown_proof(proof: Mapping[str, Any]) -> str:
    if proof["unproved"] is not None:
        return f"none: {proof['unproved']}"
    return (
        f"outputs of {proof['against']} differ by {proof['absolute']:.2g} at most, "
        f"{proof['relative']:.2g} of the largest ({proof['tolerance']:.0e} is allowed)"
    )


def _serving_facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield which loaders the twin serves, and why it does not serve the others."""
    yield "Serves", ", ".join(document["serves"])
    for loader, (code, reason) in document["refusals"].items():
        yield "", f"not {loader}: [{code}] {reason}"


def _weight_facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield how many bytes of which dtype there are, and the largest weights."""
    by_dtype = document["bytes_by_dtype"].items()
    dtypes = ", ".join(f"{dtype} {shown_size(nbytes)}" for dtype, nbytes in by_dtype)
    yield "Weights", f"{document['weights']} ({dtypes or 'no bytes'})"
    largest = [
        f"{shown_size(each['size_bytes'])}  {each['name']} {each['dtype']}{each['shape']}"
        for each in document["largest"]
    ]
    yield "Largest", "\n".join(largest) or "none"


def _signature_table(signatures: Mapping[str, Any]) -> Iterator[str | Table]:
    rows = [row for name, specs in signatures.items() for row in _signature_rows(name, specs)]
    if rows:
        yield ""
        yield table(rows, "Signature", "", "Name", "Dtype", "Shape", folds="Shape")


def _signature_rows(name: str, specs: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for side, verb in (("inputs", "takes"), ("outputs", "gives")):
        for tensor, (dtype, shape) in specs[side].items():
            yield name, verb, tensor, dtype, _shown_shape(shape)
            name = ""


def _shown_shape(shape: list[int | None] | None) -> str:
    """Return a shape for people.

    Example:
        >>> _shown_shape([None, 224, 224, 3]), _shown_shape(None)
        ('? x 224 x 224 x 3', 'any')
    """
    if shape is None:
        return "any"
    return " x ".join("?" if size is None else str(size) for size in shape) or "scalar"
