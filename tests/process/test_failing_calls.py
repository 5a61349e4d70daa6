"""Calls of the C library that touch the cache fail in turn, HDF5's too; the load is stock's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SRC, SavedOnce
from tests.process.test_forks import aged
from tests.small_models import KERAS2_HDF5, KERAS3_ARCHIVE, SAVED_MODEL, Form
from tests.tried import note_told

pytest.importorskip("tensorflow")
_FOLDER = Path(__file__).parent
#: Of the calls of a load, each so-many-th fails.
EVERY = int(os.environ.get("FASTLOAD_FAIL_EVERY", "10"))
LOADS = [
    *(("model", form, "cold") for form in (KERAS3_ARCHIVE, SAVED_MODEL, KERAS2_HDF5)),
    *(("model", form, "warm") for form in (KERAS3_ARCHIVE, SAVED_MODEL)),
    *((kind, SAVED_MODEL, "warm") for kind in ("objects", "predictor")),
]


@pytest.fixture(scope="module")
def failing_calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is to be preloaded."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("nothing can be preloaded here")
    library = tmp_path_factory.mktemp("calls") / "failing_calls.so"
    options = ["-shared", "-fPIC", "-o", str(library), str(_FOLDER / "failing_calls.c"), "-ldl"]
    subprocess.run([compiler, *options], check=True)
    return library


@pytest.mark.slow
@pytest.mark.parametrize("load", LOADS, ids=lambda load: f"{load[0]}-{load[1].id}-{load[2]}")
def test_a_load_in_which_a_call_fails(
    saved_once: SavedOnce, tmp_path: Path, failing_calls: Path, load: tuple[str, Form, str]
) -> None:
    """So is the next load, with what the first one left in the cache."""
    kind, form, state = load
    arguments = [kind, form.package, state, aged(saved_once(form)), EVERY]
    done = subprocess.run(
        [sys.executable, str(_FOLDER / "failing_loads.py"), *map(str, arguments)],
        env=os.environ
        | {
            "PYTHONPATH": f"{SRC}{os.pathsep}{SRC.parent}",
            "FASTLOAD_CACHE_DIR": str(tmp_path / "cache"),
            "FAILING_CALLS": str(failing_calls),
            "LD_PRELOAD": str(failing_calls),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    note_told("failing call", told, every=EVERY)

    assert len(told) > 2
    assert [each for each in told if each["wrong"]] == []
