"""Charts as inline SVG, which needs neither scripts nor a network; the words around them are HTML.

Text in an SVG shrinks with it, so that bars, which are as wide as the page, have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from fastload.bench.verdict import seconds

#: Classes of colours in `page.css`.
_COLOURS: Final = 12
#: Of a chart with lines, in its own units; and the room around its axes.
_WIDTH, _HEIGHT = 360, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 22, 34
#: Beyond which a mark's words stand to the left of it.
_MIDDLE: Final = 0.5
_TICKS: Final = 3
_FEW_LOADS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar of parts.

    Attributes:
        name: what it is of.
        parts: lengths by name, in the order in which they stand.
    """

    name: str
    parts: Mapping[str, float]

    @property
    def length(self) -> float:
        """Of the whole bar."""
        return sum(self.parts.values())


def bars(title: str, found: Sequence[Bar], shown: Callable[[float], str] = seconds) -> str:
    """Return a figure of bars on one scale, each with a key to its parts.

    Args:
        title: what the figure shows.
        found: the bars.
        shown: writes a length with its unit.
    """
    longest = max((bar.length for bar in found), default=0) or 1.0
    names = list(dict.fromkeys(name for bar in found for name in bar.parts))
    colours = {name: f"f{number % _COLOURS}" for number, name in enumerate(names)}
    rows = "".join(_bar(bar, longest, colours, shown) for bar in found)
    return f'<figure aria-label="{escape(title)}"><h3>{escape(title)}</h3>{rows}</figure>'


def _bar(
    bar: Bar, longest: float, colours: Mapping[str, str], shown: Callable[[float], str]
) -> str:
    whole = shown(bar.length)
    head = (
        f'<div class="head"><span>{escape(bar.name)}</span>'
        f'<span class="figure">{escape(whole)}</span></div>'
    )
    drawn = "".join(_parts(bar, longest, colours, shown))
    label = f"{bar.name}: {whole}"
    svg = (
        '<svg viewBox="0 0 100 1" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{drawn}</svg>'
    )
    key = _key(bar, colours, shown) if len(bar.parts) > 1 else ""
    return f'<div class="bar">{head}{svg}{key}</div>'


def _parts(
    bar: Bar, longest: float, colours: Mapping[str, str], shown: Callable[[float], str]
) -> Iterator[str]:
    start = 0.0
    for name, length in bar.parts.items():
        width = 100 * length / longest
        title = f"{name}: {shown(length)}"
        yield (
            f'<rect class="{colours[name]}" x="{start:.3f}" y="0" width="{width:.3f}" height="1">'
            f"<title>{escape(title)}</title></rect>"
        )
        start += width


def _key(bar: Bar, colours: Mapping[str, str], shown: Callable[[float], str]) -> str:
    swatch = (
        '<svg viewBox="0 0 1 1" aria-hidden="true"><rect class="{}" width="1" height="1"/></svg>'
    )
    items = (
        f"<li>{swatch.format(colours[name])}{escape(name)} "
        f'<span class="figure">{escape(shown(length))}</span></li>'
        for name, length in bar.parts.items()
        if length > 0
    )
    return f'<ul class="key">{"".join(items)}</ul>'


def payback(stock_s: float, first_s: float, later_s: float, after: int | None) -> str:
    """Return a chart of the seconds that all loads so far took, by stock and by fastload.

    Args:
        stock_s: of a load by stock.
        first_s: of a first load.
        later_s: of a later load.
        after: how many loads pay the first one back; None for never.
    """
    loads = max(_FEW_LOADS, 2 * (after or 0))
    highest = max(stock_s * loads, first_s + later_s * (loads - 1))
    plane = _Plane(loads=loads, highest=highest)
    ours = (0.0, first_s, first_s + later_s * (loads - 1))
    drawn = (
        *plane.axes(),
        plane.line("s1", [(0, 0.0), (loads, stock_s * loads)]),
        plane.line("s0", [(0, ours[0]), (1, ours[1]), (loads, ours[2])]),
        plane.mark(after) if after is not None and after > 1 else "",
    )
    title = "All loads so far, in seconds"
    return (
        f'<figure aria-label="{title}"><h3>{title}</h3>'
        f'<svg class="lines" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{title}">{"".join(drawn)}</svg>{_LINES_KEY}</figure>'
    )


_SWATCH: Final = (
    '<li><svg viewBox="0 0 1 1" aria-hidden="true"><rect class="{}" width="1" height="1"/></svg>'
    "{}</li>"
)
_LINES_KEY: Final = (
    f'<ul class="key">{_SWATCH.format("f1", "stock")}'
    f"{_SWATCH.format('f0', 'fastload, the first load included')}</ul>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plane:
    """Where a number of loads and their seconds are in a chart."""

    loads: int
    highest: float

    def x(self, loads: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * loads / self.loads

    def y(self, taken_s: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * taken_s / self.highest

    def line(self, colour: str, points: Sequence[tuple[float, float]]) -> str:
        places = " ".join(f"{self.x(loads):.1f},{self.y(s):.1f}" for loads, s in points)
        return f'<polyline class="{colour}" points="{places}"/>'

    def axes(self) -> Iterator[str]:
        """Yield lines across for round shares of the height, and words below and beside."""
        for part in range(_TICKS):
            taken_s = self.highest * part / (_TICKS - 1)
            y = self.y(taken_s)
            ends = f'x1="{_LEFT}" x2="{_WIDTH - _RIGHT}"'
            yield f'<line class="axis" {ends} y1="{y:.1f}" y2="{y:.1f}"/>'
            label = seconds(taken_s) if part else "0 s"
            yield (
                f'<text class="figure" text-anchor="end" x="{_LEFT - 5}" y="{y + 3.5:.1f}">'
                f"{label}</text>"
            )
            loads = self.loads * part // (_TICKS - 1)
            anchor = ("start", "middle", "end")[part]
            yield (
                f'<text class="figure" text-anchor="{anchor}" x="{self.x(loads):.1f}" '
                f'y="{_HEIGHT - _BOTTOM + 16}">{loads} loads</text>'
            )

    def mark(self, after: int) -> str:
        x = self.x(after)
        is_left = after <= self.loads * _MIDDLE
        anchor, place = ("start", x + 4) if is_left else ("end", x - 4)
        return (
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
            f'<text text-anchor="{anchor}" x="{place:.1f}" y="{_TOP - 8}">paid back after '
            f'<tspan class="figure">{after} loads</tspan></text>'
        )
