"""`rm` and `prune`: what leaves the cache on request."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from fastload.cache.entry import StoredTwin, entries, remove
from fastload.cache.eviction import PruneReport
from fastload.cache.eviction import prune as prune_cache
from fastload.cli.output import as_json, print_line, say
from fastload.cli.selection import SHOWN_DIGITS, entry_of, located_cache, selected
from fastload.cli.units import counted, duration_seconds, shown_size, size_bytes

if TYPE_CHECKING:
    from fastload.cache.directory import CacheDir

_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would go.")


@click.command()
@click.argument("words", metavar="[ENTRY|PATH]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Remove every twin.")
@_dry_run
@click.option("--yes", is_flag=True, help="Do not ask before everything is removed.")
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
    document = {"cache": cache.root, "dry_run": dry_run, **_removed(gone)}
    say(as_json=as_json, document=document, text=lambda: _print_removed(gone, dry_run=dry_run))


@click.command()
@click.option(
    "--max-size",
    metavar="SIZE",
    callback=size_bytes,
    help="Keep the twins used last, up to this size (5GiB).",
)
@click.option(
    "--older-than",
    metavar="AGE",
    callback=duration_seconds,
    help="Remove twins unused for so long (30d).",
)
@_dry_run
@as_json
def prune(max_size: int | None, older_than: float | None, *, dry_run: bool, as_json: bool) -> None:
    """Remove leftovers of ended processes and gone models; with an option also old twins."""
    cache = located_cache()
    report = prune_cache(cache, max_size_bytes=max_size, older_than_s=older_than, dry_run=dry_run)
    document = {
        "cache": cache.root,
        "dry_run": dry_run,
        **_removed(report.twins),
        "leftovers": list(report.leftovers),
        "freed_bytes": report.freed_bytes,
        "kept_bytes": report.kept_bytes,
    }
    say(as_json=as_json, document=document, text=lambda: _print_pruned(report, dry_run=dry_run))


def _everything(cache: CacheDir) -> list[StoredTwin]:
    """Return all twins of a folder that is fastload's; of a missing one, none."""
    if not cache.root.exists():
        return []
    cache.require_ours()
    return list(entries(cache))


def _confirm(count: int, *, as_json: bool) -> None:
    """Ask on a terminal; where nobody can answer, `--yes` has to be given."""
    if as_json or not sys.stdin.isatty():
        raise click.UsageError("Give --yes to remove every twin without being asked.")
    click.confirm(f"Remove {counted(count, 'twin')}?", abort=True)


def _removed(twins: Iterable[StoredTwin]) -> dict[str, Any]:
    listed = [{"name": twin.name, "size_bytes": twin.size_bytes} for twin in twins]
    return {"removed": listed, "freed_bytes": sum(twin.size_bytes for twin in twins)}


def _print_removed(twins: Iterable[StoredTwin], *, dry_run: bool) -> None:
    verb = "Would remove" if dry_run else "Removed"
    for twin in twins:
        print_line(f"{verb} {twin.name[:SHOWN_DIGITS]} ({shown_size(twin.size_bytes)})")
    if not twins:
        print_line("Nothing to remove")


def _print_pruned(report: PruneReport, *, dry_run: bool) -> None:
    if report.twins:
        _print_removed(report.twins, dry_run=dry_run)
    verb = "Would free" if dry_run else "Freed"
    gone = f"{counted(len(report.twins), 'twin')}, {counted(len(report.leftovers), 'leftover')}"
    print_line(f"{verb} {shown_size(report.freed_bytes)} ({gone})")
    print_line(f"Twins that stay: {shown_size(report.kept_bytes)}")
