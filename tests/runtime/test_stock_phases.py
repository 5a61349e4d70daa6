"""A stock load taken apart: what each function takes, once, and everything is put back."""

from __future__ import annotations

import json
import threading
import time
import zipfile
from types import SimpleNamespace
from typing import Any

import pytest

from fastload.runtime.core import stock_phases
from fastload.runtime.core.keras import keras_of
from fastload.runtime.core.stock_phases import (
    COMPILE,
    INITIALISATION,
    PARSE,
    PHASES,
    PYTHON,
    RESTORE,
    taken_apart,
)
from tests.small_models import SavedModel, assert_same_model

#: A step of the clock of these tests, far longer than what a wrapper takes.
STEP_S = 0.02


def wait(steps: int) -> None:
    time.sleep(steps * STEP_S)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Functions of which two call each other, in place of all of TensorFlow's and Keras's."""

    def restore(depth: int = 0) -> None:
        wait(2)
        library.make()
        if depth:
            library.restore(depth - 1)

    def make() -> None:
        wait(1)

    library = SimpleNamespace(restore=restore, make=make)
    functions = [(library, "restore", RESTORE), (library, "make", INITIALISATION)]
    monkeypatch.setattr(stock_phases, "_functions", lambda _: functions)
    return library


def steps_of(phases: dict[str, float]) -> dict[str, int]:
    return {
        phase: round(took_s / STEP_S) for phase, took_s in phases.items() if took_s > STEP_S / 2
    }


def test_a_call_within_a_call_counts_for_the_inner_one_alone(library: SimpleNamespace) -> None:
    """Also where a function calls itself; what is in none is Python's."""

    def load() -> str:
        wait(3)
        library.restore(1)
        return "model"

    model, took_s, phases = taken_apart(load, None)
    steps = steps_of(phases)

    assert model == "model"
    assert list(phases) == list(PHASES)
    assert sum(phases.values()) == pytest.approx(took_s)
    assert (steps[PYTHON], steps[RESTORE], steps[INITIALISATION]) == pytest.approx(
        (3, 4, 2), rel=0.5
    )


def test_other_threads_count_for_nothing(library: SimpleNamespace) -> None:
    """The load waits for one here, in Python."""

    def load() -> None:
        thread = threading.Thread(target=library.restore)
        thread.start()
        thread.join()

    phases = taken_apart(load, None)[2]

    assert phases[RESTORE] == phases[INITIALISATION] == 0
    assert phases[PYTHON] >= 3 * STEP_S


def test_an_error_of_the_load_passes_and_all_is_put_back(library: SimpleNamespace) -> None:
    before = dict(vars(library))

    def load() -> None:
        library.make()
        raise ValueError("stock's")

    with pytest.raises(ValueError, match="stock's"):
        taken_apart(load, None)
    assert vars(library) == before


def test_a_load_of_each_kind_is_taken_apart(model: SavedModel) -> None:
    """The model is stock's; its functions are as they were; and reading took time, too."""
    pytest.importorskip("tensorflow")
    keras = keras_of(_choice(model))
    before = [vars(holder)[name] for holder, name, _ in stock_phases._functions(keras)]
    loaded, took_s, phases = taken_apart(lambda: keras.load_model(str(model.path)), keras)
    after = [vars(holder)[name] for holder, name, _ in stock_phases._functions(keras)]

    assert_same_model(model.load_stock(), loaded)
    assert [now is then for now, then in zip(after, before, strict=True)] == [True] * len(before)
    assert sum(phases.values()) == pytest.approx(took_s)
    for phase in (PARSE, INITIALISATION, RESTORE, COMPILE, PYTHON):
        assert phases[phase] > 0, phase
    assert (json.loads.__module__, zipfile.ZipFile.__init__.__module__) == ("json", "zipfile")


def _choice(model: SavedModel) -> Any:
    """Return what `keras=` takes for it: where Keras 2 is TensorFlow's own, that is `auto`."""
    package = model.form.package
    return "auto" if (model.form.generation, package) == (2, "keras") else package
