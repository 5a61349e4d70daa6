"""`python -m benchmarks.revived --page docs/performance.md`: SavedModels without their classes.

Stock and fastload load in turn, each load in a process of its own, with TensorFlow and Keras
imported before, `compile=False`. Outputs and weights must be the same bytes. Further models:
`NAME=FOLDER` on the command line.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import machine
from benchmarks.fetch import fetch
from benchmarks.measure import WORK, BenchmarkError, check_byte_code
from benchmarks.own_process import told_by
from benchmarks.page import Markers, table

MARKERS: Final = Markers("revived", "benchmarks.revived")
HEADINGS: Final = ("model", "n", "layers", "of functions", "stock s", "hit s", "times", "miss s")
WAYS: Final = ("stock", "miss", "hit")


def keras2() -> Any:
    """Return the Keras 2 of this environment."""
    keras = importlib.import_module("keras")
    return keras if keras.__version__.startswith("2.") else importlib.import_module("tf_keras")


def make(folder: Path) -> None:
    """Save a ResNet50 with one layer of a program's in *folder*."""
    keras = keras2()

    class Scaled(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(name="scale", shape=(shape[-1],), initializer="ones")

        def call(self, inputs: Any) -> Any:
            return inputs * self.scale

    base = keras.applications.ResNet50(
        weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3)
    )
    outputs = keras.layers.Dense(10)(Scaled()(base.output))
    keras.Model(base.input, outputs).save(folder, save_format="tf")


def load(path: Path, way: str) -> dict[str, Any]:
    """Load *path* in this process; return the seconds, digests, and what was loaded."""
    import fastload

    tf, keras = importlib.import_module("tensorflow"), keras2()
    tf.constant(1.0)
    started = time.perf_counter()
    if way == "stock":
        model = keras.models.load_model(path, compile=False)
    else:
        model = fastload.load_model(path, compile=False, keras=keras.__name__, strict=True)
    seconds = time.perf_counter() - started
    report = fastload.last_load()
    if way != "stock" and (report is None or report.outcome.value != way):
        raise BenchmarkError(f"{path}: {report}, not a {way}")
    layers = [each for each in model.submodules if isinstance(each, keras.layers.Layer)]
    return {
        "s": seconds,
        "layers": len(layers),
        "revived": sum("call" in vars(layer) for layer in layers),
        "digest": digest([*model.get_weights(), *outputs_of(model)]),
    }


def outputs_of(model: Any) -> list[Any]:
    """Return what *model* predicts of one row of noise."""
    import numpy as np

    tf = importlib.import_module("tensorflow")
    noise = np.random.default_rng(1)
    rows = [noise.random([size or 1 for size in each.shape], "float32") for each in model.inputs]
    found: list[Any] = tf.nest.flatten(model.predict(rows if len(rows) > 1 else rows[0], verbose=0))
    return found


def digest(arrays: Sequence[Any]) -> str:
    """Return a digest of the bytes of *arrays*."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def row(name: str, path: Path, rounds: int, cache: Path) -> tuple[str, ...]:
    """Measure the model at *path* and return its row."""
    told: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for number in range(-1, rounds):
        for way, found in told.items():
            if way == "miss":
                shutil.rmtree(cache, ignore_errors=True)
            one = _in_own_process(path, way, cache)
            if number >= 0:  # the first hit records output specs
                found.append(one)
            if way == "miss":  # so that hits are hits of a settled twin
                _in_own_process(path, "hit", cache)
    everything = [one for found in told.values() for one in found]
    if len({one["digest"] for one in everything}) > 1:
        raise BenchmarkError(f"{name}: the loaders' models differ")
    stock, miss, hit = (median(one["s"] for one in told[way]) for way in WAYS)
    counts = (str(everything[0][what]) for what in ("layers", "revived"))
    figures = (f"{stock:.3f}", f"{hit:.3f}", f"{stock / hit:.1f}", f"{miss:.3f}")
    return (name, str(rounds), *counts, *figures)


def _in_own_process(path: Path, way: str, cache: Path) -> dict[str, Any]:
    return told_by("benchmarks.revived", ["--one", way, f"it={path}"], cache)


def models(folder: Path, more: Mapping[str, Path]) -> dict[str, Path]:
    """Return the models to measure, by name; those that are made are made in *folder*."""
    make(folder / "resnet50")
    found = {"ResNet50 with a layer of a program's": folder / "resnet50"}
    return {**found, "Basic Pitch": fetch("basic-pitch", WORK), **more}


def main() -> None:
    """Measure every model, print a table, and write it into the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="NAME=FOLDER")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--page", type=Path, help="the page that shows the figures")
    parser.add_argument("--one", choices=WAYS, help="measure one load in this process")
    asked = parser.parse_args()
    given = dict(each.partition("=")[::2] for each in asked.models)
    more = {name: Path(path) for name, path in given.items()}
    if asked.one:
        sys.stdout.write(json.dumps(load(more["it"], asked.one)) + "\n")
        return
    check_byte_code()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        measured = models(folder, more).items()
        rows = [row(name, path, asked.rounds, folder / "cache") for name, path in measured]
    MARKERS.tell(machine.describe(WORK), table(HEADINGS, rows), asked.page)


if __name__ == "__main__":
    main()
