"""`make demo`: a published SavedModel, loaded by stock and by fastload, in fresh processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.cases import HIT, MISS, Case, Format, select, stock_loader
from benchmarks.fetch import FetchError, fetch
from benchmarks.measure import WORK, BenchmarkError, check_output, measure_once
from benchmarks.runner import Measurement

_TITLES: Final = {
    stock_loader(Format.SAVED_MODEL): "stock load_model",
    MISS: "fastload, first load",
    HIT: "fastload, later loads",
}


def main() -> int:
    """Fetch, load three times, compare the predictions and print the table."""
    console = Console()
    (case,) = select("sleepecg")
    try:
        with console.status("fetching sleepecg's sleep staging GRU, a Keras 2 SavedModel"):
            fetch(case.network, WORK)
        with console.status("loading it in fresh processes"):
            measurements = compare(case)
    except (FetchError, BenchmarkError) as error:
        console.print(f"The demo could not run: {error}", markup=False, soft_wrap=True)
        return 1
    console.print(table(measurements))
    console.print("All predictions are equal to the last bit. Seconds exclude `import tensorflow`.")
    return 0


def compare(case: Case) -> list[Measurement]:
    """Measure one load by each loader after one that warms file caches and makes the twin.

    Raises:
        BenchmarkError: a load failed or predicted other bytes.
    """
    measure_once(case, HIT, WORK)
    expected: dict[str, str] = {}
    measurements = []
    for loader in _TITLES:
        measurement = measure_once(case, loader, WORK)
        check_output(measurement, expected)
        measurements.append(measurement)
    return measurements


def table(measurements: Sequence[Measurement]) -> Table:
    """Return the comparison; the first measurement is the one that the others are compared with."""
    made = Table("loader", "outcome", title="sleepecg's GRU: 71 KB of weights, 656 functions")
    for column in ("load s", "times faster", "whole process s"):
        made.add_column(column, justify="right")
    for each in measurements:
        made.add_row(
            _TITLES[each.loader],
            each.outcome,
            f"{each.load_s:.2f}",
            f"{measurements[0].load_s / each.load_s:.1f}",
            f"{each.process_start_to_first_prediction_s:.1f}",
        )
    return made


if __name__ == "__main__":
    sys.exit(main())
