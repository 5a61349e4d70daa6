"""`python -m benchmarks.cold --page docs/performance.md` measures processes that predict once.

Each is measured from its start to its first prediction, by stock, by fastload and by runtimes that
need no TensorFlow. What all of them predict is compared first; if it differs, nothing is written.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from benchmarks import cold_loads
from benchmarks.cold_measure import Cached, Cost, Prepared, measure, prepared, stays_cached
from benchmarks.machine import describe
from benchmarks.measure import ROOT, WORK, BenchmarkError, check_byte_code
from benchmarks.page import Markers, table
from benchmarks.ways import NETWORKS, Network, networks

HEADINGS: Final = ("way", "n", "s", "times", "CPU s", "peak MiB")
DISK_HEADINGS: Final = ("way", "n", "model from disk s", "times", "all from disk s", "times")
_DEFAULT: Final = ("resnet50", "efficientnetb0", "sleepecg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the page.

    Attributes:
        name: of the part.
        text: measures, and returns what is written.
    """

    name: str
    text: Callable[[argparse.Namespace], str]

    @property
    def markers(self) -> Markers:
        """Where it stands."""
        return Markers(f"cold-{self.name}", "benchmarks.cold")


def _processes(asked: argparse.Namespace) -> str:
    texts = []
    for network in networks(asked.models):
        costs = list(_costs(_ways(network, asked), Cached.EVERYTHING, asked))
        texts.append(f"### {network.name}\n\n{table(HEADINGS, rows(costs))}")
    return "\n\n".join(texts)


def _disk(asked: argparse.Namespace) -> str:
    return "\n\n".join(_disk_text(each, asked) for each in networks(asked.models))


def _disk_text(network: Network, asked: argparse.Namespace) -> str:
    ways = _ways(network, asked)
    costs = [
        cost for cached in (Cached.NO_MODEL, Cached.NOTHING) for cost in _costs(ways, cached, asked)
    ]
    stayed = f"{stays_cached(ways[0]):.0%} stayed in the page cache"
    return (
        f"### {network.name}, from disk\n\n{table(DISK_HEADINGS, disk_rows(costs))}\n\n"
        f"Of the files of Python and its packages {stayed}."
    )


def _ways(network: Network, asked: argparse.Namespace) -> list[Prepared]:
    return prepared(
        network, asked.work, lambda way: not (asked.tensorflow_only and way.is_converted)
    )


def _costs(ways: list[Prepared], cached: Cached, asked: argparse.Namespace) -> Iterator[Cost]:
    for cost in measure(ways, cached, asked.rounds):
        _note(cost, asked)
        yield cost


def _note(cost: Cost, asked: argparse.Namespace) -> None:
    """Keep a figure, and show it."""
    with asked.raw.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(cost)) + "\n")
    sys.stderr.write(f"{cost.network} {cost.way} ({cost.cached} cached): {cost.wall_s:.3f} s\n")


def rows(costs: Sequence[Cost]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each way of a network; ratios are to the first."""
    for way, own in _by_way(costs).items():
        yield (
            way,
            str(len(own)),
            *_wall_cells(costs, way, Cached.EVERYTHING),
            f"{statistics.median(cost.cpu_s for cost in own):.2f}",
            f"{statistics.median(cost.peak_mib for cost in own):.0f}",
        )


def disk_rows(costs: Sequence[Cost]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each way of a network; ratios are to the first in the same state."""
    for way, own in _by_way(costs).items():
        cells = (_wall_cells(costs, way, each) for each in (Cached.NO_MODEL, Cached.NOTHING))
        yield (way, str(len(_walls(own, Cached.NOTHING))), *itertools.chain(*cells))


def _by_way(costs: Sequence[Cost]) -> dict[str, list[Cost]]:
    ways = dict.fromkeys(cost.way for cost in costs)
    return {way: [cost for cost in costs if cost.way == way] for way in ways}


def _wall_cells(costs: Sequence[Cost], way: str, cached: Cached) -> tuple[str, str]:
    of_ways = _by_way(costs)
    base_s, own_s = (
        statistics.median(_walls(of_ways[each], cached)) for each in (next(iter(of_ways)), way)
    )
    return f"{own_s:.3f}", f"{base_s / own_s:.1f}"


def _walls(costs: Sequence[Cost], cached: Cached) -> list[float]:
    return [cost.wall_s for cost in costs if cost.cached == cached.value]


def _loads(asked: argparse.Namespace) -> str:
    found = cold_loads.load_rows(asked.loads, asked.rounds, asked.work)
    return table(cold_loads.HEADINGS, found)


PARTS: Final = (
    Part(name="processes", text=_processes),
    Part(name="disk", text=_disk),
    Part(name="loads", text=_loads),
)


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says, and print or write the tables."""
    asked = _parse(arguments)
    facts = describe(asked.work)
    asked.results.mkdir(parents=True, exist_ok=True)
    asked.raw = asked.results / f"{datetime.now(timezone.utc):%Y-%m-%d-%H%M}-cold.jsonl"
    try:
        check_byte_code()
        for part in PARTS:
            if part.name in asked.parts:
                header = ", ".join(f"{name} {value}" for name, value in facts.items())
                text = f"Measured on: {header}.\n\n{part.text(asked)}"
                sys.stdout.write(f"{text}\n\n")
                if asked.page:
                    part.markers.write(asked.page, text)
    except (BenchmarkError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold", description=__doc__)
    add = parser.add_argument
    names = [part.name for part in PARTS]
    add("--parts", nargs="+", choices=names, default=names, help="what to measure (all)")
    add("--models", nargs="+", default=_DEFAULT, help=f"of {', '.join(NETWORKS)}")
    add("--loads", nargs="+", default=cold_loads.LOADS, help="networks that are only loaded")
    add("--tensorflow-only", action="store_true", help="leave the other runtimes out")
    add("--rounds", type=int, default=9, help="processes of each kind (9)")
    add("--work", type=Path, default=WORK, help="folder for models, twins and environments")
    results = ROOT / "benchmarks" / "results"
    add("--results", type=Path, default=results, help="folder for raw figures")
    add("--page", type=Path, help="a page, such as docs/performance.md")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
