"""Sizes, times and places as people write and read them."""

from __future__ import annotations

import re
from typing import Final

import click

from fastload.settings import parse_size

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_DURATION: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*")
_PREFIXES: Final = ("", "Ki", "Mi", "Gi", "Ti")
_STEP: Final = 1024
#: From here on, a number of bytes is shown without decimals.
_NO_DECIMALS: Final = 100


def size_bytes(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> int | None:
    """Callback of an option that takes a size; what is none becomes a usage error."""
    try:
        return None if value is None else parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def duration_seconds(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> float | None:
    """Callback of an option that takes a length of time; what is none becomes a usage error."""
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def parse_duration(text: str) -> float:
    """Return the seconds that *text* means: a number and one of `s`, `m`, `h`, `d`, `w`.

    Raises:
        ValueError: *text* is not a duration.

    Example:
        >>> parse_duration("1.5h")
        5400.0
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"not a duration: {text!r} (write 45m, 12h, 30d or 2w)")
    return float(match[1]) * _SECONDS[match[2]]


def shown_size(nbytes: float) -> str:
    """Return a number of bytes in the unit that suits it.

    Example:
        >>> shown_size(999), shown_size(102_400_000), shown_size(5 * 2**30)
        ('999 B', '97.7 MiB', '5.0 GiB')
    """
    step = 0
    while nbytes >= _STEP and step < len(_PREFIXES) - 1:
        nbytes, step = nbytes / _STEP, step + 1
    decimals = 1 if step and nbytes < _NO_DECIMALS else 0
    return f"{nbytes:.{decimals}f} {_PREFIXES[step]}B"


def counted(count: int, noun: str) -> str:
    """Return a number of things.

    Example:
        >>> counted(1, "twin"), counted(2, "twin")
        ('1 twin', '2 twins')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shown_age(seconds: float) -> str:
    """Return an age in the largest unit that fits at least once.

    Example:
        >>> shown_age(90), shown_age(3 * 86_400 + 5)
        ('1 min', '3 d')
    """
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return "now"


def shown_seconds(seconds: float) -> str:
    """Return a length of time with three digits that mean something.

    Example:
        >>> shown_seconds(0.01234), shown_seconds(4.2), shown_seconds(7384)
        ('0.012 s', '4.20 s', '2 h 3 min')
    """
    if seconds >= _SECONDS["h"]:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds:.3f} s" if seconds < 1 else f"{seconds:.2f} s"
