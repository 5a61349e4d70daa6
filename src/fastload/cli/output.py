"""How a verb answers: one JSON document, or lines and tables for people."""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from fastload.errors import FastloadError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table
    from rich.text import Text

#: The code that JSON output gives for mistakes in the words of the command.
USAGE: Final = "usage"
#: And for Ctrl-C.
_INTERRUPTED: Final = "interrupted"
_NAME_WIDTH: Final = 16
#: Columns of a screen that nobody looks at.
_NO_LIMIT: Final = 10_000
#: What `take_any_name` calls its way with characters that an encoding lacks.
_BYTES_FIRST: Final = "fastload.bytes_first"


def say(document: Mapping[str, Any], text: Iterable[str | Text | Table], *, as_json: bool) -> None:
    """Print *document* as JSON, or else *text*, which is made only if it is printed.

    A line is printed whole, however long, and is left to the terminal to wrap.
    """
    if as_json:
        print_json(document)
        return
    from rich.table import Table

    screen = console()
    for item in text:
        screen.print(item, soft_wrap=not isinstance(item, Table))


def print_json(document: Mapping[str, Any]) -> None:
    """Print *document* to standard output: paths as text, enumerations as their values."""
    click.echo(json.dumps(document, indent=2, default=_plain, allow_nan=False))


def console(*, of_errors: bool = False) -> Console:
    """Return where to print; colours only on a terminal, and not under `NO_COLOR`."""
    from rich.console import Console

    # Without markup and emoji, brackets and colons in a path stay what they are.
    screen = Console(stderr=of_errors, highlight=False, emoji=False, markup=False)
    if not screen.is_terminal:
        screen.width = _NO_LIMIT  # one line is one row for what reads the pipe
    return screen


def progress() -> Progress:
    """Return a bar for what is being done and how much is left; shown on a terminal only."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    screen = console(of_errors=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
    )
    return Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)


def has_colours() -> bool:
    """Say whether the user wants more than plain text (https://no-color.org)."""
    return not os.environ.get("NO_COLOR")


def facts(named: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield names and values as lines; a value of several lines is indented.

    Example:
        >>> list(facts([("Kind", "HDF5")]))
        ['Kind            HDF5']
    """
    for name, value in named:
        yield f"{name:<{_NAME_WIDTH}}" + value.replace("\n", "\n" + " " * _NAME_WIDTH)


def table(
    rows: Iterable[Sequence[str]], *titles: str, folds: str, numbers: Collection[str] = ()
) -> Table:
    """Return a table that fits the terminal; where there is none, no cell wraps.

    Args:
        rows: the cells.
        titles: headings of the columns.
        folds: the column that takes the remaining width and wraps; the others never wrap.
        numbers: the columns that are aligned to the right.
    """
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold" if has_colours() else "")
    for title in titles:
        justify: Any = "right" if title in numbers else "left"
        made.add_column(title, justify=justify, no_wrap=title != folds, overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def shown_size(nbytes: float) -> str:
    """Return a number of bytes for people.

    Example:
        >>> shown_size(999), shown_size(102_400_000)
        ('999 Bytes', '97.7 MiB')
    """
    from humanize import naturalsize

    return naturalsize(nbytes, binary=True)


def shown_age(seconds: float) -> str:
    """Return an age for people.

    Example:
        >>> shown_age(7200), shown_age(3 * 86_400 + 5)
        ('2 hours', '3 days')
    """
    from humanize import naturaldelta

    return naturaldelta(seconds)


def shown_seconds(seconds: float) -> str:
    """Return a length of time for people, to the millisecond.

    Example:
        >>> shown_seconds(4.2), shown_seconds(-0.01234), shown_seconds(7384)
        ('4.200 seconds', '-0.012 seconds', '2 hours, 3 minutes and 4 seconds')
    """
    from humanize import precisedelta

    return ("-" if seconds < 0 else "") + precisedelta(abs(seconds), format="%.3f")


def timestamp(seconds: float) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def counted(count: int, noun: str) -> str:
    """Return a number of things.

    Example:
        >>> counted(1, "twin"), counted(2, "twin")
        ('1 twin', '2 twins')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


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
    if isinstance(error, KeyboardInterrupt):
        return {"code": _INTERRUPTED, "message": "Interrupted"}
    return {"code": FastloadError.code, "message": f"{type(error).__name__}: {error}"}


def line_of(fault: Mapping[str, str]) -> str:
    """Return what `described` returned as one line, the code first."""
    return f"[{fault['code']}] {' '.join(fault['message'].split())}"


def print_error(error: BaseException, *, as_json: bool) -> None:
    """Report why a command failed: JSON on standard output, or one line on standard error.

    The line too where standard output takes nothing: then that may be the error.
    """
    if as_json:
        with suppress(OSError):
            print_json({"error": described(error)})
            return
    _print_line(error)


def take_any_name(stream: TextIO | None) -> None:
    """Have *stream* write what its encoding lacks with backslashes: no name of a file fails a verb.

    Where Python writes bytes of names that are no text as they are, as in most locales, that stays.
    """
    if stream is None or not hasattr(stream, "reconfigure"):
        return
    instead = {"strict": "backslashreplace", "surrogateescape": _BYTES_FIRST}
    errors = instead.get(stream.errors or "")
    if errors is not None:
        codecs.register_error(_BYTES_FIRST, _bytes_first)
        stream.reconfigure(errors=errors)


def leave_unwritten(stream: TextIO | None) -> None:
    """Let go of what *stream* holds and nobody takes: Python would end with an error over it."""
    if stream is None:
        return
    with suppress(OSError, ValueError):  # it is closed, or no file
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _print_line(error: BaseException) -> None:
    if isinstance(error, click.ClickException):
        error.show()
    else:
        click.echo(f"fastload: {line_of(described(error))}", file=sys.stderr)


def _bytes_first(error: UnicodeError) -> tuple[str | bytes, int]:
    """Encode what stands for a byte of a name as that byte, and anything else with backslashes."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


def _plain(value: object) -> Any:
    """Return a value that JSON does not know as one that it does."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no place in a JSON document")
