"""`prune`: remove what serves nobody any more, and twins that are too old or too many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from fastload.cache import eviction
from fastload.cache.eviction import PruneReport
from fastload.cli.options import age, as_json, dry_run, size
from fastload.cli.output import counted, say, shown_size
from fastload.cli.rm import removed_document, removed_text
from fastload.cli.selection import located_cache, shown_root
from fastload.twin.sources import known_sources


@click.command(short_help="Remove leftovers, and twins of models that are gone.")
@click.option("--max-size", type=size, help="Keep the twins used last, up to this size (5GiB).")
@click.option("--older-than", type=age, help="Remove twins unused for so long (30d).")
@dry_run
@as_json
def prune(max_size: int | None, older_than: float | None, *, dry_run: bool, as_json: bool) -> None:
    """Remove leftovers of ended processes, and twins of models that are gone or were saved over.

    A twin whose model was saved over stays until it was not used for a day. With an option, twins
    of other models go as well.
    """
    cache = located_cache()
    report = eviction.prune(
        cache, known_sources, max_size_bytes=max_size, older_than_s=older_than, dry_run=dry_run
    )
    document = {
        "cache": shown_root(cache),
        "dry_run": dry_run,
        **removed_document(report.twins),
        "leftovers": list(report.leftovers),
        "freed_bytes": report.freed_bytes,
        "kept_bytes": report.kept_bytes,
        "layers": list(cache.layers),
    }
    say(document, _text(report, cache.layers, dry_run=dry_run), as_json=as_json)


def _text(report: PruneReport, layers: Iterable[Path], *, dry_run: bool) -> Iterator[str]:
    if report.twins:
        yield from removed_text(report.twins, dry_run=dry_run)
    verb = "Would free" if dry_run else "Freed"
    gone = f"{counted(len(report.twins), 'twin')}, {counted(len(report.leftovers), 'leftover')}"
    yield f"{verb} {shown_size(report.freed_bytes)} ({gone})"
    yield f"Twins that stay: {shown_size(report.kept_bytes)}"
    yield from (f"The layer {layer} stays as it is" for layer in layers)
