"""What worker processes of an engine tell of themselves; imported there, by the engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastload.fleet.ray import PredictBatches


def memory_of_twins() -> tuple[int, int]:
    """Return how much of the twins this process has in memory, and how much of that is its own.

    Pages of a mapped file are shared by all who map it; one that a process wrote to is its own copy
    (`Rss` and `Private_Dirty` in proc(5)), in bytes.
    """
    cache = os.environ["FASTLOAD_CACHE_DIR"]
    sums, is_twin = {"Rss:": 0, "Private_Dirty:": 0}, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *others = line.split()
        if not first.endswith(":"):
            is_twin = others[-1].startswith(cache) and others[-1].endswith(".h5")
        elif is_twin and first in sums:
            sums[first] += int(others[0]) * 2**10
    return sums["Rss:"], sums["Private_Dirty:"]


def with_process(found: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Return *found* with columns for the process, its memory of twins and its own part of it."""
    mapped, own = memory_of_twins()
    of_all = {"pid": os.getpid(), "mapped": mapped, "own": own}
    return {**found, **{name: np.full(rows, value) for name, value in of_all.items()}}


class WatchedBatches(PredictBatches):
    """Predicts, and tells which process did."""

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        return with_process(super().__call__(batch), len(batch["id"]))
