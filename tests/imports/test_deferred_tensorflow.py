"""A deferred TensorFlow, once touched, differs from one that was imported in time only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastload.imports import light_import, linking
from tests.conftest import SRC, SavedOnce
from tests.deferral import needs_deferral
from tests.imports.first_touches import QUICK, WITH_A_RESULT, WITH_THE_PACKAGE
from tests.imports.light_and_stock import (
    DIFFER_IN_ANY_CASE,
    OF_MATPLOTLIB,
    Snapshot,
    lost,
    missing,
    snapshot,
)
from tests.small_models import SAVED_MODEL

tf = pytest.importorskip("tensorflow")
VERSION = ".".join(tf.__version__.split(".")[:2])
FIRST_TOUCH = Path(__file__).with_name("first_touch.py")
#: A start makes the context, which asks for the devices. Stock makes it later.
WITH_A_CONTEXT = (
    "from tensorflow.python.eager import context; context.context().function_call_options"
)

pytestmark = [needs_deferral, pytest.mark.slow]


@pytest.fixture(scope="module")
def stock() -> Snapshot:
    if VERSION not in light_import.DEFERRED:
        pytest.skip("the registries of this TensorFlow have other names")
    return snapshot("stock", WITH_A_CONTEXT)


@pytest.fixture(scope="module")
def deferred() -> Snapshot:
    return snapshot("deferred", WITH_A_CONTEXT)


def test_nothing_is_registered_by_a_stock_import_alone(stock: Snapshot, deferred: Snapshot) -> None:
    assert dict(lost(stock, deferred)) == {}


def test_every_plain_value_is_the_same(stock: Snapshot, deferred: Snapshot) -> None:
    """Flags, versions and counters of modules, classes and what they hold."""
    found = deferred["values"]
    differences = {
        path: (value, found.get(path))
        for path, value in stock["values"].items()
        if found.get(path) != value
        and path.split(":")[0] not in missing(stock, deferred)
        and not path.startswith((*DIFFER_IN_ANY_CASE, *OF_MATPLOTLIB, "logging:_startTime"))
        # What several modules hold is listed with the one that was first.
        and (path in found or "." not in path.split(":")[1])
    }
    assert len(stock["values"]) > 20_000
    assert differences == {}


def test_the_process_is_left_the_same(stock: Snapshot, deferred: Snapshot) -> None:
    assert deferred["process"] == stock["process"]
    assert deferred["operations"] == stock["operations"]


def test_the_public_names_are_the_same(stock: Snapshot, deferred: Snapshot) -> None:
    assert deferred["all"] == stock["all"]
    assert deferred["tensorflow"] == stock["tensorflow"]


def test_the_same_modules_are_there(stock: Snapshot, deferred: Snapshot) -> None:
    """But for those that a lighter import leaves for later, and what twins are read with."""
    light = set(light_import.DEFERRED[VERSION])
    others = [name for name in missing(stock, deferred) if not name.startswith(tuple(light))]
    waiting = [name for name in others if name.startswith(("tensorflow.python", "keras"))]
    assert waiting == []
    ours = {name for name in deferred["modules"] if name.startswith("fastload")}
    assert set(deferred["modules"]) - ours - {"mmap", *linking._BEFORE} <= set(stock["modules"])


def outputs(mode: str, model: Path, cache: Path, programs: list[str]) -> dict[str, str]:
    """Return what each program prints after a prediction."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FASTLOAD")}
    environment |= {"PYTHONPATH": str(SRC), "FASTLOAD_CACHE_DIR": str(cache), "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, FIRST_TOUCH, mode, model, json.dumps(programs)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(zip(programs, json.loads(done.stdout), strict=True))


def compare(saved_once: SavedOnce, folder: Path, programs: list[str]) -> None:
    model = saved_once(SAVED_MODEL)
    stock = outputs("stock", model, folder, programs)
    deferred = outputs("deferred", model, folder, programs)
    assert deferred == stock
    assert [text for text, told in stock.items() if not told] == []


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
def test_programs_print_the_same(saved_once: SavedOnce, tmp_path: Path) -> None:
    compare(saved_once, tmp_path, QUICK)


@pytest.mark.full
@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
@pytest.mark.parametrize("programs", [WITH_A_RESULT, WITH_THE_PACKAGE], ids=["result", "package"])
def test_each_first_touch_prints_the_same(
    programs: list[str], saved_once: SavedOnce, tmp_path: Path
) -> None:
    compare(saved_once, tmp_path, programs)
