"""The first `predict` after a load: `python -m benchmarks.first_predict MODEL... [--runs N]`.

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

if TYPE_CHECKING:
    from fastload.runtime.flavour import KerasChoice

LOADERS: Final = ("stock", "fastload")
COLUMNS: Final = ("load_s", "first_s", "later_s")


def main() -> None:
    """Measure each model and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--keras", choices=("keras", "tf_keras"), default="keras")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--one", choices=LOADERS, help="measure one load in this process")
    asked = parser.parse_args()
    if asked.one:
        sys.stdout.write(json.dumps(measure(asked.models[0], asked.keras, asked.one)) + "\n")
        return
    with tempfile.TemporaryDirectory() as cache:
        os.environ["FASTLOAD_CACHE_DIR"] = cache
        for model in asked.models:
            for line in compare(model, asked.keras, asked.runs):
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()


def compare(model: str, keras: str, runs: int) -> list[str]:
    """Return a line for each loader: medians in seconds."""
    warm = f"import fastload; fastload.warm({model!r}, keras={keras!r})"
    subprocess.run([sys.executable, "-c", warm], check=True)
    found: dict[str, list[dict[str, Any]]] = {loader: [] for loader in LOADERS}
    for _ in range(runs):
        for loader in LOADERS:
            found[loader].append(_in_own_process(model, keras, loader))
    digests = {one["digest"] for each in found.values() for one in each}
    if len(digests) != 1:
        raise SystemExit(f"{model}: predictions differ")
    return [_line(model, loader, found[loader]) for loader in LOADERS]


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


def _in_own_process(model: str, keras: str, loader: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.first_predict", model]
    command += ["--keras", keras, "--one", loader]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _line(model: str, loader: str, found: list[dict[str, Any]]) -> str:
    values = [f"{column} {median(one[column] for one in found):.3f}" for column in COLUMNS]
    return f"{Path(model).name:24} {loader:9} {'  '.join(values)}  (n={len(found)})"


if __name__ == "__main__":
    main()
