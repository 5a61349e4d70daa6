"""The first `predict` after a load: `python -m benchmarks.first_predict [CASE...]`.

A case is a Keras and a model, as `tf_keras:path/to/model` or `keras:path/to/model.keras`; without
any, those of the page.

Each load is in a process of its own, stock and fastload in turn, from a cache that `fastload.warm`
filled. Predictions must be equal to the bit, or no number counts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks import machine
from benchmarks.measure import WORK
from benchmarks.page import Markers, table

if TYPE_CHECKING:
    from fastload.runtime.core.keras import KerasChoice

LOADERS: Final = ("stock", "fastload")
COLUMNS: Final = ("load_s", "first_s", "later_s")
MARKERS: Final = Markers("first-predict", "benchmarks.first_predict")
#: Made by `benchmarks.models`.
DEFAULT: Final = tuple(
    f"{package}:{WORK}/models/{model}"
    for package, model in (
        ("tf_keras", "resnet50-keras2/model"),
        ("tf_keras", "efficientnetb0-keras2/model"),
        ("tf_keras", "efficientnetb0-keras2/model.h5"),
        ("keras", "resnet50-keras3/model.keras"),
        ("keras", "efficientnetb0-keras3/model.keras"),
    )
)
HEADINGS: Final = (
    *("model", "n", "stock: first `predict` s", "fastload: first `predict` s", "times faster"),
    *("stock: later ones s", "fastload: later ones s"),
)


def main() -> None:
    """Measure each case, print a table, and write it into the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=DEFAULT)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page", type=Path, help="the page that shows the figures")
    parser.add_argument("--one", choices=LOADERS, help="measure one load in this process")
    asked = parser.parse_args()
    if asked.one:
        keras, _, model = asked.cases[0].partition(":")
        sys.stdout.write(json.dumps(measure(model, keras, asked.one)) + "\n")
        return
    with tempfile.TemporaryDirectory() as cache:
        os.environ["FASTLOAD_CACHE_DIR"] = cache
        written = table(HEADINGS, [compare(case, asked.rounds) for case in asked.cases])
    facts = ", ".join(f"{name} {what}" for name, what in machine.describe(WORK).items())
    written = f"Measured on: {facts}.\n\n{written}"
    sys.stdout.write(f"{written}\n")
    if asked.page:
        asked.page.write_text(MARKERS.replace(asked.page.read_text(), written))


def compare(case: str, rounds: int) -> list[str]:
    """Return a row of the table: medians in seconds."""
    keras, _, model = case.partition(":")
    warm = f"import fastload; fastload.warm({model!r}, keras={keras!r})"
    subprocess.run([sys.executable, "-c", warm], check=True)
    found: dict[str, list[dict[str, Any]]] = {loader: [] for loader in LOADERS}
    for _ in range(rounds):
        for loader in LOADERS:
            found[loader].append(_in_own_process(case, loader))
    if len({one["digest"] for each in found.values() for one in each}) != 1:
        raise SystemExit(f"{case}: predictions differ")
    first, later = (
        [median(one[column] for one in found[loader]) for loader in LOADERS]
        for column in COLUMNS[1:]
    )
    name = f"{Path(*Path(model).parts[-2:])}, {keras}"
    told = [f"{seconds:.3f}" for seconds in (*first, *later)]
    return [name, str(rounds), *told[:2], f"{first[0] / first[1]:.1f}", *told[2:]]


def measure(model: str, keras: KerasChoice, loader: str) -> dict[str, Any]:
    """Load *model* and predict one row, in this process."""
    import importlib

    import numpy as np

    module = importlib.import_module(keras)
    started = time.perf_counter()
    if loader == "stock":
        loaded = module.models.load_model(model)
    else:
        import fastload

        loaded = fastload.load_model(model, keras=keras)
    times = [time.perf_counter() - started]
    batch = np.random.default_rng(0).random((1, *loaded.input_shape[1:]), dtype="float32")
    for _ in range(4):
        started = time.perf_counter()
        result = loaded.predict(batch, verbose=0)
        times.append(time.perf_counter() - started)
    digest = hashlib.sha256(result.tobytes()).hexdigest()
    values = (times[0], times[1], median(times[2:]))
    return {**dict(zip(COLUMNS, values, strict=True)), "digest": digest}


def _in_own_process(case: str, loader: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.first_predict", case, "--one", loader]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


if __name__ == "__main__":
    main()
