"""A measurement in a process of its own that prints one line of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import BenchmarkError


def told_by(
    module: str,
    arguments: Sequence[str],
    cache: Path | None,
    variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run `python -m MODULE ARGUMENTS` on the CPU and return what its last line tells.

    Args:
        module: the module.
        arguments: of the command line.
        cache: the cache folder; no other setting of fastload's is passed on. None for the one that
            *variables* lead to.
        variables: of its environment, besides.

    Raises:
        BenchmarkError: it failed.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTLOAD")}
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    # Where byte code is not kept, each process would compile fastload anew.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    ours = {} if cache is None else {"FASTLOAD_CACHE_DIR": str(cache)}
    environment = {**kept, **quiet, **ours, **(variables or {})}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told
