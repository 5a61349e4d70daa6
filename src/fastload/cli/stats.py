"""`stats`: what loads did so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from fastload.cache import stats as load_stats
from fastload.cache.listing import entries
from fastload.cli.options import as_json
from fastload.cli.output import counted, facts, say, shown_seconds, shown_size, table, timestamp
from fastload.cli.selection import located_cache, shown_root

if TYPE_CHECKING:
    from rich.table import Table

    from fastload.cache.stats import Tally

_COUNTS: Final = ("Hits", "Misses", "Bypasses")


@click.command(short_help="Add up hits, misses and bypasses.")
@click.option("-z", "--zero", is_flag=True, help="Show the loads, then forget them.")
@click.option("--by-model", is_flag=True, help="Also add up the loads of each model.")
@as_json
def stats(*, zero: bool, by_model: bool, as_json: bool) -> None:
    """Add up the loads so far: hits, misses, bypasses with their reasons, seconds saved."""
    cache = located_cache()
    found, stored = load_stats.read(cache), entries(cache)
    if zero:
        load_stats.reset(cache)
    document = {
        "cache": shown_root(cache),
        "twins": len(stored),
        "size_bytes": sum(twin.size_bytes for twin in stored),
        "since": None if found.since_s is None else timestamp(found.since_s),
        **_tally_document(found.total),
        "reasons": dict(found.by_reason),
        "damaged_lines": found.damaged_lines,
    }
    if by_model:
        document["models"] = {path: _tally_document(own) for path, own in found.by_path.items()}
    say(document, _text(document), as_json=as_json)


def _tally_document(tally: Tally) -> dict[str, Any]:
    return {"loads": tally.loads, **asdict(tally)}


def _text(document: Mapping[str, Any]) -> Iterator[str | Table]:
    yield from facts(_facts(document))
    if document["reasons"]:
        yield "\nWhy the stock loader was used"
        commonest = sorted(document["reasons"].items(), key=lambda item: (-item[1], item[0]))
        rows = ((str(count), reason) for reason, count in commonest)
        yield table(rows, "Loads", "Reason", folds="Reason", numbers=("Loads",))
    if document.get("models"):
        yield ""
        models = (_model_row(path, tally) for path, tally in document["models"].items())
        yield table(models, "Model", *_COUNTS, "Saved", folds="Model", numbers=(*_COUNTS, "Saved"))


def _facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Cache", str(document["cache"])
    yield "Twins", f"{document['twins']} ({shown_size(document['size_bytes'])})"
    since = f"since {document['since']}" if document["since"] else "so far"
    yield "Loads", f"{document['loads']} {since}"
    yield from ((name, str(document[name.lower()])) for name in _COUNTS)
    if document["fetched"]:
        yield "Fetched", f"{document['fetched']} of the hits, from a shared store"
    yield "Seconds", shown_seconds(document["seconds"])
    yield "Saved", _saved(document)
    if document["hits_unknown"]:
        hits = counted(document["hits_unknown"], "hit")
        yield "", f"without {hits}: run `fastload warm --verify` to time stock's load"
    if document["damaged_lines"]:
        yield "Not counted", f"{document['damaged_lines']} damaged lines"


def _saved(tally: Mapping[str, Any]) -> str:
    """Return what was saved: measured, estimated, or a dash where nothing is known."""
    if tally["hits_unknown"] == tally["hits"] and tally["hits"] and not tally["seconds_saved"]:
        return "-"
    saved = tally["seconds_saved"] + tally["seconds_estimated"]
    if not tally["seconds_estimated"]:
        return shown_seconds(saved)
    return f"about {shown_seconds(saved)}, estimated from first loads where stock's was never timed"


def _model_row(path: str, tally: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (str(tally[name.lower()]) for name in _COUNTS)
    return (path, *counts, _saved(tally).partition(",")[0])
