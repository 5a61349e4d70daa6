"""A measurement as one page of HTML: it loads nothing, and fits a phone, a screen and paper."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from html import escape
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from fastload.bench.charts import Bar, bars, payback
from fastload.bench.verdict import is_worth, ratio, seconds, size, verdict

if TYPE_CHECKING:
    from fastload.bench.result import Bench, Comparison, Timing

_FRAME: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
#: What a table says of each program, in rows.
_FIGURES: Final[tuple[tuple[str, Callable[[Timing], str]], ...]] = (
    ("load", lambda timing: seconds(timing.load_s)),
    ("imports before it", lambda timing: seconds(timing.import_s)),
    ("first prediction", lambda timing: _optional(timing.predict_s)),
    ("whole process", lambda timing: seconds(timing.process_s)),
    ("CPU time, all threads", lambda timing: seconds(timing.cpu_s)),
    ("most memory", lambda timing: size(timing.peak_bytes)),
)
_HOW: Final = (
    "Each figure is the median of {rounds}, each a fresh one; the programs took turns. “Load” is "
    "the call without imports of TensorFlow and Keras; “whole process” is from its start to its "
    "end after one prediction. A first load writes the twin; later loads map it, and what they "
    "map counts as memory. Where stock's time goes is told of one more load, with its functions "
    "timed. The cache was a temporary one."
)


def page(found: Bench) -> str:
    """Return *found* as a page of HTML that is well-formed XML, too."""
    title = f"fastload bench: {PurePath(found.path).name}"
    style = files("fastload.bench").joinpath("page.css").read_text(encoding="utf-8")
    return _FRAME.format(title=escape(title), style=style, body="\n".join(_body(title, found)))


def _body(title: str, found: Bench) -> Iterator[str]:
    yield f"<h1>{escape(title)}</h1>"
    weights = f", {_figure(size(found.weights_bytes))} of weights" if found.weights_bytes else ""
    yield (
        f'<p class="faint"><code>{escape(found.path)}</code>: {escape(found.kind)}, '
        f"{_figure(size(found.size_bytes))}{weights}</p>"
    )
    for each in found.comparisons:
        yield f"<section>{''.join(_comparison(each))}</section>"
    yield "<h2>How this was measured</h2>"
    processes = "1 process" if found.rounds == 1 else f"{found.rounds} processes"
    yield f"<p>{escape(_HOW.format(rounds=processes))}</p>"
    yield _facts(found.machine.items())


def _comparison(found: Comparison) -> Iterator[str]:
    yield f"<h2><code>fastload.{escape(found.function)}</code></h2>"
    kind = "verdict" if is_worth(found) else "verdict none"
    yield f'<p class="{kind}">{escape(verdict(found))}</p>'
    against = f"Against <code>{escape(found.stock_name)}</code>."
    yield f'<p class="faint">{against} {_compared(found)}</p>'
    timings = _timings(found)
    if timings:
        yield _table(found, timings)
        yield from _charts(found, timings)


def _compared(found: Comparison) -> str:
    if found.later is None:
        return ""
    outputs = "Outputs are equal to those of stock, bit for bit."
    if found.uncompared is not None:
        outputs = f"Outputs were not compared: {escape(found.uncompared)}."
    compiled = "" if found.compiled else " Loaded with compile=False, as stock cannot compile it."
    refusal = "" if found.refusal is None else f" Stock says: {escape(found.refusal)}"
    return outputs + compiled + refusal


def _timings(found: Comparison) -> dict[str, Timing]:
    named = {"stock": found.stock, "first load": found.first, "later loads": found.later}
    return {name: timing for name, timing in named.items() if timing is not None}


def _table(found: Comparison, timings: dict[str, Timing]) -> str:
    head = "".join(f"<th>{name}</th>" for name in timings)
    rows = [
        f"<tr><td>{name}</td>{''.join(_cell(shown(each)) for each in timings.values())}</tr>"
        for name, shown in _FIGURES
    ]
    if found.load_ratio is not None:
        rows += [
            _ratio_row("later load, faster than stock", found.load_ratio),
            _ratio_row("whole process, faster than stock", found.process_ratio),
        ]
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _ratio_row(name: str, value: float | None) -> str:
    return f'<tr><td colspan="3">{name}</td>{_cell(ratio(value))}</tr>'


def _charts(found: Comparison, timings: dict[str, Timing]) -> Iterator[str]:
    if found.profile is not None:
        loads = (
            ("stock", found.profile.stock),
            ("first load", found.profile.first),
            ("later load", found.profile.later),
        )
        parts = [Bar(name=name, parts=phases) for name, phases in loads if phases]
        yield bars("Where the time of a load goes", parts)
    yield bars(
        "A process, from its start to its end", [_process(*each) for each in timings.items()]
    )
    peaks = [Bar(name=name, parts={"": each.peak_bytes}) for name, each in timings.items()]
    yield bars("Most memory of a process", peaks, size)
    if found.stock is not None and found.first is not None and found.later is not None:
        stock_s, first_s, later_s = (each.load_s for each in timings.values())
        yield payback(stock_s, first_s, later_s, found.paid_back_after)


def _process(name: str, timing: Timing) -> Bar:
    known = {
        "imports": timing.import_s,
        "load": timing.load_s,
        "first prediction": timing.predict_s or 0.0,
    }
    rest_s = max(timing.process_s - sum(known.values()), 0.0)
    return Bar(name=name, parts={**known, "start and end": rest_s})


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    lines = (f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
    return f'<table class="facts"><tbody>{"".join(lines)}</tbody></table>'


def _cell(text: str) -> str:
    return f'<td class="figure">{escape(text)}</td>'


def _figure(text: str) -> str:
    return f'<span class="figure">{escape(text)}</span>'


def _optional(value: float | None) -> str:
    return "-" if value is None else seconds(value)
