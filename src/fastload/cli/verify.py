"""`verify`: compare the bytes of twins with the digests that were taken when they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fastload.cache.listing import StoredTwin, all_entries, remove
from fastload.cli.options import as_json
from fastload.cli.output import described, line_of, say
from fastload.cli.selection import SHOWN_DIGITS, entry_of, located_cache, selected, shown_root
from fastload.errors import CacheError, TwinCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fastload.cache.directory import CacheDir


@click.command(short_help="Compare twins with their checksums.")
@click.argument("words", metavar="[ENTRY|PATH]...", nargs=-1, type=click.Path())
@click.option("--all", "everything", is_flag=True, help="Check every twin.")
@click.option("--remove", "removing", is_flag=True, help="Remove the damaged ones.")
@as_json
@click.pass_context
def verify(
    context: click.Context,
    words: tuple[str, ...],
    *,
    everything: bool,
    removing: bool,
    as_json: bool,
) -> None:
    """Read twins and compare every weight and document with its SHA-256; exit 1 on damage.

    An ENTRY is the beginning of an entry's name; a PATH is that of a model.
    """
    if everything == bool(words):
        raise click.UsageError("Name the entries to check, or give --all.")
    cache = located_cache()
    chosen = all_entries(cache) if everything else selected(cache, words, in_layers=True)
    found = [_checked(cache, twin, removing=removing) for twin in chosen]
    checked = [each for each in found if each is not None]
    document = {"cache": shown_root(cache), "entries": checked}
    say(document, _text(checked), as_json=as_json)
    context.exit(0 if all(each["intact"] for each in checked) else 1)


def _checked(cache: CacheDir, twin: StoredTwin, *, removing: bool) -> dict[str, Any] | None:
    """Check one twin, and remove it if it is damaged and *removing* is set; return what JSON
    output has of it: nothing, if somebody else removed it meanwhile.
    """
    try:
        damaged, fault, is_damaged = _read(twin)
    except FileNotFoundError:
        return None
    may_remove = removing and twin.layer is None
    return {
        "name": twin.name,
        "twin": twin.path,
        "intact": fault is None and not is_damaged,
        "damaged": list(damaged),
        "fault": fault,
        "removed": may_remove and is_damaged and remove(entry_of(cache, twin)),
    }


def _read(twin: StoredTwin) -> tuple[tuple[str, ...], Mapping[str, str] | None, bool]:
    """Return the damaged weights of a twin, why it cannot be read, and whether it is damaged.

    A twin of another format version counts as not damaged, but was not checked either.

    Raises:
        FileNotFoundError: it was removed.
    """
    # Imported here: this brings numpy.
    from fastload.twin.reader import Twin

    try:
        opened = Twin.open(twin.path)
        damaged = opened.verify()
        for name in opened.manifest.documents:
            opened.document(name)
    except FileNotFoundError:
        raise
    except (CacheError, OSError) as error:
        return (), described(error), isinstance(error, TwinCorruptError)
    return damaged, None, bool(damaged)


def _text(checked: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for each in checked:
        yield f"{each['name'][:SHOWN_DIGITS]}: {_verdict(each)}"
    if not checked:
        yield "Nothing to check"


def _verdict(checked: Mapping[str, Any]) -> str:
    if checked["intact"]:
        return "intact"
    fault = checked["fault"]
    found = line_of(fault) if fault else f"damaged: {', '.join(checked['damaged'])}"
    return f"{found}; removed" if checked["removed"] else found
