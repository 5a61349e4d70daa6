"""`python -m benchmarks.phases --page docs/bench.md`: where the time of a load goes, by phase.

Each load is in a process of its own, by `fastload.profile_load`; a row is the load in the middle of
its rounds, so that its phases add up to its whole.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import machine
from benchmarks.cases import Case, Generation, select, stock_loader
from benchmarks.measure import WORK, check_byte_code, write_missing
from benchmarks.networks import model_path
from benchmarks.page import Markers, table
from fastload.bench.profile import LoadProfile, profile_load
from fastload.runtime.core.stock_phases import PHASES

if TYPE_CHECKING:
    from fastload.runtime.core.keras import KerasChoice

MARKERS: Final = Markers("phases", "benchmarks.phases")
HEADINGS: Final = ("model", "n", *PHASES, "first load", "later load")
DEFAULT: Final = "resnet50,resnet50-keras3,resnet50-keras3-h5,resnet50-saved-model,efficientnetb0"
_KERAS: Final[dict[Generation, KerasChoice]] = {
    Generation.KERAS2: "tf_keras",
    Generation.KERAS3: "keras",
}


def measured(case: Case, rounds: int, work: Path) -> list[LoadProfile]:
    """Take loads of *case* apart, *rounds* times."""
    write_missing(case, work)
    path = model_path(case, stock_loader(case.source), work)
    keras = _KERAS[case.generation]
    return [profile_load(path, keras=keras, function=case.function.value) for _ in range(rounds)]


def row(case: Case, found: Sequence[LoadProfile]) -> tuple[str, ...]:
    """Return the row of *case*: the load of stock's that is in the middle, and ours in theirs."""
    stock = _middle(found, lambda each: each.stock_seconds)
    first = _middle(found, lambda each: each.first_seconds)
    later = _middle(found, lambda each: each.later_seconds)
    stock_s = stock.stock_seconds
    return (
        f"{case.name} ({case.source.value}, {case.function.stands_in_for})",
        str(len(found)),
        *(f"{stock.stock[phase] / stock_s:.0%}" for phase in PHASES),
        f"{first.first_seconds / stock_s:.0%}",
        f"{later.later_seconds / stock_s:.0%}",
    )


def _middle(found: Sequence[LoadProfile], taken_s: Callable[[LoadProfile], float]) -> LoadProfile:
    return sorted(found, key=taken_s)[(len(found) - 1) // 2]


def main() -> None:
    """Measure, print a table, and write it into the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=select, default=select(DEFAULT))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--page", type=Path, help="the page that shows the figures")
    asked = parser.parse_args()
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    check_byte_code()
    rows = [row(case, measured(case, asked.rounds, asked.work)) for case in asked.cases]
    MARKERS.tell(machine.describe(asked.work), table(HEADINGS, rows), asked.page)


if __name__ == "__main__":
    main()
