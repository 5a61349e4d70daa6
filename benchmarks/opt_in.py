"""`python -m benchmarks.opt_in` times programs that nobody changed, with and without `FASTLOAD=1`.

Each run has a process of its own and the kinds take turns; the cache is warm. A program whose
output differs between the kinds stops the run. The Python that runs this must read fastload's start
file, as it does where fastload is installed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.cases import CASES, Case
from benchmarks.measure import WORK, BenchmarkError, check_byte_code, prepare
from benchmarks.networks import model_path
from benchmarks.page import Markers, table
from fastload.cli.run import find_pth

MARKERS: Final = Markers("opt-in", "benchmarks.opt_in")

_PREDICT: Final = """
import hashlib, sys
import numpy as np
{imports}
x = np.random.default_rng(7).random({shape}, dtype="float32")
{predict}
print(hashlib.sha256(np.ascontiguousarray(y).tobytes()).hexdigest())
"""
_KERAS: Final = "y = keras.models.load_model(sys.argv[1]).predict(x, verbose=0)"
_OBJECT: Final = """
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
(name,) = served.structured_input_signature[1]
(y,) = served(**{name: tf.constant(x)}).values()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program that somebody could have written.

    Attributes:
        name: what the table calls it.
        imports: its imports.
        predict: what loads a model and predicts with it; nothing for a program without models.
        case: the model, by the name of its case.
    """

    name: str
    imports: str = ""
    predict: str = ""
    case: str = ""

    def text(self, case: Case | None) -> str:
        """Return the program."""
        if case is None:
            return self.imports
        return _PREDICT.format(imports=self.imports, shape=case.input_shape, predict=self.predict)


PROGRAMS: Final = (
    Program(name="nothing"),
    Program(name="`import tensorflow`", imports="import tensorflow"),
    Program(
        name="ResNet50 SavedModel, tf-keras",
        imports="import tf_keras as keras",
        predict=_KERAS,
        case="resnet50",
    ),
    Program(
        name="ResNet50 `.keras`, Keras 3",
        imports="import keras",
        predict=_KERAS,
        case="resnet50-keras3",
    ),
    Program(
        name="ResNet50, `tf.saved_model.load`",
        imports="import tensorflow as tf",
        predict=_OBJECT,
        case="resnet50",
    ),
)
HEADINGS: Final = ("program", "n", "stock s", "`FASTLOAD=1` s", "times faster", "difference s")


def compare(program: Program, rounds: int, work: Path) -> tuple[str, ...]:
    """Run *program* *rounds* times each way, in turns, and return a row of the table.

    Raises:
        BenchmarkError: it failed, or printed something else under fastload.
    """
    case = next((each for each in CASES if each.name == program.case), None)
    path = ""
    if case is not None:
        prepare(case, work)
        path = str(model_path(case, case.loaders[0], work))
    cache = work / "caches" / "opt-in"
    kinds: tuple[dict[str, str], ...] = ({}, {"FASTLOAD": "1"})
    command = [sys.executable, "-c", program.text(case), path]
    outputs = {_run(command, kind, cache)[1] for kind in kinds}  # not counted: the twin is written
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for kind, taken in zip(kinds, seconds, strict=True):
            wall_s, output = _run(command, kind, cache)
            taken.append(wall_s)
            outputs.add(output)
    if len(outputs) != 1:
        raise BenchmarkError(f"{program.name}: the output differs: {sorted(outputs)}")
    stock_s, served_s = map(statistics.median, seconds)
    return (
        program.name,
        str(rounds),
        f"{stock_s:.3f}",
        f"{served_s:.3f}",
        f"{stock_s / served_s:.2f}",
        f"{served_s - stock_s:+.4f}",
    )


def _check_start_file() -> None:
    if find_pth() is None:
        raise BenchmarkError("this Python does not read fastload's start file: install fastload")


def _run(command: Sequence[str], kind: dict[str, str], cache: Path) -> tuple[float, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTLOAD")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    start = time.perf_counter()
    done = subprocess.run(
        command,
        env=kept | quiet | {"FASTLOAD_CACHE_DIR": str(cache)} | kind,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise BenchmarkError(done.stderr.strip()[-2000:])
    return seconds, done.stdout


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says, and print or write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.opt_in", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind (5)")
    parser.add_argument("--work", type=Path, default=WORK, help="where models are kept")
    parser.add_argument("--page", type=Path, help="a page to write the table into")
    asked = parser.parse_args(arguments)
    try:
        _check_start_file()
        check_byte_code()
        rows = [compare(program, asked.rounds, asked.work) for program in PROGRAMS]
        if asked.page:
            MARKERS.write(asked.page, table(HEADINGS, rows))
    except (BenchmarkError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{table(HEADINGS, rows)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
