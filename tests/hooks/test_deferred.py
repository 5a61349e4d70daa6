"""Programs that only predicted, with hooks: what they load later is served as ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fastload
from fastload.loading.behind import wait_for_all
from tests.deferral import needs_deferral
from tests.hooks.conftest import RunOpted
from tests.signature_modules import save_signed

PROGRAM = """
import sys
import numpy as np
import fastload
{before}
predict = fastload.load_predictor(sys.argv[1], strict=True)
y = next(iter(predict(np.ones((3, 2), "float32")).values()))
{after}
{importing}
model = load(sys.argv[2])
report = fastload.last_load()
print(report.path == sys.argv[2], report.outcome.value, model.name, (y + 1).shape)
"""
KERAS = "import keras; load = keras.models.load_model"
IMPORTING = (
    pytest.param(KERAS, marks=pytest.mark.slow),
    "import tensorflow as tf; load = tf.keras.models.load_model",
    pytest.param("from keras.models import load_model as load", marks=pytest.mark.full),
    pytest.param("from tensorflow.keras.models import load_model as load", marks=pytest.mark.full),
)


@pytest.fixture
def predictable(tmp_path: Path, cache_root: Path) -> str:
    """A SavedModel that is in the cache."""
    path = save_signed("dense", tmp_path / "model")
    fastload.load_predictor(path, strict=True)
    wait_for_all()  # a process that finds no twin yet imports what writes one
    return path


@pytest.mark.parametrize("importing", IMPORTING)
def test_a_process_that_opted_in_is_served_whatever_it_imports(
    importing: str, predictable: str, archive: Path, run_opted: RunOpted
) -> None:
    program = PROGRAM.format(before="", after="", importing=importing)
    fastload.load_model(archive)
    assert run_opted(program, predictable, archive).split()[:2] == ["True", "hit"]


@pytest.mark.parametrize("place", ["before", pytest.param("after", marks=pytest.mark.slow)])
def test_so_is_one_that_installs_the_hooks_itself(
    place: str, predictable: str, archive: Path, run_python: Callable[..., str]
) -> None:
    places = {"before": "", "after": "", "importing": KERAS} | {place: "fastload.install()"}
    fastload.load_model(archive)
    found = run_python(PROGRAM.format(**places), predictable, archive)
    assert found.split()[:2] == ["True", "hit"]


@needs_deferral
def test_a_process_that_opted_in_waits_too(predictable: str, run_opted: RunOpted) -> None:
    program = PROGRAM.partition("{after}")[0].format(before="")
    program += "print(type(sys.modules['tensorflow']).__name__)"
    assert run_opted(program, predictable) == "LazyModule"


def test_uninstalling_leaves_stock(
    predictable: str, archive: Path, run_python: Callable[..., str]
) -> None:
    places = {"before": "fastload.install()", "after": "fastload.uninstall()"}
    program = PROGRAM.format(**places, importing=KERAS)
    assert run_python(program, predictable, archive).split()[0] == "False"
