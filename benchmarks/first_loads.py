"""`python -m benchmarks.first_loads --page docs/performance.md`: loads that find an empty cache.

On a node that lives for one task each load is the first: fastload reads the model, writes its twin
and returns the model. Each figure is of one process, with TensorFlow and Keras imported before the
clock starts; stock and fastload take turns, and predict the same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import machine
from benchmarks.cases import FIRST_LOADS, MISS, Case, Generation, select, stock_loader
from benchmarks.measure import (
    WORK,
    BenchmarkError,
    check_byte_code,
    check_output,
    measure_once,
    write_missing,
)
from benchmarks.page import Markers, table
from benchmarks.runner import Measurement

MARKERS: Final = Markers("first-loads", "benchmarks.first_loads")
HEADINGS: Final = (
    *("network", "format", "weights MiB", "n", "stock s", "first load s", "times faster"),
    *("stock: peak MiB", "first load: peak MiB"),
)
#: Published, as a SavedModel alone.
PUBLISHED: Final = "sleepecg"
_WRITERS: Final = {Generation.KERAS2: "Keras 2", Generation.KERAS3: "Keras 3"}


def row(case: Case, rounds: int, work: Path) -> tuple[str, ...]:
    """Measure a case, and return its row.

    Raises:
        BenchmarkError: a load failed, was none of its kind, or predicted other bytes.
    """
    write_missing(case, work)
    stock = stock_loader(case.source)
    measure_once(case, stock, work)  # the file is in the page cache for all that follow
    found: dict[str, list[Measurement]] = {stock: [], MISS: []}
    expected: dict[str, str] = {}
    for _ in range(rounds):
        for loader, told in found.items():
            told.append(measure_once(case, loader, work))
            check_output(told[-1], expected)
    outcomes = {each.outcome for each in found[MISS]}
    if outcomes != {"miss"}:
        raise BenchmarkError(f"{case.name}: the first loads were {outcomes}")
    seconds = [median(each.load_s for each in told) for told in found.values()]
    peaks = [median(each.peak_rss_mib for each in told) for told in found.values()]
    return (
        case.network,
        f"{_WRITERS[case.generation]}, {case.source.value}",
        f"{found[MISS][0].weights_mib:.0f}",
        str(rounds),
        *(f"{each:.3f}" for each in seconds),
        f"{seconds[0] / seconds[1]:.2f}",
        *(f"{each:.0f}" for each in peaks),
    )


def rows(pattern: str, rounds: int, work: Path) -> Iterator[tuple[str, ...]]:
    """Measure each case whose name matches *pattern*, and yield its row."""
    for case in (*FIRST_LOADS, *select(PUBLISHED)):
        if fnmatch(case.name, pattern):
            yield row(case, rounds, work)


def main() -> None:
    """Measure, print a table, and write it into the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default="*", help="a pattern, such as 'first-resnet50-*'")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--page", type=Path, help="the page that shows the figures")
    asked = parser.parse_args()
    check_byte_code()
    found = list(rows(asked.cases, asked.rounds, WORK))
    MARKERS.tell(machine.describe(WORK), table(HEADINGS, found), asked.page)


if __name__ == "__main__":
    main()
