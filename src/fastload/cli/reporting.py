"""`explain` and `stats`: what loads would do, and what they did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

import click

from fastload.cache import stats as load_stats
from fastload.cache.entry import entries
from fastload.cli.output import Column, as_json, print_facts, print_line, print_table, say
from fastload.cli.selection import located_cache
from fastload.cli.units import shown_seconds, shown_size

if TYPE_CHECKING:
    from fastload.api.explain import Explanation
    from fastload.cache.stats import Statistics, Tally
    from fastload.runtime.core.keras import KerasChoice

_BY_MODEL: Final = (
    Column(title="Model", folds=True),
    Column(title="Hits", is_number=True),
    Column(title="Misses", is_number=True),
    Column(title="Bypasses", is_number=True),
    Column(title="Saved", is_number=True),
)

keras_choice = click.option(
    "--keras",
    type=click.Choice(["auto", "keras", "tf_keras"]),
    default="auto",
    show_default=True,
    help="The Keras that loads the model; auto is the one that tf.keras is.",
)


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@keras_choice
@as_json
def explain(paths: tuple[str, ...], keras: KerasChoice, *, as_json: bool) -> None:
    """Say what loading each PATH would do now, and why."""
    from fastload.api.explain import explain as explain_path

    found = [explain_path(path, keras=keras) for path in paths]
    document = {"models": [asdict(each) for each in found]}
    say(as_json=as_json, document=document, text=lambda: _print_explanations(found))


@click.command()
@click.option("-z", "--zero", is_flag=True, help="Forget all loads after they were shown.")
@click.option("--by-model", is_flag=True, help="Also add the loads up for each model.")
@as_json
def stats(*, zero: bool, by_model: bool, as_json: bool) -> None:
    """Add up the loads so far: hits, misses, bypasses with their reasons, seconds saved."""
    cache = located_cache()
    counted, stored = load_stats.read(cache), entries(cache)
    if zero:
        load_stats.reset(cache)
    document = {
        "cache": cache.root,
        "twins": len(stored),
        "size_bytes": sum(twin.size_bytes for twin in stored),
        "since": _since(counted),
        **_tally(counted.total),
        "reasons": dict(counted.by_reason),
        "damaged_lines": counted.damaged_lines,
    }
    if by_model:
        document["models"] = {path: _tally(own) for path, own in counted.by_path.items()}
    say(as_json=as_json, document=document, text=lambda: _print_stats(document))


def _print_explanations(found: Iterable[Explanation]) -> None:
    for each in found:
        code = f" [{each.code}]" if each.code else ""
        print_line(f"{each.path}: {each.outcome.value}{code}: {each.reason}")
        if each.twin is not None:
            print_line(f"    {each.twin}")


def _since(counted: Statistics) -> str | None:
    if counted.since_s is None:
        return None
    return datetime.fromtimestamp(counted.since_s, timezone.utc).isoformat(timespec="seconds")


def _tally(tally: Tally) -> dict[str, Any]:
    return {"loads": tally.loads, **asdict(tally)}


def _print_stats(document: Mapping[str, Any]) -> None:
    print_facts(_facts(document))
    if document["reasons"]:
        print_line("\nWhy the stock loader was used")
        commonest = sorted(document["reasons"].items(), key=lambda item: (-item[1], item[0]))
        print_table(
            (Column(title="Loads", is_number=True), Column(title="Reason", folds=True)),
            ((str(count), reason) for reason, count in commonest),
        )
    if document.get("models"):
        print_line("")
        print_table(_BY_MODEL, map(_model_row, document["models"].items()))


def _facts(document: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield "Cache", str(document["cache"])
    yield "Twins", f"{document['twins']} ({shown_size(document['size_bytes'])})"
    yield "Loads", f"{document['loads']} since {document['since'] or 'ever'}"
    yield "Hits", str(document["hits"])
    yield "Misses", str(document["misses"])
    yield "Bypasses", str(document["bypasses"])
    yield "Seconds", shown_seconds(document["seconds"])
    # Known only for models whose stock load was timed by `warm --verify`.
    yield "Saved", shown_seconds(document["seconds_saved"])
    if document["damaged_lines"]:
        yield "Not counted", f"{document['damaged_lines']} damaged lines"


def _model_row(item: tuple[str, Mapping[str, Any]]) -> tuple[str, ...]:
    path, tally = item
    counts = (str(tally[name]) for name in ("hits", "misses", "bypasses"))
    return (path, *counts, shown_seconds(tally["seconds_saved"]))
