"""`register`: custom objects that every later process of this user finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastload.cli.options import as_json
from fastload.cli.output import say, table
from fastload.declarations import Declaration, declarations, declare, own_file, withdraw
from fastload.errors import DeclarationError

if TYPE_CHECKING:
    from rich.table import Table


@click.command(short_help="Say once where a custom class is.")
@click.argument("words", metavar="[NAME=PACKAGE.MODULE:ATTRIBUTE | NAME]...", nargs=-1)
@click.option("--remove", is_flag=True, help="Remove each NAME from your file.")
@click.option("--list", "only_list", is_flag=True, help="Only list what is declared here.")
@as_json
def register(words: Sequence[str], *, remove: bool, only_list: bool, as_json: bool) -> None:
    """Say once where a custom class or function is, for all later loads of yours.

    NAME is what model files call it: `MyLayer`, or `package>MyLayer`. The object is imported here,
    to see that it is there. It is written to a file in your configuration folder
    (FASTLOAD_CONFIG_DIR names another one) and comes before what packages declare.
    """
    if only_list == bool(words) or (only_list and remove):
        raise click.UsageError("Give one or more names, or --list alone.")
    if remove:
        withdraw(words)
    elif not only_list:
        declare(_importable(words))
    declared = declarations()
    say(_document(declared), _text(declared, own_file()), as_json=as_json)


def _importable(words: Sequence[str]) -> dict[str, str]:
    """Return values by name, each of which was imported.

    Raises:
        DeclarationError: one is not written so, or cannot be imported.
    """
    values = {}
    for word in words:
        name, _, value = word.partition("=")
        if not value:
            raise DeclarationError(word, "write NAME=package.module:attribute")
        try:
            Declaration(name=name, value=value, origin="").load()
        except Exception as error:  # other people's code
            raise DeclarationError(word, f"cannot be imported: {error}") from error
        values[name] = value
    return values


def _document(declared: Mapping[str, Declaration]) -> dict[str, object]:
    return {
        "file": own_file(),
        "declared": {
            each.name: {"object": each.value, "declared_by": each.origin}
            for each in declared.values()
        },
    }


def _text(declared: Mapping[str, Declaration], path: Path | None) -> Iterator[str | Table]:
    yield f"File: {path or 'none, there is no home folder'}"
    if declared:
        rows = ((each.name, each.value, each.origin) for each in declared.values())
        yield table(rows, "Name", "Object", "Declared by", folds="Object")
