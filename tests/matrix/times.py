"""How many times faster a ResNet50 loads in this environment, added to its record.

`python -m tests.matrix.times record.json ROUNDS`. Stock and fastload take turns, each load in a
process of its own, with TensorFlow and Keras imported before; predictions are compared.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.cases import HIT, Case, select, stock_loader
from benchmarks.measure import check_output, measure_once, prepare
from tests.installed import version_of

#: By Keras: the cases, and the formats as records name them.
_CASES: Final = {
    "keras2": {"tf": "resnet50"},
    "keras3": {"h5": "resnet50-keras3-h5", "keras": "resnet50-keras3"},
}


def times(case: Case, rounds: int, work: Path) -> float:
    """Return stock's seconds by fastload's, each the median of *rounds*; 0 without a hit."""
    prepare(case, work)
    expected: dict[str, str] = {}
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        for loader in (stock_loader(case.source), HIT):
            measured = measure_once(case, loader, work)
            check_output(measured, expected)
            seconds.setdefault(measured.outcome, []).append(measured.load_s)
    if "hit" not in seconds:
        return 0.0
    return statistics.median(seconds["stock"]) / statistics.median(seconds["hit"])


def installed() -> list[str]:
    """Return the generations of Keras that are here."""
    found = {name: version_of(name) for name in ("keras", "tf-keras")}
    newest = "keras3" if found["keras"] >= "3" else "keras2"
    return [newest, "keras2"] if newest == "keras3" and found["tf-keras"] else [newest]


def main(record: Path, rounds: int) -> None:
    """Measure, and write it into *record*."""
    found = json.loads(record.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as work:
        for generation in installed():
            found.setdefault("times", {})[generation] = {
                form: round(times(*select(name), rounds, Path(work)), 1)
                for form, name in _CASES[generation].items()
            }
    record.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
