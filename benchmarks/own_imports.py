"""`python -m benchmarks.own_imports --page docs/benchmarks.md`: what the clock leaves out.

`benchmarks.runner` names the function that loads before its clock starts, and naming a function of
fastload's imports a part of fastload. Each figure is the median of fresh processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks import machine
from benchmarks.cases import Function
from benchmarks.measure import ROOT, check_byte_code
from benchmarks.page import Markers, table

MARKERS: Final = Markers("own-imports", "benchmarks.own_imports")
HEADINGS: Final = ("function", "n", "ms", "ms of the processor")
_PROGRAM: Final = """
import sys, time
import benchmarks.runner
import tensorflow, keras
keras.models.load_model, tensorflow.saved_model.load
wall, processor = time.perf_counter(), time.process_time()
import fastload
getattr(fastload, sys.argv[1])
print([1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)])
"""


def row(function: Function, rounds: int) -> tuple[str, ...]:
    """Return the row of a *function* of fastload's."""
    found = [_once(function) for _ in range(rounds)]
    medians = (statistics.median(each) for each in zip(*found, strict=True))
    return f"`{function.value}`", str(rounds), *(f"{median:.1f}" for median in medians)


def _once(function: Function) -> tuple[float, float]:
    command = [sys.executable, "-c", _PROGRAM, function.value]
    wall_ms, processor_ms = json.loads(subprocess.check_output(command, cwd=ROOT, text=True))
    return wall_ms, processor_ms


def main() -> None:
    """Measure, print a table, and write it into the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--page", type=Path, help="the page that shows the figures")
    asked = parser.parse_args()
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "FASTLOAD": ""}
    check_byte_code()
    rows = [row(function, asked.rounds) for function in Function]
    MARKERS.tell(machine.describe(ROOT), table(HEADINGS, rows), asked.page)


if __name__ == "__main__":
    main()
