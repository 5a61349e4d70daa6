"""What a verb says: one JSON document, or lines and tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fastload.errors import FastloadError

if TYPE_CHECKING:
    from rich.console import Console

#: Code of an error that is not fastload's own.
UNEXPECTED: Final = FastloadError.code
USAGE: Final = "usage"
_FACT_WIDTH: Final = 16

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        is_number: shown to the right.
        folds: takes the room that is left and goes on in the next line; others stay whole.
    """

    title: str
    is_number: bool = False
    folds: bool = False


def say(*, as_json: bool, document: Mapping[str, Any], text: Callable[[], None]) -> None:
    """Answer with *document* as JSON, or else by calling *text*, which prints for people."""
    if as_json:
        print_json(document)
    else:
        text()


def print_json(document: Mapping[str, Any]) -> None:
    """Print *document* to standard output: paths as text, enumerations as their values."""
    click.echo(json.dumps(document, indent=2, default=_plain))


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table that fits the terminal, or 80 columns where there is none."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.is_number else "left",
            no_wrap=not column.folds,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(_literal, row))
    console().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and values below each other; what is long is left to the terminal to wrap."""
    for name, value in facts:
        first, *others = value.split("\n")
        print_line(f"{name:<{_FACT_WIDTH}}{first}")
        for line in others:
            print_line(f"{'':<{_FACT_WIDTH}}{line}")


def print_line(text: str, *, style: str | None = None) -> None:
    """Print one line, however long, as it is."""
    console().print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def console(*, of_errors: bool = False) -> Console:
    """Return where to print; colours only on a terminal, and not under `NO_COLOR`."""
    from rich.console import Console

    return Console(stderr=of_errors, highlight=False, emoji=False)


def described(error: BaseException) -> dict[str, str]:
    """Return *error* as it stands in a JSON document.

    Example:
        >>> described(FastloadError("no"))
        {'code': 'FL000', 'message': 'no'}
    """
    if isinstance(error, FastloadError):
        return {"code": error.code, "message": error.explanation()}
    if isinstance(error, click.ClickException):
        return {"code": USAGE, "message": error.format_message()}
    return {"code": UNEXPECTED, "message": f"{type(error).__name__}: {error}"}


def print_error(error: BaseException, *, as_json: bool) -> None:
    """Report why a command failed: JSON on standard output, or one line on standard error."""
    told = described(error)
    if as_json:
        print_json({"error": told})
    elif isinstance(error, click.ClickException):
        error.show()
    else:
        click.echo(f"fastload: {line_of(told)}", file=sys.stderr)


def line_of(told: Mapping[str, str]) -> str:
    """Return what `described` returned as one line, the code first."""
    return f"[{told['code']}] {' '.join(told['message'].split())}"


def _literal(text: str) -> Any:
    """Keep rich from reading brackets in a path as styles."""
    from rich.text import Text

    return Text(text)


def _plain(value: object) -> Any:
    """Return a value that JSON does not know as one that it does."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no place in a JSON document")
