"""`verify`: the bytes of twins against the digests that they were written with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from fastload.cache.entry import StoredTwin, entries, remove
from fastload.cli.output import as_json, described, line_of, print_line, say
from fastload.cli.selection import SHOWN_DIGITS, entry_of, located_cache, selected
from fastload.errors import CacheError, TwinCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastload.cache.directory import CacheDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What reading all of a twin found.

    Attributes:
        twin: the file.
        damaged: weights whose bytes do not match their digests.
        fault: why the twin cannot be read, as a JSON document has it, or None.
        is_damaged: whether it is not what was written; a twin of another format version is not
            damaged, but was not checked either.
        removed: whether it was removed.
    """

    twin: StoredTwin
    damaged: tuple[str, ...] = ()
    fault: Mapping[str, str] | None = None
    is_damaged: bool = False
    removed: bool = False

    @property
    def is_intact(self) -> bool:
        """True if all of it was read and is what was written."""
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
    say(as_json=as_json, document=document, text=lambda: _print(checked))
    context.exit(0 if all(each.is_intact for each in checked) else 1)


def _checked(cache: CacheDir, twin: StoredTwin, *, removing: bool) -> Checked:
    """Check one twin; remove it if it is damaged and that was asked for."""
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


def _print(checked: Iterable[Checked]) -> None:
    for each in checked:
        print_line(f"{each.twin.name[:SHOWN_DIGITS]}: {_verdict(each)}")
    if not checked:
        print_line("Nothing to check")


def _verdict(checked: Checked) -> str:
    if checked.is_intact:
        return "intact"
    if checked.fault is not None:
        found = line_of(checked.fault)
    else:
        found = f"damaged: {', '.join(checked.damaged)}"
    return f"{found}; removed" if checked.removed else found
