"""`ls` and `info`: what is in the cache. Both read headers and indexes only, without numpy."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fastload.cache.directory import CacheDir
from fastload.cache.entry import StoredTwin, entries
from fastload.cache.memo import known_paths
from fastload.cache.stock_time import stock_seconds
from fastload.cli.migration import migration_document, migration_facts
from fastload.cli.output import (
    Column,
    as_json,
    described,
    line_of,
    print_facts,
    print_line,
    print_table,
    say,
)
from fastload.cli.selection import SHOWN_DIGITS, by_last_use, entry_of, located_cache, selected
from fastload.cli.twin_contents import print_signatures, serving_document, serving_facts
from fastload.cli.units import counted, shown_age, shown_seconds, shown_size
from fastload.errors import CacheError

if TYPE_CHECKING:
    from fastload.twin.format import Manifest, WeightRef
    from fastload.twin.index import Index

_LARGEST: Final = 5
_KINDS: Final = {
    "saved_model": "SavedModel",
    "keras_archive": ".keras",
    "keras_hdf5": "HDF5",
}
_KERAS: Final = {"keras2": "Keras 2", "keras3": "Keras 3"}
_COLUMNS: Final = (
    Column(title="Entry"),
    Column(title="Kind"),
    Column(title="For"),
    Column(title="Weights", is_number=True),
    Column(title="Twin", is_number=True),
    Column(title="Unused", is_number=True),
    Column(title="Model", folds=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A twin of the cache and what it says of itself.

    Attributes:
        twin: the file.
        models: paths that its content was last seen at.
        index: its index, or None if that cannot be read.
        fault: why it cannot be read, as a JSON document has it, or None.
    """

    twin: StoredTwin
    models: tuple[Path, ...] = ()
    index: Index | None = None
    fault: Mapping[str, str] | None = None

    @property
    def weights_bytes(self) -> int | None:
        """Stored bytes of all weights, or None if that is not known."""
        return sum(ref.nbytes for ref in self.index.weights) if self.index else None


@click.command()
@as_json
def ls(*, as_json: bool) -> None:
    """List the twins in the cache, the one that was used last first."""
    cache = located_cache()
    listed = _read_all(cache, by_last_use(entries(cache)))
    size_bytes = sum(each.twin.size_bytes for each in listed)
    document = {
        "cache": cache.root,
        "size_bytes": size_bytes,
        "entries": [_listed_document(each) for each in listed],
    }
    say(as_json=as_json, document=document, text=lambda: _print_list(cache, listed, size_bytes))


@click.command()
@click.argument("entry")
@as_json
def info(entry: str, *, as_json: bool) -> None:
    """Show all about one twin. ENTRY is a model's path, or the beginning of an entry's name."""
    cache = located_cache()
    listed = _read_all(cache, selected(cache, [entry]))
    documents = [_info_document(cache, each) for each in listed]
    document = {"cache": cache.root, "entries": documents}
    say(as_json=as_json, document=document, text=lambda: _print_infos(documents))


def _read_all(cache: CacheDir, stored: Iterable[StoredTwin]) -> list[Listed]:
    known = known_paths(cache)
    return [each for twin in stored if (each := _read(twin, known)) is not None]


def _read(twin: StoredTwin, known: Mapping[str, tuple[Path, ...]]) -> Listed | None:
    """Return what *twin* says of itself, or None if it was removed meanwhile."""
    from fastload.twin.index import read_index

    try:
        index = read_index(twin.path)
    except FileNotFoundError:
        return None
    except (CacheError, OSError) as error:
        return Listed(twin=twin, fault=described(error))
    return Listed(twin=twin, index=index, models=known.get(index.manifest.source_digest, ()))


def _listed_document(listed: Listed) -> dict[str, Any]:
    """Return what `ls --json` says of one twin."""
    twin, manifest = listed.twin, listed.index.manifest if listed.index else None
    return {
        "name": twin.name,
        "twin": twin.path,
        "models": list(listed.models),
        "kind": manifest.source_kind if manifest else None,
        "keras": manifest.generation if manifest else None,
        "weights_bytes": listed.weights_bytes,
        "size_bytes": twin.size_bytes,
        "created": _timestamp(twin.created_s),
        "last_used": _timestamp(twin.last_used_s),
        "fault": listed.fault,
    }


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def _print_list(cache: CacheDir, listed: list[Listed], size_bytes: int) -> None:
    if not listed:
        print_line(f"No twins in {cache.root}")
        return
    now_s = time.time()
    print_table(_COLUMNS, (_row(each, now_s) for each in listed))
    print_line(f"\n{counted(len(listed), 'twin')}, {shown_size(size_bytes)}, in {cache.root}")


def _row(listed: Listed, now_s: float) -> tuple[str, ...]:
    twin, index = listed.twin, listed.index
    return (
        twin.name[:SHOWN_DIGITS],
        _KINDS.get(index.manifest.source_kind, "?") if index else "?",
        _KERAS.get(index.manifest.generation, "?") if index else "?",
        "?" if listed.weights_bytes is None else shown_size(listed.weights_bytes),
        shown_size(twin.size_bytes),
        shown_age(now_s - twin.last_used_s),
        _shown_models(listed),
    )


def _shown_models(listed: Listed) -> str:
    if listed.fault is not None:
        return f"unreadable ({listed.fault['code']})"
    match listed.models:
        case ():
            return "unknown"
        case (path,):
            return str(path)
        case (path, *others):
            return f"{path} and {len(others)} more"
    return "unknown"


def _info_document(cache: CacheDir, listed: Listed) -> dict[str, Any]:
    """Return what `info --json` says of one twin."""
    document = _listed_document(listed)
    if listed.index is not None:
        document |= _manifest_document(listed.index.manifest) | _weights_document(listed.index)
        document["stock_seconds"] = stock_seconds(entry_of(cache, listed.twin))
        try:
            document |= _serving(listed.twin.path, listed.index)
            document["migration"] = _migration(listed.twin.path, listed.index)
        except (CacheError, OSError) as error:
            document["fault"] = described(error)
    return document


def _serving(path: Path, index: Index) -> dict[str, Any]:
    from fastload.twin.index import read_document

    return serving_document(index, lambda name: read_document(path, index, name))


def _migration(path: Path, index: Index) -> Any:
    from fastload.twin.index import read_document

    return migration_document(lambda name: read_document(path, index, name))


def _manifest_document(manifest: Manifest) -> dict[str, Any]:
    return {
        "source_digest": manifest.source_digest,
        "versions": dict(manifest.versions),
        "objects": dict(manifest.object_names),
        "registered_objects": sorted(name for name in manifest.object_names if ">" in name),
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


def _print_infos(documents: Iterable[dict[str, Any]]) -> None:
    for place, document in enumerate(documents):
        if place:
            print_line("")
        print_facts(_place_facts(document))
        if document["fault"] is None:
            print_facts(_content_facts(document))
            print_facts(migration_facts(document["migration"]))
            print_facts(serving_facts(document))
            print_facts(_weight_facts(document))
            print_signatures(document)


def _place_facts(document: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield where the twin is and what may have become of it."""
    yield "Entry", document["name"]
    yield "Twin", f"{document['twin']} ({shown_size(document['size_bytes'])})"
    yield "Written", document["created"]
    yield "Last used", document["last_used"]
    if document["fault"] is not None:
        yield "Fault", line_of(document["fault"])


def _content_facts(document: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield what the twin was made from, and what opens it."""
    yield "Model", "\n".join(map(str, document["models"])) or "unknown"
    yield "Kind", _KINDS.get(document["kind"], document["kind"])
    yield "For", _KERAS.get(document["keras"], document["keras"])
    yield "Content", document["source_digest"]
    yield "Written by", ", ".join(f"{name} {v}" for name, v in document["versions"].items())
    yield (
        "Stock Keras",
        "opens the twin as HDF5" if document["opens_as_hdf5"] else "does not open it",
    )
    yield "Custom objects", ", ".join(document["registered_objects"]) or "none under a package name"
    if document["stock_seconds"] is not None:
        yield "Stock load", shown_seconds(document["stock_seconds"])


def _weight_facts(document: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield how many bytes of which type there are, and where most of them are."""
    by_dtype = document["bytes_by_dtype"].items()
    dtypes = ", ".join(f"{dtype} {shown_size(nbytes)}" for dtype, nbytes in by_dtype)
    yield "Weights", f"{document['weights']} ({dtypes or 'no bytes'})"
    largest = [
        f"{shown_size(each['size_bytes'])}  {each['name']} {each['dtype']}{each['shape']}"
        for each in document["largest"]
    ]
    yield "Largest", "\n".join(largest) or "none"
