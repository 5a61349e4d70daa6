"""`python -m benchmarks.fleet FIGURES --price 0.10 --node-start-s 30`: what nodes sum up to.

FIGURES is what `python -m benchmarks.batch_node --json FIGURES` wrote, or the page with its tables.
Nothing is measured here: node time and cost of a batch are computed, with the assumptions that are
printed above the tables.

    python -m benchmarks.fleet docs/fleet.md --price 0.1 --node-start-s 30 --chart docs/fleet.svg
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.batch_node import STOCK
from benchmarks.fleet_chart import chart
from benchmarks.fleet_page import figures_in
from benchmarks.fleet_terms import HOUR_S, TASKS, WORK_S, Terms, node_seconds
from benchmarks.page import Markers, table

MARKERS: Final = Markers("fleet", "benchmarks.fleet")


def headings(terms: Terms) -> tuple[str, ...]:
    """Return the headings of a table."""
    hours = (f"node hours of {count:,} tasks" for count in terms.tasks)
    costs = (f"cost of {count:,}" for count in terms.tasks)
    return ("kind", "other work s", "node seconds a task", "of stock", *hours, *costs)


def rows(model: Mapping[str, Any], terms: Terms) -> Iterator[tuple[str, ...]]:
    """Yield a row for each length of work and each kind."""
    for work_s in terms.work_s:
        stock_s = node_seconds(model, STOCK.name, work_s, terms)
        for kind in model["kinds"]:
            task_s = node_seconds(model, kind, work_s, terms)
            hours = [count * task_s / HOUR_S for count in terms.tasks]
            yield (
                *(kind, f"{work_s:g}", f"{task_s:.1f}", f"{task_s / stock_s:.0%}"),
                *(f"{each:,.1f}" for each in hours),
                *(f"{each * terms.price:,.2f}" for each in hours),
            )


def written(figures: Mapping[str, Any], terms: Terms) -> str:
    """Return the text for the page."""
    facts = figures["machine"]
    taken = f"Computed from the figures of commit {facts['commit']}, date {facts['date']}. Assumed:"
    tables = (
        f"### {name}: a fleet\n\n{table(headings(terms), rows(model, terms))}"
        for name, model in figures["models"].items()
    )
    return "\n\n".join([taken, str(terms), *tables])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, and write them into the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", type=Path, help="what batch_node --json wrote, or a page.md")
    parser.add_argument("--price", type=float, required=True, help="of a node for an hour")
    parser.add_argument("--node-start-s", type=float, required=True)
    parser.add_argument("--mb-per-s", type=float, default=125.0, help="125 is 1 Gbit/s")
    parser.add_argument("--tasks", type=int, nargs="+", default=TASKS)
    parser.add_argument("--work-s", type=float, nargs="+", default=WORK_S, help="of one task")
    parser.add_argument("--chart", type=Path, help="the SVG that shows them")
    parser.add_argument("--page", type=Path, help="the page that shows the figures")
    asked = parser.parse_args(arguments)
    terms = Terms(
        price=asked.price,
        node_start_s=asked.node_start_s,
        mb_per_s=asked.mb_per_s,
        tasks=asked.tasks,
        work_s=asked.work_s,
    )
    kept = asked.figures.read_text(encoding="utf-8")
    figures = figures_in(kept) if asked.figures.suffix == ".md" else json.loads(kept)
    text = written(figures, terms)
    if asked.chart:
        asked.chart.write_text(chart(figures, terms), encoding="utf-8")
    sys.stdout.write(f"{text}\n")
    if asked.page:
        MARKERS.write(asked.page, text)


if __name__ == "__main__":
    main()
