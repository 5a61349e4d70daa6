"""A pytest plugin for the upstream runs: it records outcomes, and makes runs repeatable.

The tests draw random weights, and `.keras` archives hold the time. With the same seed before each
test, and the same time in each archive, a second run writes the same files: its loads find the
twins of the first.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastload

RECORD = "UPSTREAM_RECORD"
_SEED = 20
_THEN = dt.datetime(2024, 1, 2, 3, 4, 6, tzinfo=dt.timezone.utc)
_MESSAGE_CHARACTERS = 2000


def pytest_configure(config: pytest.Config) -> None:
    """Declare Keras's own marks, and stop the clock of archives."""
    for mark in ("requires_trainable_backend", "multi_device"):
        config.addinivalue_line("markers", f"{mark}: of Keras")
    # What a test writes is as if it had been there before, or no file of weights would get a twin.
    fastload.STARTED_NS = sys.maxsize
    zipfile.time = SimpleNamespace(time=time.time, localtime=lambda *_: _THEN.timetuple())


def pytest_runtest_setup() -> None:
    """Start every test from the same random numbers."""
    random.seed(_SEED)
    np.random.seed(_SEED)  # noqa: NPY002 - it is the generator that the tests use
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(_SEED)
    for name in ("keras.src.saving.saving_lib", "tf_keras.src.saving.saving_lib"):
        if name in sys.modules:
            sys.modules[name].datetime = SimpleNamespace(  # type: ignore[attr-defined]
                datetime=SimpleNamespace(now=lambda *_: _THEN)
            )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Record what counts: how the test itself ended, and set-ups that did not pass."""
    if report.when == "call" or not report.passed:
        _record(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Record files that cannot be imported, as if they were a test."""
    if not report.passed:
        _record(report)


def _record(report: Any) -> None:
    line = {
        "test": report.nodeid,
        "outcome": report.outcome,
        "observed": dict(getattr(report, "user_properties", ())),
        "message": _message(report),
    }
    with Path(os.environ[RECORD]).open("a") as file:
        file.write(json.dumps(line) + "\n")


def _message(report: Any) -> str:
    if not report.failed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr)[-_MESSAGE_CHARACTERS:]
