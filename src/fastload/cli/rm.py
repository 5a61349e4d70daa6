"""`rm`: remove twins by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from fastload.cache.listing import StoredTwin, entries, remove
from fastload.cli.options import as_json, dry_run
from fastload.cli.output import counted, say, shown_size
from fastload.cli.selection import SHOWN_DIGITS, entry_of, located_cache, selected

if TYPE_CHECKING:
    from fastload.cache.directory import CacheDir


@click.command(short_help="Remove twins.")
@click.argument("words", metavar="[ENTRY|PATH]...", nargs=-1, type=click.Path())
@click.option("--all", "everything", is_flag=True, help="Remove every twin.")
@dry_run
@click.option("--yes", is_flag=True, help="Do not ask before every twin is removed.")
@as_json
def rm(
    words: tuple[str, ...], *, everything: bool, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Remove twins. The models themselves stay; their next load writes a new twin.

    An ENTRY is the beginning of an entry's name; a PATH is that of a model.
    """
    if everything == bool(words):
        raise click.UsageError("Name the entries to remove, or give --all.")
    cache = located_cache()
    chosen = _everything(cache) if everything else selected(cache, words)
    if everything and chosen and not dry_run and not yes:
        _confirm(len(chosen), as_json=as_json)
    gone = chosen if dry_run else [twin for twin in chosen if remove(entry_of(cache, twin))]
    document = {"cache": cache.root, "dry_run": dry_run, **removed_document(gone)}
    say(document, removed_text(gone, dry_run=dry_run), as_json=as_json)


def removed_document(twins: Sequence[StoredTwin]) -> dict[str, Any]:
    """Return what JSON output has of twins that were removed."""
    removed = [{"name": twin.name, "size_bytes": twin.size_bytes} for twin in twins]
    return {"removed": removed, "freed_bytes": sum(twin.size_bytes for twin in twins)}


def removed_text(twins: Sequence[StoredTwin], *, dry_run: bool) -> Iterator[str]:
    """Yield a line for each twin that was removed, or would be."""
    verb = "Would remove" if dry_run else "Removed"
    for twin in twins:
        yield f"{verb} {twin.name[:SHOWN_DIGITS]} ({shown_size(twin.size_bytes)})"
    if not twins:
        yield "Nothing to remove"


def _everything(cache: CacheDir) -> list[StoredTwin]:
    """Return all twins of a folder that is fastload's; none if there is no folder."""
    if not cache.root.exists():
        return []
    cache.require_ours()
    return list(entries(cache))


def _confirm(count: int, *, as_json: bool) -> None:
    """Ask on a terminal; where nobody can answer, `--yes` is required."""
    if as_json or not sys.stdin.isatty():
        raise click.UsageError("Give --yes to remove every twin without being asked.")
    click.confirm(f"Remove {counted(count, 'twin')}?", abort=True)
