"""`ls`: the twins in the cache. Reads headers and indexes only, without numpy."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fastload.cache.directory import CacheDir
from fastload.cache.listing import StoredTwin, all_entries
from fastload.cache.memo import known_paths
from fastload.cli.options import as_json
from fastload.cli.output import counted, described, say, shown_age, shown_size, table, timestamp
from fastload.cli.selection import SHOWN_DIGITS, by_last_use, located_cache, shown_root
from fastload.errors import CacheError

if TYPE_CHECKING:
    from rich.table import Table

    from fastload.twin.index import Index

KINDS: Final = {
    "saved_model": "SavedModel",
    "keras_archive": ".keras",
    "keras_hdf5": "HDF5",
    "keras_shards": "shards",
}
KERAS: Final = {"keras2": "Keras 2", "keras3": "Keras 3"}
_TITLES: Final = ("Entry", "Kind", "For", "Weights", "Twin", "Unused", "Model")
_NUMBERS: Final = ("Weights", "Twin", "Unused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A twin of the cache and what its index says.

    Attributes:
        twin: the file.
        models: paths where its model was last seen.
        index: its index, or None if that cannot be read.
        fault: why the index cannot be read, as in a JSON document, or None.
    """

    twin: StoredTwin
    models: tuple[Path, ...] = ()
    index: Index | None = None
    fault: Mapping[str, str] | None = None

    @property
    def weights_bytes(self) -> int | None:
        """Stored bytes of all weights, or None if that is not known."""
        return sum(ref.nbytes for ref in self.index.weights) if self.index else None


@click.command(short_help="List the twins.")
@as_json
def ls(*, as_json: bool) -> None:
    """List the twins in the cache, the most recently used first."""
    cache = located_cache()
    listed = read_all(cache, by_last_use(all_entries(cache)))
    document = {
        "cache": shown_root(cache),
        "layers": list(cache.layers),
        "size_bytes": sum(each.twin.size_bytes for each in listed if each.twin.layer is None),
        "entries": [listed_document(each) for each in listed],
    }
    say(document, _text(cache, listed), as_json=as_json)


def read_all(cache: CacheDir, stored: Iterable[StoredTwin]) -> list[Listed]:
    """Read the index of each twin; those that were removed meanwhile are left out."""
    known = known_paths(cache)
    return [each for twin in stored if (each := _read(twin, known)) is not None]


def listed_document(listed: Listed) -> dict[str, Any]:
    """Return what JSON output has of one twin."""
    twin, manifest = listed.twin, listed.index.manifest if listed.index else None
    return {
        "name": twin.name,
        "twin": twin.path,
        "layer": twin.layer,
        "models": list(listed.models),
        "kind": manifest.source_kind if manifest else None,
        "keras": manifest.generation if manifest else None,
        "weights_bytes": listed.weights_bytes,
        "size_bytes": twin.size_bytes,
        "created": timestamp(twin.created_s),
        "last_used": timestamp(twin.last_used_s),
        "fault": listed.fault,
    }


def _read(twin: StoredTwin, known: Mapping[str, tuple[Path, ...]]) -> Listed | None:
    from fastload.twin.index import read_index

    try:
        index = read_index(twin.path)
    except FileNotFoundError:
        return None
    except (CacheError, OSError) as error:
        return Listed(twin=twin, fault=described(error))
    return Listed(twin=twin, index=index, models=known.get(index.manifest.source_digest, ()))


def _text(cache: CacheDir, listed: list[Listed]) -> Iterator[str | Table]:
    if not listed:
        yield f"No twins in {shown_root(cache)}"
        return
    now_s = time.time()
    yield table((_row(each, now_s) for each in listed), *_TITLES, folds="Model", numbers=_NUMBERS)
    yield f"\n{_total(listed, None)}, in {shown_root(cache)}"
    for layer in cache.layers:
        yield f"{_total(listed, layer)}, in the layer {layer}, which is read and never written"


def _total(listed: Iterable[Listed], layer: Path | None) -> str:
    """Say how many twins are in a layer, or in the cache itself, and how large they are."""
    sizes = [each.twin.size_bytes for each in listed if each.twin.layer == layer]
    return f"{counted(len(sizes), 'twin')}, {shown_size(sum(sizes))}"


def _row(listed: Listed, now_s: float) -> tuple[str, ...]:
    twin, index = listed.twin, listed.index
    return (
        twin.name[:SHOWN_DIGITS],
        KINDS.get(index.manifest.source_kind, "?") if index else "?",
        KERAS.get(index.manifest.generation, "?") if index else "?",
        "?" if listed.weights_bytes is None else shown_size(listed.weights_bytes),
        shown_size(twin.size_bytes),
        shown_age(now_s - twin.last_used_s),
        _shown_models(listed),
    )


def _shown_models(listed: Listed) -> str:
    if listed.fault is not None:
        return f"unreadable ({listed.fault['code']})"
    if not listed.models:
        return "unknown"
    path, *others = listed.models
    return f"{path} and {len(others)} more" if others else str(path)
