"""`residency`: what the weights of a lazy model take in memory, as a user sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload import progress
from fastload.twin.reader import Twin
from tests.needs import NEEDS_LENDING
from tests.small_models import KERAS3_ARCHIVE, SAVED_MODEL, Form, SavedModel, save

pytest.importorskip("tensorflow")

pytestmark = NEEDS_LENDING

WIDTH, DEPTH = 256, 8
KERNEL_BYTES = WIDTH * WIDTH * 4
SMALL_BYTES = DEPTH * WIDTH * 4
INPUTS = np.linspace(-1, 1, 3 * WIDTH, dtype="float32").reshape(3, WIDTH)
#: Room for three of eight kernels.
BUDGET = SMALL_BYTES + 3 * KERNEL_BYTES


@pytest.fixture(scope="module", params=[SAVED_MODEL, KERAS3_ARCHIVE], ids=lambda form: form.id)
def deep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SavedModel:
    """A model of eight layers, not to be edited."""
    form: Form = request.param
    keras = form.stock
    names = [f"block{number}" for number in range(DEPTH)]
    layers = [keras.layers.Dense(WIDTH, activation="tanh", name=name) for name in names]
    path = tmp_path_factory.mktemp("deep") / f"model{form.suffix}"
    save(keras.Sequential([keras.Input((WIDTH,)), *layers]), path)
    return SavedModel(form=form, path=path)


@pytest.fixture
def shared_budget() -> Iterator[None]:
    """A budget for all models of the test."""
    fastload.set_memory_budget(BUDGET)
    yield
    fastload.set_memory_budget(None)


def load(model: SavedModel, **arguments: Any) -> Any:
    return fastload.load_model(model.path, keras=model.form.package, **arguments)


def test_a_lazy_model_tells_what_its_weights_take(deep: SavedModel, cache_root: Path) -> None:
    """After two calls that both need all of them."""
    model = load(deep, memory_budget=BUDGET)
    before = fastload.residency(model)
    for _ in range(2):
        model(INPUTS)
    after = fastload.residency(model)

    assert before.is_lazy
    assert before.loans == 0
    assert before.resident_bytes == before.kept_bytes == SMALL_BYTES
    assert after.total_bytes == SMALL_BYTES + DEPTH * KERNEL_BYTES
    assert SMALL_BYTES < after.resident_bytes <= after.high_water_bytes <= after.budget_bytes
    assert after.loans >= 2 * DEPTH
    assert after.bytes_read == after.reads * KERNEL_BYTES
    assert len(after.layers) == DEPTH


def test_an_estimate_is_near_what_calls_read(deep: SavedModel, cache_root: Path) -> None:
    """Within two weights, because a thread reads ahead; see `lazy_weights.accounts`."""
    from fastload.lazy_weights.accounts import expected_bytes_read
    from fastload.lazy_weights.lending_plan import plan_of

    model = load(deep, memory_budget=BUDGET)
    plan = plan_of(Twin.open(Path(fastload.last_load().twin)).refs.values())
    model(INPUTS)
    before = fastload.residency(model).bytes_read
    calls = 8
    for _ in range(calls):
        model(INPUTS)
    read = (fastload.residency(model).bytes_read - before) / calls

    assert abs(read - expected_bytes_read(plan, BUDGET)) <= 2 * KERNEL_BYTES


def test_assigned_weights_are_owned(deep: SavedModel, cache_root: Path) -> None:
    """Their layer says so."""
    model = load(deep, memory_budget=BUDGET)
    kernel = model.layers[-1].kernel
    kernel.assign(np.ones((WIDTH, WIDTH), np.float32))
    told = fastload.residency(model)
    owned = [layer for layer in told.layers if layer.owned_bytes > KERNEL_BYTES]

    assert told.kept_bytes == SMALL_BYTES + KERNEL_BYTES
    assert [layer.resident_bytes for layer in owned] == [KERNEL_BYTES + WIDTH * 4]


def test_a_model_that_fits_is_whole(deep: SavedModel, cache_root: Path) -> None:
    """It is no lazy model, and can be asked all the same."""
    told = fastload.residency(load(deep, memory_budget="1GiB"))

    assert not told.is_lazy
    assert (told.budget_bytes, told.reads) == (2**30, 0)
    assert told.resident_bytes == told.total_bytes == SMALL_BYTES + DEPTH * KERNEL_BYTES


def test_models_of_one_budget_tell_that_budget(
    deep: SavedModel, cache_root: Path, shared_budget: None
) -> None:
    """Each has its own weights in it."""
    models = [load(deep, weights="lazy") for _ in range(2)]
    for model in models:
        model(INPUTS)
    told = [fastload.residency(model) for model in models]

    assert [each.budget_bytes for each in told] == [BUDGET, BUDGET]
    assert sum(each.resident_bytes for each in told) <= BUDGET
    assert told[0].high_water_bytes == told[1].high_water_bytes <= BUDGET


@pytest.mark.parametrize("kind", ["mapped model", "list"])
def test_anything_else_has_none(deep: SavedModel, cache_root: Path, kind: str) -> None:
    """The message says how to get it."""
    thing = [] if kind == "list" else load(deep, weights="mapped")
    message = (
        f"this {type(thing).__name__} was not loaded with lazy weights. Load it with "
        "fastload.load_model(path, weights='lazy'), or give a memory_budget="
    )

    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fastload.residency(thing)


@pytest.mark.parametrize("value", ["0", "1"])
def test_the_first_round_is_shown_on_request(
    deep: SavedModel,
    cache_root: Path,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Once, and on stderr."""
    monkeypatch.setenv("FASTLOAD_PROGRESS", value)
    monkeypatch.setattr(progress, "_PATIENCE_S", 0.0)
    model = load(deep, memory_budget=BUDGET)
    for _ in range(2):
        model(INPUTS)
    lines = capsys.readouterr().err.splitlines()

    assert sum("fastload: reading weights" in line for line in lines) == 2 * int(value)
