"""A hook that records what each test costs; `.ci/timing.py` prints the slowest."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Record wall and CPU seconds of *item*, its fixtures and the processes it waited for."""
    if "SUITE_TIMES" not in os.environ:
        return (yield)
    wall_s, cpu_s = time.perf_counter(), _cpu_s()
    result = yield
    spent = {"wall_s": time.perf_counter() - wall_s, "cpu_s": _cpu_s() - cpu_s}
    section = os.environ.get("SUITE_SECTION", "")
    line = json.dumps({"section": section, "test": item.nodeid, **spent}) + "\n"
    # One short write at the end of a file is whole, also where several workers add to it.
    with Path(os.environ["SUITE_TIMES"], "tests.jsonl").open("a", encoding="utf-8") as file:
        file.write(line)
    return result


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
