"""`export` and `import`: twins as one file to carry."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from fastload.cache.directory import CacheDir
from fastload.cli.options import OutputPath, as_json
from fastload.cli.output import counted, say, shown_size
from fastload.cli.selection import SHOWN_DIGITS, located_cache, selected
from fastload.fleet.archive import Imported, read_archive, write_archive
from fastload.settings import Settings


@click.command(short_help="Write twins to an archive.")
@click.argument("words", metavar="ENTRY|PATH...", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o",
    "--output",
    type=OutputPath(),
    required=True,
    help="The archive to write, a plain tar.",
)
@as_json
def export(words: tuple[str, ...], *, output: Path, as_json: bool) -> None:
    """Write twins, with all that is kept beside them, to one archive.

    An ENTRY is the beginning of an entry's name; a PATH is that of a model.
    """
    cache = located_cache()
    names = [twin.name for twin in selected(cache, words, in_layers=True)]
    size_bytes = write_archive(output, cache, names)
    document = {"archive": output, "size_bytes": size_bytes, "entries": names}
    text = f"{counted(len(names), 'twin')}, {shown_size(size_bytes)}, in {output}"
    say(document, [text], as_json=as_json)


@click.command("import", short_help="Read the twins of an archive.")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a read-only layer, for FASTLOAD_CACHE_PATH, to this folder; not to the cache.",
)
@as_json
def import_(archive: Path, *, into: Path | None, as_json: bool) -> None:
    """Read the twins of an ARCHIVE that `export` wrote. Those that are there already stay.

    Everything is compared with its SHA-256. Import archives of people whose models you would load.
    """
    with _place(into) as cache:
        imported = read_archive(archive, cache)
    document = {
        "cache": cache.root,
        "entries": [
            {"name": each.name, "is_new": each.is_new, "size_bytes": each.size_bytes}
            for each in imported
        ],
    }
    say(document, _text(imported), as_json=as_json)


@contextmanager
def _place(into: Path | None) -> Iterator[CacheDir]:
    """Yield where twins are imported to: the cache, or the folder *into*, which is a layer then."""
    if into is None:
        yield located_cache()
        return
    # Imported here: it imports numpy, which most verbs do without.
    from fastload.fleet.sealing import layer_at

    with layer_at(into, Settings.from_env(os.environ)) as cache:
        yield cache


def _text(imported: Sequence[Imported]) -> Iterator[str]:
    for each in imported:
        verdict = "imported" if each.is_new else "was there already"
        yield f"{each.name[:SHOWN_DIGITS]}: {verdict} ({shown_size(each.size_bytes)})"
    if not imported:
        yield "The archive is empty"
