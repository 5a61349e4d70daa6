"""`python -m benchmarks.weights --page docs/performance.md`: weights into models built in code.

Each figure is of one process, which imports TensorFlow and Keras, builds the network in code, and
then loads its weights. Only the last is what is compared here; how long building took is told too.
The bytes of all weights, and of an output, must be the same.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import machine
from benchmarks.measure import WORK, BenchmarkError, check_byte_code
from benchmarks.models import let_settle
from benchmarks.own_process import told_by
from benchmarks.page import Markers, table

MARKERS: Final = Markers("weights", "benchmarks.weights")
HEADINGS: Final = (
    *("network", "weights", "MB", "n", "stock s", "fastload s", "times faster"),
    *("first load s", "building s"),
)
NETWORKS: Final = ("ResNet50", "EfficientNetB0", "EfficientNetB7")
#: By what a file is called: a tree of variables, as Keras 3 writes; layers, as Keras 2 does.
FORMS: Final = {"tree": ".weights.h5", "layers": ".h5"}
LOADERS: Final = ("stock", "fastload")
#: As if the file had been there for years: fresh ones get no twin.
_OLD_NS: Final = 1_500_000_000_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A file of weights.

    Attributes:
        network: its name in `keras.applications`.
        form: which of `FORMS`.
        folder: where it is.
    """

    network: str
    form: str
    folder: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / f"{self.network}{FORMS[self.form]}"


def build(network: str) -> Any:
    """Return a network with random weights."""
    keras = importlib.import_module("keras")
    return getattr(keras.applications, network)(weights=None)


def write(subject: Subject) -> None:
    """Write the file, with weights of a network that is made now."""
    keras = importlib.import_module("keras")
    keras.utils.set_random_seed(1)
    model = build(subject.network)
    if subject.form == "tree":
        model.save_weights(subject.path)
    else:
        import h5py

        legacy = importlib.import_module("keras.src.legacy.saving.legacy_h5_format")
        with h5py.File(subject.path, "w") as file:
            legacy.save_weights_to_hdf5_group(file, model)
    os.utime(subject.path, ns=(_OLD_NS, _OLD_NS))


def measure_here(subject: Subject, loader: str) -> dict[str, Any]:
    """Build and load in this process; return the seconds of each, and what came of it."""
    import fastload

    importlib.import_module("tensorflow")
    importlib.import_module("keras")
    started = time.perf_counter()
    model = build(subject.network)
    built = time.perf_counter()
    if loader == "stock":
        model.load_weights(subject.path)
    else:
        fastload.load_weights(model, subject.path, strict=True)
    loaded = time.perf_counter()
    report = fastload.last_load()
    outcome = "stock" if report is None else report.outcome.value
    told = {"build_s": built - started, "load_s": loaded - built, "outcome": outcome}
    return told | {"digest": digest(model)}


def digest(model: Any) -> str:
    """Return a digest of a model's weights, and of an output."""
    import numpy as np

    found = hashlib.sha256()
    for weight in model.get_weights():
        found.update(weight.tobytes())
    inputs = np.linspace(0, 255, 224 * 224 * 3, dtype="float32").reshape(1, 224, 224, 3)
    size = model.input_shape[1]
    found.update(np.asarray(model(np.resize(inputs, (1, size, size, 3)))).tobytes())
    return found.hexdigest()


def rows(networks: list[str], rounds: int, folder: Path) -> Iterator[tuple[str, ...]]:
    """Measure each file of each network, and yield its row."""
    subjects = [
        Subject(network=network, form=form, folder=folder) for network in networks for form in FORMS
    ]
    for subject in subjects:
        if not subject.path.exists():
            _apart("write", subject, folder / "no-cache")
    let_settle(subject.path for subject in subjects)
    for subject in subjects:
        yield _row(subject, rounds)


def _row(subject: Subject, rounds: int) -> tuple[str, ...]:
    cache = subject.folder / f"cache-{subject.network}-{subject.form}-{time.time_ns()}"
    first = _apart("fastload", subject, cache)
    told: dict[str, list[dict[str, Any]]] = {loader: [] for loader in LOADERS}
    for _ in range(rounds):
        for loader, found in told.items():
            found.append(_apart(loader, subject, cache))
    _require_same([first, *told["stock"], *told["fastload"]])
    stock, ours = (median(one["load_s"] for one in told[loader]) for loader in LOADERS)
    building = median(one["build_s"] for one in told["stock"])
    megabytes = subject.path.stat().st_size / 1e6
    seconds = (f"{stock:.3f}", f"{ours:.3f}", f"{stock / ours:.1f}", f"{first['load_s']:.2f}")
    name = f"`{FORMS[subject.form]}`"
    return (subject.network, name, f"{megabytes:.0f}", str(rounds), *seconds, f"{building:.2f}")


def _require_same(told: list[dict[str, Any]]) -> None:
    if len({one["digest"] for one in told}) != 1:
        raise BenchmarkError("weights or outputs differ")
    outcomes = [one["outcome"] for one in told]
    if outcomes[0] != "miss" or {"miss", "bypass"} & set(outcomes[1:]):
        raise BenchmarkError(f"the loads were {outcomes}")


def _apart(loader: str, subject: Subject, cache: Path) -> dict[str, Any]:
    arguments = ["--one", loader, subject.network, subject.form, str(subject.folder)]
    return told_by("benchmarks.weights", arguments, cache)


def main() -> None:
    """Measure each network, print a table, and write it into the page if asked."""

    def one(loader: str, network: str, form: str, folder: str) -> dict[str, Any]:
        subject = Subject(network=network, form=form, folder=Path(folder))
        if loader != "write":
            return measure_here(subject, loader)
        write(subject)
        return {}

    run(__doc__, one, rows, MARKERS, HEADINGS)


def run(
    about: str | None,
    one: Callable[..., dict[str, Any]],
    rows: Callable[[list[str], int, Path], Iterable[Sequence[str]]],
    markers: Markers,
    headings: Sequence[str],
) -> None:
    """Do what the command line of a benchmark of networks asks for.

    Args:
        about: what the benchmark is.
        one: does one thing in this process, and returns what is told of it.
        rows: measures networks, a number of rounds each, with files in a folder.
        markers: where the table is on its page.
        headings: of the table.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page", type=Path, help="the page that shows the figures")
    parser.add_argument("--one", nargs="+", help="what is done in this process, and of what")
    asked = parser.parse_args()
    if asked.one:
        sys.stdout.write(json.dumps(one(*asked.one)) + "\n")
        return
    check_byte_code()
    folder = WORK / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    found = list(rows(list(asked.networks), asked.rounds, folder))
    markers.tell(machine.describe(WORK), table(headings, found), asked.page)


if __name__ == "__main__":
    main()
