"""Figures in pages: what a script writes stands between two markers, and nothing else changes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first hold figures.

    Example:
        >>> print(table(["network", "s"], [["x", "1.0"]]))
        | network | s |
        | --- | ---: |
        | x | 1.0 |
    """
    ruler = ("---", *("---:" for _ in headings[1:]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, ruler, *rows))


@dataclass(frozen=True, slots=True)
class Markers:
    """Where in a page the figures of one script stand.

    Attributes:
        name: of the figures.
        writer: the module that writes them, for who reads the page's source.
    """

    name: str
    writer: str

    @property
    def begin(self) -> str:
        """The line before the figures."""
        return f"<!-- {self.name}:begin (written by python -m {self.writer}) -->"

    @property
    def end(self) -> str:
        """The line after the figures."""
        return f"<!-- {self.name}:end -->"

    def replace(self, text: str, written: str) -> str:
        """Return *text* with *written* between the markers.

        Raises:
            ValueError: *text* has not exactly one pair of markers.

        Example:
            >>> markers = Markers("x", "y")
            >>> page = markers.begin + markers.end
            >>> markers.replace(page, "1").splitlines()[2]
            '1'
        """
        before, begin, rest = text.partition(self.begin)
        _, end, after = rest.partition(self.end)
        if not begin or not end or self.begin in after:
            raise ValueError(f"the page needs one pair of markers: {self.begin} and {self.end}")
        return f"{before}{self.begin}\n\n{written}\n\n{self.end}{after}"

    def read(self, page: Path) -> str:
        """Return what is between the markers of *page*, or nothing where there are none."""
        _, _, rest = page.read_text(encoding="utf-8").partition(self.begin)
        return rest.partition(self.end)[0].strip()

    def tell(self, facts: Mapping[str, str], figures: str, page: Path | None) -> None:
        """Print figures and where they were measured, and write both into *page* if there is one.

        Args:
            facts: of the machine, as `machine.describe` returns them.
            figures: a table.
            page: a page with the markers, or None.
        """
        where = ", ".join(f"{name} {what}" for name, what in facts.items())
        written = f"Measured on: {where}.\n\n{figures}"
        sys.stdout.write(f"{written}\n")
        if page:
            self.write(page, written)

    def write(self, page: Path, written: str) -> None:
        """Put *written* between the markers of *page*.

        Raises:
            ValueError: the page has not exactly one pair of markers.
        """
        page.write_text(self.replace(page.read_text(encoding="utf-8"), written), encoding="utf-8")
