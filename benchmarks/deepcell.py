"""`python -m benchmarks.deepcell` times DeepCell's PanopticNet: stock loaders and fastload.

Each load has a process of its own and the kinds take turns; TensorFlow is imported before. The
import of DeepCell's layers is counted apart: all that make a model need it. A kind that predicts
other bytes stops the run. It needs `deepcell-cpu`, which runs on Python 3.10 and TensorFlow 2.8:
`nox -s deepcell` makes the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import machine
from benchmarks.measure import ROOT, WORK, BenchmarkError, check_byte_code
from benchmarks.page import Markers, table

MARKERS: Final = Markers("deepcell", "benchmarks.deepcell")
HEADINGS: Final = (
    *("kind", "n", "import of the layers s", "load s", "both s"),
    *("load: times faster", "both: times faster"),
)
_NETWORK: Final = ROOT / "tests" / "applications" / "panoptic_net.py"

_PROGRAM: Final = """
import hashlib, json, sys, time
import numpy as np
import tensorflow as tf
begun = time.perf_counter()
{needs}
imported = time.perf_counter()
{load}
loaded = time.perf_counter()
x = np.random.default_rng(7).random((1, 256, 256, 2), dtype="float32")
digest = hashlib.sha256(b"".join(y.tobytes() for y in model.predict(x))).hexdigest()
print(json.dumps([imported - begun, loaded - imported, {outcome}, digest]))
"""
_LAYERS: Final = "from deepcell.layers import Location2D"
_STOCK: Final = "model = tf.keras.models.load_model(sys.argv[1], {'Location2D': Location2D})"
_BARE: Final = "model = tf.keras.models.load_model(sys.argv[1])"
_OURS: Final = """
import fastload
fastload.register(Location2D)
model = fastload.load_model(sys.argv[1])
"""
_DECLARED: Final = """
import fastload
model = fastload.load_model(sys.argv[1])
"""
#: As in a program that nobody changes, under FASTLOAD=1.
_SERVED: Final = "fastload.install(); model = tf.keras.models.load_model(sys.argv[1])"
_PREDICTOR: Final = """
import fastload
model = fastload.load_predictor(sys.argv[1])
"""
#: What a package says of its layers: what makes `_DECLARED` find them, while it loads.
_ENTRY_POINTS: Final = "[fastload.custom_objects]\nLocation2D = deepcell.layers:Location2D\n"
_METADATA: Final = "Metadata-Version: 2.1\nName: tissue\nVersion: 1.0\n"
_OUTCOME: Final = "fastload.last_load().outcome.value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A way of loading the network.

    Attributes:
        name: what the table calls it.
        model: the file or folder.
        load: the statements that load it.
        needs: the statement that imports what they need.
        outcome: what fastload has to report; `stock` for the stock loader.
    """

    name: str
    model: str
    load: str = _STOCK
    needs: str = _LAYERS
    outcome: str = "stock"

    @property
    def program(self) -> str:
        """The program that loads, predicts, and prints what it found."""
        outcome = "'stock'" if self.outcome == "stock" else _OUTCOME
        return _PROGRAM.format(needs=self.needs, load=self.load, outcome=outcome)


KINDS: Final = (
    Kind(name="stock, SavedModel, no class", model="panoptic", load=_BARE, needs=""),
    Kind(name="stock, SavedModel", model="panoptic"),
    Kind(name="stock, HDF5", model="panoptic.h5"),
    Kind(name="fastload hit, SavedModel", model="panoptic", load=_OURS, outcome="hit"),
    Kind(name="fastload hit, HDF5", model="panoptic.h5", load=_OURS, outcome="hit"),
    Kind(
        name="fastload hit, SavedModel, entry point",
        model="panoptic",
        load=_DECLARED,
        needs="",
        outcome="hit",
    ),
    Kind(
        name="fastload hit, HDF5, entry point",
        model="panoptic.h5",
        load=_DECLARED,
        needs="",
        outcome="hit",
    ),
    Kind(
        name="fastload hit, SavedModel, no class",
        model="panoptic",
        load=f"import fastload\n{_SERVED}",
        needs="",
        outcome="hit",
    ),
    Kind(
        name="fastload predictor, SavedModel",
        model="panoptic",
        load=_PREDICTOR,
        needs="",
        outcome="hit",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one process told.

    Attributes:
        import_s: seconds that the import of the layers took.
        load_s: seconds that the load took.
        digest: of what the model predicted.
    """

    import_s: float
    load_s: float
    digest: str


def measure(rounds: int, work: Path) -> dict[Kind, list[Load]]:
    """Return *rounds* loads of each kind, in turns, after one of each that is not counted.

    Raises:
        BenchmarkError: a process failed, was not served, or predicted other bytes.
    """
    models = work / "deepcell"
    if not models.exists():
        models.mkdir(parents=True)
        _run([str(_NETWORK), str(models)], work)
    for kind in KINDS:
        _run(["-c", kind.program, str(models / kind.model)], work)
    loads: dict[Kind, list[Load]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind in KINDS:
            loads[kind].append(_load(kind, models, work))
    if len({load.digest for of_kind in loads.values() for load in of_kind}) != 1:
        raise BenchmarkError("PanopticNet predicts other bytes, depending on how it is loaded")
    return loads


def _load(kind: Kind, models: Path, work: Path) -> Load:
    told = _run(["-c", kind.program, str(models / kind.model)], work)
    import_s, load_s, outcome, digest = json.loads(told.splitlines()[-1])
    if outcome != kind.outcome:
        raise BenchmarkError(f"{kind.name} ended as a {outcome}")
    return Load(import_s=import_s, load_s=load_s, digest=digest)


def _run(arguments: Sequence[str], work: Path) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTLOAD")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    cache = {"FASTLOAD_CACHE_DIR": str(work / "caches" / "deepcell")}
    on_path = os.pathsep.join([str(ROOT / "src"), str(_site(work))])
    done = subprocess.run(
        [sys.executable, *arguments],
        env=kept | quiet | cache | {"PYTHONPATH": on_path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(done.stderr.strip()[-2000:])
    return done.stdout


def _site(work: Path) -> Path:
    """Return a folder for the path, with a distribution that declares DeepCell's layer."""
    info = work / "deepcell_site" / "tissue-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(_METADATA)
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    return info.parent


def rows(loads: dict[Kind, list[Load]]) -> list[tuple[str, ...]]:
    """Return the rows of the table; each fastload kind is compared with both stock ones."""
    medians = {kind: _median(of_kind) for kind, of_kind in loads.items()}
    stock = [medians[kind] for kind in KINDS if kind.outcome == "stock"]
    return [
        (
            kind.name,
            str(len(loads[kind])),
            *(f"{seconds:.2f}" for seconds in mine),
            *(_ratios(mine, stock, column) if kind.outcome != "stock" else "" for column in (1, 2)),
        )
        for kind, mine in medians.items()
    ]


def _median(loads: Sequence[Load]) -> tuple[float, float, float]:
    """Return median seconds of the import, the load and both together."""
    return (
        statistics.median(load.import_s for load in loads),
        statistics.median(load.load_s for load in loads),
        statistics.median(load.import_s + load.load_s for load in loads),
    )


def _ratios(
    mine: tuple[float, float, float], stock: Sequence[tuple[float, float, float]], column: int
) -> str:
    return ", ".join(f"{each[column] / mine[column]:.1f}" for each in stock)


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says, and print or write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deepcell", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="loads of each kind (5)")
    parser.add_argument("--work", type=Path, default=WORK, help="where the network is kept")
    parser.add_argument("--page", type=Path, help="a page to write the table into")
    asked = parser.parse_args(arguments)
    try:
        check_byte_code()
        written = table(HEADINGS, rows(measure(asked.rounds, asked.work)))
        taken_on = ", ".join(
            f"{name} {what}" for name, what in machine.describe(asked.work).items()
        )
        written = f"{written}\n\nTaken on: {taken_on}."
        if asked.page:
            MARKERS.write(asked.page, written)
    except (BenchmarkError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{written}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
