"""Load one model again and again: `growth.py MODEL KERAS TIMES` says what grew, and in stock."""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

from forked_loads import in_fork

import fastload

RESOURCES = ("descriptors", "mappings", "resident KiB")


def resources() -> list[int]:
    """Return descriptors, mappings and KiB in memory of this process."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    mappings = len(Path("/proc/self/maps").read_text().splitlines())
    return [descriptors, mappings, int(resident.split()[1])]


def growth(path: str, package: str, times: int, *, is_stock: bool) -> list[int]:
    """Return by how much they grew, after a tenth of the loads."""

    def load(count: int) -> None:
        for _ in range(count):
            fastload.load_model(path, keras=package)
            __import__(package).backend.clear_session()

    if is_stock:
        os.environ["FASTLOAD_DISABLE"] = "1"
    load(times // 10)
    before = resources()
    load(times)
    return [after - each for after, each in zip(resources(), before, strict=True)]


def main(path: str, package: str, times: str) -> None:
    """Print both."""
    __import__(package)
    for is_stock in (False, True):
        found = in_fork(
            lambda is_stock=is_stock: growth(path, package, int(times), is_stock=is_stock),
            limit_s=3600,
        )
        told = dict(zip(RESOURCES, found, strict=True))
        sys.stdout.write(json.dumps({"stock" if is_stock else "fastload": told}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
