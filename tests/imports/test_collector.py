"""Where garbage collections find what came without them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fastload
from tests.small_models import SavedModel

RunPython = Callable[..., str]
IMPORTS = """
import gc
from fastload.imports.collector import paused_collector
kept = []
with paused_collector(makes_old=True):
    kept.extend([each] for each in range(50_000))
"""
LOAD = """
with paused_collector(settles=True):
    late = ['late']
"""
IS_OLD = "print(any(each is late for each in gc.get_objects(generation=2)))\n"


def test_what_a_first_load_made_is_old(run_python: RunPython) -> None:
    program = IMPORTS + LOAD + IS_OLD
    assert run_python(program) == "True"


def test_what_a_second_load_made_is_not(run_python: RunPython) -> None:
    """Collections must free the models before."""
    program = IMPORTS + LOAD + LOAD + IS_OLD
    assert run_python(program) == "False"


@pytest.mark.parametrize(
    ("before", "told"),
    [("gc.disable()", "False 0"), ("gc.collect(); gc.freeze()", "True many")],
)
def test_a_program_that_has_a_say_is_left_alone(
    before: str, told: str, run_python: RunPython
) -> None:
    program = f"{IMPORTS}{before}\n{LOAD}count = gc.get_freeze_count()\n"
    program += "print(gc.isenabled(), 'many' if count > 1000 else count // 1000)"
    assert run_python(program) == told


def test_a_first_predict_meets_no_full_collection(
    saved_model: SavedModel, cache_root: Path, run_python: RunPython
) -> None:
    """It is due after ten younger ones, and ten thousands of objects after the load."""
    program = (
        "import gc, sys, fastload\n"
        "model = fastload.load_model(sys.argv[1])\n"
        "print(*gc.get_count()[1:], gc.isenabled())"
    )
    fastload.load_model(saved_model.path)
    assert run_python(program, saved_model.path) == "0 0 True"


FULL_COLLECTIONS = """
import gc, sys
import tensorflow as tf
tf.constant(1.0)
full = []
gc.callbacks.append(lambda phase, told: full.append(phase) if told["generation"] == 2 else None)
# One is due: what was made since the last one is more than a quarter of the rest.
while gc.get_count()[2] <= gc.get_threshold()[2]:
    gc.collect(1)
import fastload
fastload.load_model(sys.argv[1])
print(fastload.last_load().outcome.value, len(full))
"""


def test_a_first_load_meets_no_full_collection(
    saved_model: SavedModel, cache_root: Path, run_python: RunPython
) -> None:
    """Which is due after the import of TensorFlow, and takes longer than a load."""
    fastload.load_model(saved_model.path)

    assert run_python(FULL_COLLECTIONS, saved_model.path) == "hit 0"
