"""`python -m benchmarks.models`: have every model that a benchmark loads there, and settled.

Models that were written within the last minute are hashed at each load, which is not what the
figures are about.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.cases import CASES, FIRST_LOADS
from benchmarks.measure import WORK, write_missing
from benchmarks.networks import model_path
from fastload.source.fingerprint import WRITE_BACK_NS


def let_settle(paths: Iterable[Path]) -> None:
    """Wait until the stats of files, and of those in folders, stand for their content."""
    files = [file for path in paths for file in (path, *path.rglob("*"))]
    newest = max(file.stat().st_ctime for file in files)
    time.sleep(max(0.0, newest + WRITE_BACK_NS / 1e9 + 1.0 - time.time()))


def main() -> None:
    """Write or fetch what is missing, and wait."""
    cases = (*CASES, *FIRST_LOADS)
    for case in cases:
        write_missing(case, WORK)
        sys.stderr.write(f"{case.name} is there\n")
    let_settle({model_path(case, loader, WORK) for case in cases for loader in case.loaders})


if __name__ == "__main__":
    main()
