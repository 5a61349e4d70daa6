"""A measurement in a process of its own that prints one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastload.bench import processes


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
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    made = processes.environment(cache, kept=()) | quiet | dict(variables or {})
    told: dict[str, Any] = json.loads(
        processes.run_module(module, arguments, made).output.splitlines()[-1]
    )
    return told
