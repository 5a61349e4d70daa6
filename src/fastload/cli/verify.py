"""`verify`: compare the bytes of twins with the digests that were taken when they were written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from fastload.cache.entry import StoredTwin, entries, remove
from fastload.cli.options import as_json
from fastload.cli.output import described, line_of, say
from fastload.cli.selection import SHOWN_DIGITS, entry_of, located_cache, selected
from fastload.errors import CacheError, TwinCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fastload.cache.directory import CacheDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found when all of a twin was read.

    Attributes:
        twin: the file.
        damaged: weights whose bytes do not match their digests.
        fault: why the twin cannot be read, as in a JSON document, or None.
        is_damaged: its bytes are not those that were written. A twin of another format version
            counts as not damaged, but was not checked either.
        removed: it was removed.
    """

    twin: StoredTwin
    damaged: tuple[str, ...] = ()
    fault: Mapping[str, str] | None = None
    is_damaged: bool = False
    removed: bool = False

    @property
    def is_intact(self) -> bool:
        """True if all of it was read, and every byte is as it was written."""
        return not self.is_damaged and self.fault is None


@click.command()
@click.argument("words", metavar="[ENTRY|PATH]...", nargs=-1)
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
    chosen = entries(cache) if everything else selected(cache, words)
    checked = [_checked(cache, twin, removing=removing) for twin in chosen]
    document = {"cache": cache.root, "entries": [_document(each) for each in checked]}
    say(document, _text(checked), as_json=as_json)
    context.exit(0 if all(each.is_intact for each in checked) else 1)


def _checked(cache: CacheDir, twin: StoredTwin, *, removing: bool) -> Checked:
    """Check one twin; remove it if it is damaged and *removing* is set."""
    damaged, fault, is_damaged = _read(twin)
    return Checked(
        twin=twin,
        damaged=damaged,
        fault=fault,
        is_damaged=is_damaged,
        removed=is_damaged and removing and remove(entry_of(cache, twin)),
    )


def _read(twin: StoredTwin) -> tuple[tuple[str, ...], Mapping[str, str] | None, bool]:
    """Return the damaged weights of a twin, why it cannot be read, and whether it is damaged."""
    # Imported here: this brings numpy.
    from fastload.twin.reader import Twin

    try:
        opened = Twin.open(twin.path)
        damaged = opened.verify()
        for name in opened.manifest.documents:
            opened.document(name)
    except (CacheError, OSError) as error:
        return (), described(error), isinstance(error, TwinCorruptError)
    return damaged, None, bool(damaged)


def _document(checked: Checked) -> dict[str, Any]:
    return {
        "name": checked.twin.name,
        "twin": checked.twin.path,
        "intact": checked.is_intact,
        "damaged": list(checked.damaged),
        "fault": checked.fault,
        "removed": checked.removed,
    }


def _text(checked: Sequence[Checked]) -> Iterator[str]:
    for each in checked:
        yield f"{each.twin.name[:SHOWN_DIGITS]}: {_verdict(each)}"
    if not checked:
        yield "Nothing to check"


def _verdict(checked: Checked) -> str:
    if checked.is_intact:
        return "intact"
    if checked.fault is not None:
        found = line_of(checked.fault)
    else:
        found = f"damaged: {', '.join(checked.damaged)}"
    return f"{found}; removed" if checked.removed else found
