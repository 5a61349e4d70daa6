"""Node time and cost of a batch against its number of tasks, as an SVG: what `fleet` computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10
from typing import Any, Final

from benchmarks.batch_node import STOCK
from benchmarks.fleet_terms import HOUR_S, Terms, node_seconds

#: Of a panel, in the chart's own units; and the room around it, at the right for words.
_WIDTH, _HEIGHT = 330, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 236, 46, 46
_LINE: Final = 15
_MOST_TASKS: Final = 1_000_000
_TICKS: Final = 4
#: Told apart by people who see few colours; what calls `load_predictor` has dashes.
_COLOURS: Final = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#8a6d00")
_STYLE: Final = (
    "text{font:12px sans-serif;fill:#222}.title{font-weight:bold}.axis{stroke:#888}"
    ".grid{stroke:#e4e4e4}.end{text-anchor:end}.mid{text-anchor:middle}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a panel, from nothing to its end.

    Attributes:
        name: what of `batch_node` runs on the nodes.
        end: its value at the most tasks.
        note: what stands behind the name, at the end.
        number: of its colour.
    """

    name: str
    end: float
    note: str
    number: int


def chart(figures: Mapping[str, Any], terms: Terms) -> str:
    """Return the chart: for each model the hours of nodes, and what is saved against stock.

    Args:
        figures: of `batch_node`.
        terms: what is assumed. Tasks do nothing beyond their first prediction.
    """
    models = list(figures["models"].items())
    width, height = _LEFT + _WIDTH + _RIGHT, _TOP + _HEIGHT + _BOTTOM
    drawn = "".join(
        f'<g transform="translate({column * width + _LEFT},{row * height + _TOP})">{panel}</g>'
        for column, (name, model) in enumerate(models)
        for row, panel in enumerate(_panels(name, model, terms))
    )
    whole = f"{len(models) * width} {2 * height}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole}" role="img" '
        f'aria-label="Node hours and cost against the number of tasks">'
        f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>{drawn}</svg>\n'
    )


def _panels(name: str, model: Mapping[str, Any], terms: Terms) -> Iterator[str]:
    hours = {
        kind: _MOST_TASKS * node_seconds(model, kind, 0.0, terms) / HOUR_S
        for kind in model["kinds"]
    }
    stock = hours[STOCK.name]
    lines = [
        Line(name=kind, end=each, note=f"{each:,.0f} h", number=number)
        for number, (kind, each) in enumerate(hours.items())
    ]
    yield _panel(f"{name}: hours of nodes", lines, terms)
    saved = [
        Line(name=each.name, end=stock - each.end, note=_share(each, stock), number=each.number)
        for each in lines
        if each.name != STOCK.name
    ]
    yield _panel(f"{name}: hours saved against stock", saved, terms)


def _share(line: Line, stock: float) -> str:
    return f"{(stock - line.end) / stock:.1%}"


def _panel(title: str, lines: Sequence[Line], terms: Terms) -> str:
    step = _step(max(0.0, *(each.end for each in lines)))
    top, bottom = step * _TICKS, min(0.0, *(each.end for each in lines))
    bottom = -step * -(bottom // step) if bottom < 0 else 0.0

    def place(value: float) -> float:
        return _HEIGHT * (top - value) / (top - bottom)

    drawn = [f'<text class="title" x="0" y="-26">{escape(title)}</text>']
    drawn += _axes(
        [bottom + step * n for n in range(round((top - bottom) / step) + 1)], place, terms
    )
    ends = dict(
        zip(_by_end(lines), _apart([place(each.end) for each in _by_end(lines)]), strict=True)
    )
    for line, label in ends.items():
        colour = _COLOURS[line.number % len(_COLOURS)]
        dashes = ' stroke-dasharray="6 4"' if "predictor" in line.name else ""
        drawn.append(
            f'<line x1="0" y1="{place(0):.1f}" x2="{_WIDTH}" y2="{place(line.end):.1f}" '
            f'stroke="{colour}" stroke-width="2"{dashes}/>'
            f'<text x="{_WIDTH + 46}" y="{label + 4:.1f}" style="fill:{colour}">'
            f"{escape(_short(line.name))} {line.note}</text>"
        )
    return "".join(drawn)


def _short(name: str) -> str:
    return name.removeprefix("fastload, ").removeprefix("fastload ").replace("image ", "")


def _by_end(lines: Sequence[Line]) -> list[Line]:
    return sorted(lines, key=lambda each: -each.end)


def _apart(places: Sequence[float]) -> Iterator[float]:
    """Yield places of words that do not lie over one another, from top to bottom."""
    last = float("-inf")
    for each in places:
        last = max(each, last + _LINE)
        yield last


def _axes(values: Sequence[float], place: Any, terms: Terms) -> list[str]:
    drawn = []
    for value in values:
        height = place(value)
        drawn.append(
            f'<line class="grid" x1="0" x2="{_WIDTH}" y1="{height:.1f}" y2="{height:.1f}"/>'
            f'<text class="end" x="-6" y="{height + 4:.1f}">{value:,.0f}</text>'
            f'<text x="{_WIDTH + 5}" y="{height + 4:.1f}">{value * terms.price:,.0f}</text>'
        )
    for number in range(_TICKS + 1):
        at = _WIDTH * number / _TICKS
        text = f"{_MOST_TASKS * number // _TICKS:,}"
        drawn.append(f'<text class="mid" x="{at:.1f}" y="{_HEIGHT + 18}">{text}</text>')
    drawn.append(
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{place(0):.1f}" y2="{place(0):.1f}"/>'
        f'<text class="mid" x="{_WIDTH / 2}" y="{_HEIGHT + 36}">tasks</text>'
        f'<text class="end" x="-6" y="-9">hours</text><text x="{_WIDTH + 5}" y="-9">cost</text>'
    )
    return drawn


def _step(most: float) -> float:
    """Return a round step, of which a few reach *most*.

    Example:
        >>> _step(10_236), _step(1_241)
        (3000.0, 400.0)
    """
    least = max(most, 1e-9) / _TICKS
    unit = 10.0 ** floor(log10(least))
    return float(next(unit * each for each in (1, 1.5, 2, 3, 4, 5, 10) if unit * each >= least))
