"""`python -m benchmarks.fleet FIGURES --price 0.10 --node-start-s 30`: what nodes sum up to.

FIGURES is what `python -m benchmarks.batch_node --json FIGURES` wrote. Nothing is measured here:
node time and cost of a batch are computed, with the assumptions that are printed above the tables.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.batch_node import STOCK
from benchmarks.page import Markers, table

MARKERS: Final = Markers("fleet", "benchmarks.fleet")
TASKS: Final = (1_000, 100_000, 1_000_000)
WORK_S: Final = (0.0, 10.0, 60.0)
HOUR_S: Final = 3600
_ASSUMED: Final = """\
- A node costs {:g} an hour, paid by the second from its start to the end of its task.
- It does one task, alone, and is ready {:g} s after its start. No task fails.
- It fetches its image's layer of twins, where it has one, and the model's archive, one after the
  other, at {:g} MB/s; then it unpacks the archive.
- The process takes what the tables above say, its first prediction included. The task's other work
  takes the seconds in the second column, whichever loader it uses.
- Warming the layer, once for all tasks, and keeping layer and archive are not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is assumed of nodes.

    Attributes:
        price: of a node for an hour.
        node_start_s: seconds from the start of a node's bill until it fetches.
        mb_per_s: at which a node fetches the model's archive, and the layer of its image.
        tasks: how many tasks; a column each.
        work_s: seconds of a task beyond its first prediction; rows of their own.
    """

    price: float
    node_start_s: float
    mb_per_s: float
    tasks: Sequence[int] = TASKS
    work_s: Sequence[float] = WORK_S

    def __str__(self) -> str:
        """Return the assumptions, a line each."""
        return _ASSUMED.format(self.price, self.node_start_s, self.mb_per_s)


def node_seconds(model: Mapping[str, Any], kind: str, work_s: float, terms: Terms) -> float:
    """Return how long a node is paid for one task.

    Args:
        model: of the figures.
        kind: what of `batch_node` runs there.
        work_s: seconds of the task beyond its first prediction.
        terms: what is assumed.

    Example:
        >>> task = {"unpack_s": 1, "whole_s": 9, "has_layer": True}
        >>> model = {"archive_bytes": 2e8, "layer_bytes": 1e8, "kinds": {"hit": task}}
        >>> node_seconds(model, "hit", 5, Terms(price=1, node_start_s=30, mb_per_s=100))
        48.0
    """
    task = model["kinds"][kind]
    fetched = model["archive_bytes"] + (model["layer_bytes"] if task["has_layer"] else 0)
    fetch_s = fetched / 1e6 / terms.mb_per_s
    return float(terms.node_start_s + fetch_s + task["unpack_s"] + task["whole_s"] + work_s)


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
    parser.add_argument("figures", type=Path, help="what batch_node --json wrote")
    parser.add_argument("--price", type=float, required=True, help="of a node for an hour")
    parser.add_argument("--node-start-s", type=float, required=True)
    parser.add_argument("--mb-per-s", type=float, default=125.0, help="125 is 1 Gbit/s")
    parser.add_argument("--tasks", type=int, nargs="+", default=TASKS)
    parser.add_argument("--work-s", type=float, nargs="+", default=WORK_S, help="of one task")
    parser.add_argument("--page", type=Path, help="the page that shows the figures")
    asked = parser.parse_args(arguments)
    terms = Terms(
        price=asked.price,
        node_start_s=asked.node_start_s,
        mb_per_s=asked.mb_per_s,
        tasks=asked.tasks,
        work_s=asked.work_s,
    )
    text = written(json.loads(asked.figures.read_text(encoding="utf-8")), terms)
    sys.stdout.write(f"{text}\n")
    if asked.page:
        MARKERS.write(asked.page, text)


if __name__ == "__main__":
    main()
