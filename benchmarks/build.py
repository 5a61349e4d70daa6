"""`python -m benchmarks.build --page docs/performance.md`: models built in code and then loaded.

Each figure is of one process, which imports TensorFlow and Keras, builds the network, and loads its
weights: as stock does it, in `fastload.blank`, and so that the weights come from a twin besides.
The bytes of all weights, and of an output, must be the same.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.measure import BenchmarkError
from benchmarks.models import let_settle
from benchmarks.own_process import told_by
from benchmarks.page import Markers
from benchmarks.weights import Subject, build, digest, run, write

MARKERS: Final = Markers("build", "benchmarks.build")
HEADINGS: Final = (
    *("network", "n", "stock: build s", "and load s", "`blank()`: build s", "times faster"),
    *("and stock's load s", "times faster", "or a twin's s", "times faster"),
    *("CPU s: stock", "`blank()` and twin", "times less"),
)
STOCK: Final = "stock"
BLANK: Final = "blank"
TWIN: Final = "twin"
#: In `blank()`, unless they are stock's: the weights by stock, or from a twin.
WAYS: Final = (STOCK, BLANK, TWIN)


def measure_here(subject: Subject, way: str) -> dict[str, Any]:
    """Build and load in this process; return the seconds of both, and what came of it."""
    import fastload

    importlib.import_module("tensorflow")
    importlib.import_module("keras")
    started, cpu_started = time.perf_counter(), time.process_time()
    with nullcontext() if way == STOCK else fastload.blank():
        model = build(subject.network)
        built = time.perf_counter()
        if way == TWIN:
            fastload.load_weights(model, subject.path, strict=True)
        else:
            model.load_weights(subject.path)
    loaded, cpu_s = time.perf_counter(), time.process_time() - cpu_started
    told = {"build_s": built - started, "both_s": loaded - started, "cpu_s": cpu_s}
    return told | {"digest": digest(model)}


def rows(networks: list[str], rounds: int, folder: Path) -> Iterator[tuple[str, ...]]:
    """Measure each network, and yield its row."""
    for network in networks:
        subject = Subject(network=network, form="tree", folder=folder)
        cache = folder / f"cache-build-{network}-{time.time_ns()}"
        if not subject.path.exists():
            _apart("write", subject, cache)
        let_settle([subject.path])
        first = _apart(TWIN, subject, cache)  # makes the twin
        told: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, found in told.items():
                found.append(_apart(way, subject, cache))
        if len({one["digest"] for found in told.values() for one in [first, *found]}) != 1:
            raise BenchmarkError("weights or outputs differ")
        yield (network, str(rounds), *_figures(told))


def _figures(told: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    build_s, both_s, cpu_s = (
        {way: median(one[what] for one in found) for way, found in told.items()}
        for what in ("build_s", "both_s", "cpu_s")
    )
    yield f"{build_s[STOCK]:.2f}"
    yield f"{both_s[STOCK]:.2f}"
    yield f"{build_s[BLANK]:.2f}"
    yield f"{build_s[STOCK] / build_s[BLANK]:.1f}"
    for way in (BLANK, TWIN):
        yield f"{both_s[way]:.2f}"
        yield f"{both_s[STOCK] / both_s[way]:.1f}"
    yield f"{cpu_s[STOCK]:.2f}"
    yield f"{cpu_s[TWIN]:.2f}"
    yield f"{cpu_s[STOCK] / cpu_s[TWIN]:.1f}"


def _apart(way: str, subject: Subject, cache: Path) -> dict[str, Any]:
    arguments = ["--one", way, subject.network, str(subject.folder)]
    return told_by("benchmarks.build", arguments, cache)


def main() -> None:
    """Measure each network, print a table, and write it into the page if asked."""

    def one(way: str, network: str, folder: str) -> dict[str, Any]:
        subject = Subject(network=network, form="tree", folder=Path(folder))
        if way != "write":
            return measure_here(subject, way)
        write(subject)
        return {}

    run(__doc__, one, rows, MARKERS, HEADINGS)


if __name__ == "__main__":
    main()
