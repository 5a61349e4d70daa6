"""An interrupted load leaves the process as it was: the next loads are right, also stock's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SRC, RunPython, SavedOnce
from tests.process.test_forks import aged
from tests.small_models import KERAS2_HDF5, KERAS3_ARCHIVE, SAVED_MODEL, Form
from tests.tried import note_told

pytest.importorskip("tensorflow")
posix_only = pytest.mark.skipif(os.name != "posix", reason="the alarms are those of POSIX")
_PROGRAM = Path(__file__).with_name("interrupted_loads.py")
#: Interrupts at every so many steps, or at so many random moments.
EVERY = int(os.environ.get("FASTLOAD_INTERRUPT_EVERY", "12"))
MOMENTS = int(os.environ.get("FASTLOAD_INTERRUPT_MOMENTS", "40"))
FORMS = (KERAS3_ARCHIVE, SAVED_MODEL, KERAS2_HDF5)
LOADS = [
    *(("model", form, state) for form in FORMS for state in ("warm", "cold", "random")),
    *(
        (kind, SAVED_MODEL, each)
        for kind in ("objects", "predictor")
        for each in ("warm", "random")
    ),
]


@posix_only
@pytest.mark.parametrize(
    ("load", "every"),
    [
        pytest.param(
            ("model", SAVED_MODEL, "warm"), 5 * EVERY, id="few steps", marks=pytest.mark.slow
        ),
        *(
            pytest.param(
                each,
                MOMENTS if each[2] == "random" else EVERY,
                marks=pytest.mark.full,
                id=f"{each[0]}-{each[1].id}-{each[2]}",
            )
            for each in LOADS
        ),
    ],
)
def test_loads_after_an_interrupt(
    saved_once: SavedOnce, tmp_path: Path, load: tuple[str, Form, str], every: int
) -> None:
    """Patches, collector, context variables, generators and TensorFlow's state are as before."""
    kind, form, state = load
    paths = [aged(saved_once(form)), aged(saved_once(form, "sequential"))]
    folders = f"{SRC}{os.pathsep}{SRC.parent}"
    command = [sys.executable, str(_PROGRAM), kind, form.package, state]
    done = subprocess.run(
        [*command, *map(str, paths), str(every), "1"],
        env=os.environ | {"PYTHONPATH": folders, "FASTLOAD_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    note_told("alarm" if state == "random" else "interrupt", told, every=every)

    assert len(told) > 4
    assert [each for each in told if each["wrong"] and not each["stock"]] == []


_FIRST_USE = """
import sys
import tensorflow as tf
import fastload

path, who = sys.argv[1:]
load = tf.saved_model.load if who == "stock" else fastload.load_saved_model

def interrupt(frame, event, _):
    names = [each.f_code.co_name for each in (frame, frame.f_back) if each]
    if event == "call" and names == ["from_string", "_initialize_logical_devices"]:
        raise KeyboardInterrupt

sys.setprofile(interrupt)
try:
    load(path)
except KeyboardInterrupt:
    print("interrupted")
sys.setprofile(None)
try:
    tf.saved_model.load(path)
except AssertionError:
    print("broken")
"""


@pytest.mark.slow
@pytest.mark.parametrize("who", ["stock", "fastload"])
def test_an_interrupt_while_tensorflow_initialises_breaks_it_in_stock_too(
    run_python: RunPython, saved_once: SavedOnce, cache_root: Path, who: str
) -> None:
    """It says at the end that it has, and asserts at the next try that it never began."""
    told = run_python(_FIRST_USE, saved_once(SAVED_MODEL), who)

    assert told.split() == ["interrupted", "broken"]
