"""What a comparison says, in plain words: what fastload brings for this model, or that it does not.

Every figure has its unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fastload.bench.result import Comparison, Timing

#: A load that is no more than this much faster is not worth a cache; nor is it told from noise.
WORTH: Final = 1.1
#: The same of a whole process, most of which is imports.
WORTH_OF_A_PROCESS: Final = 1.05
#: There is nothing to save where stock takes no longer.
SHORT_S: Final = 0.1
#: Codes of errors after which the stock loader loads.
_STOCK_LOADS: Final = ("FL1", "FL2")
_MILLI: Final = 1e-3


def is_worth(found: Comparison) -> bool:
    """Say whether fastload brings anything: speed, or a model that stock does not open."""
    if found.later is None:
        return False
    if found.stock is None:
        return True
    load, process = found.load_ratio or 0.0, found.process_ratio or 0.0
    return load >= WORTH or process >= WORTH_OF_A_PROCESS


def verdict(found: Comparison) -> str:
    """Return what fastload brings for one function, in a sentence or two.

    Example:
        >>> verdict(Comparison(function="load_model", stock_name="stock", reason="it is remote"))
        'fastload brings nothing here: every load goes to the stock loader, because it is remote.'
    """
    return " ".join(_sentences(found))


def _sentences(found: Comparison) -> Iterator[str]:
    if found.later is None:
        yield _not_served(found)
        return
    if found.stock is None:
        yield f"The stock loader does not open it; fastload does, in {seconds(found.later.load_s)}."
        return
    if is_worth(found):
        yield from _worth(found, found.stock, found.later)
    else:
        yield from _no_worth(found.stock, found.later)


def _not_served(found: Comparison) -> str:
    code = f" [{found.code}]" if found.code else ""
    reason = (found.reason or "it is not served").rstrip(".")
    if found.refusal:
        return f"Nothing opens it so. fastload{code}: {reason}. Stock: {found.refusal}"
    if found.code and not found.code.startswith(_STOCK_LOADS):
        return f"fastload brings nothing here: it raises an error{code}: {reason}."
    return (
        "fastload brings nothing here: every load goes to the stock loader, because "
        f"{reason}{code}."
    )


def _worth(found: Comparison, stock: Timing, later: Timing) -> Iterator[str]:
    if (found.load_ratio or 0.0) >= WORTH:
        yield (
            f"A later load takes {seconds(later.load_s)} where stock takes "
            f"{seconds(stock.load_s)}: {ratio(found.load_ratio)} faster."
        )
    else:
        yield (
            f"The load itself is no faster ({seconds(later.load_s)}, stock "
            f"{seconds(stock.load_s)}), but the process around it is."
        )
    yield (
        f"A process that predicts once takes {seconds(later.process_s)}, not "
        f"{seconds(stock.process_s)}."
    )
    yield _payback(found)


def _payback(found: Comparison) -> str:
    after = found.paid_back_after
    if after is None:
        return "The first load, which writes the twin, is not paid back by later loads alone."
    if after == 1:
        return "The first load, which writes the twin, is no slower than stock's."
    return f"The first load, which writes the twin, is paid back after {after} loads."


def _no_worth(stock: Timing, later: Timing) -> Iterator[str]:
    yield (
        f"fastload brings nothing for this model: a later load takes {seconds(later.load_s)}, "
        f"and stock's {seconds(stock.load_s)}."
    )
    if stock.load_s <= SHORT_S:
        yield "Stock loads it so fast that there is nothing to save."
        return
    name, took_s = max(later.middle.phases.items(), key=lambda item: item[1])
    yield (
        f"What is left of a load is what both have to do: {seconds(took_s)} of a later load is "
        f"{name!r}."
    )


def seconds(value: float) -> str:
    """Return seconds for people, with three digits that say something.

    Example:
        >>> seconds(0.01234), seconds(1.2345), seconds(123.4)
        ('12.3 ms', '1.23 s', '123 s')
    """
    if value < 1:
        return f"{_three(value / _MILLI)} ms"
    return f"{_three(value)} s"


def ratio(value: float | None) -> str:
    """Return how many times faster something is.

    Example:
        >>> ratio(12.34), ratio(None)
        ('12.3 times', '-')
    """
    return "-" if value is None else f"{_three(value)} times"


def size(nbytes: float) -> str:
    """Return a number of bytes for people.

    Example:
        >>> size(102_400_000), size(10_000)
        ('97.7 MiB', '9.77 KiB')
    """
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if nbytes >= 2**power:
            return f"{_three(nbytes / 2**power)} {unit}"
    return f"{nbytes:.0f} B"


def _three(value: float) -> str:
    """Return *value* with three digits, without an exponent.

    Example:
        >>> _three(0.0123), _three(12.34), _three(1234.5)
        ('0.01', '12.3', '1234')
    """
    digits = 0 if value >= 100 else 1 if value >= 10 else 2  # noqa: PLR2004 - powers of ten
    return f"{value:.{digits}f}"
