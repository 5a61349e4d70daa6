"""Options that several verbs share, and types of their values."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

import click

from fastload.settings import parse_size

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_AGE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*")

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
)
dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
keras_choice = click.option(
    "--keras",
    type=click.Choice(["auto", "keras", "tf_keras"]),
    default="auto",
    show_default=True,
    help="The Keras that loads the model; auto is the one that tf.keras is.",
)


class OutputPath(click.Path):
    """The type of options that name a file to write."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, readable=False, writable=True, path_type=Path)

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> Any:
        """Return the path; a word without the name of a file is a mistake."""
        if not os.path.basename(value):  # noqa: PTH119 - `Path` forgets a slash at the end
            self.fail(f"{value!r} names no file.", parameter, context)
        return super().convert(value, parameter, context)


def size(text: str) -> int:
    """Return the bytes in *text*: the type of options that take a size.

    Raises:
        click.BadParameter: *text* is not a size.
    """
    try:
        return parse_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def age(text: str) -> float:
    """Return the seconds in *text*, a number and one of `s`, `m`, `h`, `d`, `w`: the same for ages.

    Raises:
        click.BadParameter: *text* is not an age.

    Example:
        >>> age("1.5h")
        5400.0
    """
    match = _AGE.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"not an age: {text!r} (write 45m, 12h, 30d or 2w)")
    return float(match[1]) * _SECONDS[match[2]]
