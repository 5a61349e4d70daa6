"""Predictors whose weights come and go compute what stock computes."""

from __future__ import annotations

import functools
import gc
import pickle
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.errors import MemoryBudgetError, UnsupportedRequestError
from fastload.lazy_weights import lending_plan as plan
from fastload.lazy_weights.lender import Lender
from fastload.lazy_weights.residency import _known
from tests.conftest import RunPython
from tests.contract.saved_objects import told
from tests.lazy_weights.weights import end_readers
from tests.needs import LOSES_LATER_CALLS, NEEDS_LENDING
from tests.signature_modules import SIGNED, save_signed
from tests.small_models import KERAS3_ARCHIVE, SAVED_MODEL, Form, SavedModel, save

tf = pytest.importorskip("tensorflow")

WIDTH, DEPTH = 192, 6
INPUTS = np.random.default_rng(1).normal(size=(8, WIDTH)).astype("f4")

pytestmark = [pytest.mark.usefixtures("tidy"), NEEDS_LENDING]


@pytest.fixture(scope="module", params=[SAVED_MODEL, KERAS3_ARCHIVE], ids=lambda form: form.id)
def deep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SavedModel:
    """A model of six layers, one of them shared if Keras allows it, not to be edited."""
    form: Form = request.param
    keras = form.stock
    value = inputs = keras.Input((WIDTH,), name="x")
    layers = [keras.layers.Dense(WIDTH, activation="tanh") for _ in range(DEPTH)]
    again = [] if form is KERAS3_ARCHIVE and LOSES_LATER_CALLS else [layers[1]]
    for layer in (*layers, *again):
        value = layer(value)
    path = tmp_path_factory.mktemp("deep") / f"model{form.suffix}"
    save(keras.Model(inputs, value), path)
    return SavedModel(form=form, path=path)


def load(model: SavedModel, **arguments: Any) -> Any:
    return fastload.load_predictor(model.path, keras=model.form.package, strict=True, **arguments)


def stock_of(model: SavedModel) -> Any:
    """Return the stock loader's model as a function, which is a graph as a predictor is."""
    loaded = model.load_stock(compile=False)
    return tf.function(lambda inputs: loaded(inputs, training=False))


def smallest_budget(path: Path | str, **arguments: Any) -> int:
    with pytest.raises(MemoryBudgetError) as refused:
        fastload.load_predictor(path, memory_budget=1, **arguments)
    return refused.value.needed


def tight(model: SavedModel, **arguments: Any) -> Any:
    """Load a predictor in the smallest budget."""
    budget = smallest_budget(model.path, keras=model.form.package)
    return load(model, memory_budget=budget, **arguments)


def check_budget(predictor: Any) -> None:
    """Check that weights came and went within the budget, and that none is lent."""
    gc.collect()
    lender = _known[predictor]
    assert isinstance(lender, Lender)
    assert 0 < lender.budget.high_water <= lender.budget.limit
    for _ in range(50):  # a thread of TensorFlow's may be about to let go of a tensor
        if not lender.budget._borrowers:
            break
        time.sleep(0.1)
        gc.collect()
    assert lender.budget._borrowers == {}
    assert not lender.owned.keys() & lender.shelf.places.keys()


def test_the_smallest_budget_gives_the_same_bits(deep: SavedModel) -> None:
    """Called, and row by row: the largest layer has room, and no other one beside it."""
    stock, lazy = stock_of(deep), tight(deep)
    for _ in range(3):
        assert np.array_equal(stock(INPUTS), lazy(INPUTS))
        for size in (3, 8):
            expected = np.concatenate([stock(INPUTS[at : at + size]) for at in range(0, 8, size)])
            assert np.array_equal(expected, lazy.predict(INPUTS, batch_size=size))

    check_budget(lazy)
    assert fastload.residency(lazy).evictions > DEPTH


def test_a_predictor_tells_what_its_weights_take(deep: SavedModel) -> None:
    """As a model does."""
    lazy = tight(deep)
    before = fastload.residency(lazy)
    lazy(INPUTS)
    after = fastload.residency(lazy)

    assert (before.is_lazy, before.loans, before.reads) == (True, 0, 0)
    assert after.loans >= DEPTH
    assert after.high_water_bytes <= after.budget_bytes < after.total_bytes


def test_a_predictor_that_fits_is_whole(deep: SavedModel) -> None:
    """It is a mapped one, and can be asked all the same."""
    whole, mapped = load(deep, memory_budget="1GiB"), load(deep)
    told_of_it = fastload.residency(whole)

    assert not told_of_it.is_lazy
    assert told_of_it.resident_bytes == told_of_it.total_bytes > DEPTH * WIDTH * WIDTH * 4
    assert np.array_equal(whole(INPUTS), stock_of(deep)(INPUTS))
    with pytest.raises(ValueError, match=r"^this Predictor was not loaded with lazy weights"):
        fastload.residency(mapped)


@pytest.mark.parametrize("strict", [False, True])
def test_too_small_a_budget_is_refused_at_load(deep: SavedModel, strict: bool) -> None:
    """With the smallest that would do."""
    smallest = smallest_budget(deep.path, keras=deep.form.package)
    with pytest.raises(MemoryBudgetError, match=rf"at least {smallest}\.") as refused:
        fastload.load_predictor(
            deep.path, keras=deep.form.package, memory_budget=smallest - 1, strict=strict
        )

    assert refused.value.limit == smallest - 1


def test_a_saved_model_without_signatures_keeps_its_small_weights_once(tmp_path: Path) -> None:
    """Its function is traced of its model; they share a budget with others."""
    keras = SAVED_MODEL.stock
    layers = [keras.layers.Dense(WIDTH, name=f"d{number}") for number in range(2)]
    model = keras.Sequential([keras.Input((WIDTH,)), *layers])
    model.save(tmp_path / "model", save_traces=False)
    fastload.set_memory_budget("1MiB")

    lazy = fastload.load_predictor(
        tmp_path / "model", keras=SAVED_MODEL.package, weights="lazy", strict=True
    )
    weights = fastload.residency(lazy)

    assert weights.is_lazy
    assert weights.high_water_bytes == weights.kept_bytes == 2 * WIDTH * 4


def test_a_closed_predictor_gives_its_room_back(deep: SavedModel) -> None:
    """And says that it is closed."""
    lazy = tight(deep)
    lazy(INPUTS)
    lender = _known[lazy]
    assert isinstance(lender, Lender)
    budget = lender.budget
    del lender
    with lazy:
        assert budget.used
    with pytest.raises(ValueError, match="closed"):
        lazy(INPUTS)
    del lazy
    gc.collect()
    end_readers()  # what is being read meanwhile goes when it is read

    assert (budget.used, budget._here) == (0, set())


def test_a_pickle_has_the_budget_too(deep: SavedModel) -> None:
    """It refers to the model, and holds no weights."""
    lazy = tight(deep)
    content = pickle.dumps(lazy)
    again = pickle.loads(content)

    assert len(content) < 1000
    assert np.array_equal(again(INPUTS), lazy(INPUTS))
    assert fastload.residency(again).budget_bytes == fastload.residency(lazy).budget_bytes
    check_budget(again)


def test_threads_share_a_lazy_predictor(deep: SavedModel) -> None:
    """Each gets the right answer, within one budget for all."""
    lazy = tight(deep)
    expected = np.asarray(stock_of(deep)(INPUTS))
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda _: np.asarray(lazy(INPUTS)), range(12)))

    assert all(np.array_equal(each, expected) for each in found)
    check_budget(lazy)


@pytest.fixture
def all_are_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of a few bytes too: each takes a page of the budget."""
    monkeypatch.setattr(plan, "SMALL_BYTES", 1)


@pytest.mark.parametrize(
    "name", sorted(name for name, signed in SIGNED.items() if signed.reason is None)
)
def test_signatures_compute_what_stock_computes(
    name: str, tmp_path: Path, all_are_lent: None
) -> None:
    """In every way in which a function can use variables, in the smallest budget for them."""
    path = save_signed(name, tmp_path / "model")
    stock = tf.saved_model.load(path).signatures["serving_default"]
    lazy = fastload.load_predictor(path, memory_budget=smallest_budget(path), strict=True)
    ours = lazy.signatures["serving_default"]
    for _ in range(2):
        for inputs in SIGNED[name].inputs:
            expected, found = (
                told(tf, functools.partial(each, **inputs)) for each in (stock, ours)
            )
            if isinstance(expected, tuple):  # an error, with another function's name
                expected, found = expected[0], found[0]
            assert found == expected

    weights = fastload.residency(lazy)
    assert weights.high_water_bytes <= weights.budget_bytes


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", ["counter", "random"])
def test_a_function_that_is_not_flat_is_refused_with_a_budget(
    name: str, strict: bool, tmp_path: Path, all_are_lent: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its variables would be in memory, whatever the budget is."""
    module = SIGNED[name].make(tf)
    module.one, module.other = tf.Variable(tf.ones(2000)), tf.Variable(tf.ones(2000))
    path = str(tmp_path / "model")
    tf.saved_model.save(module, path, signatures=module.serve)
    reason = re.escape(SIGNED[name].reason or "")
    with pytest.raises(UnsupportedRequestError, match=rf"\[FL206\] .*cannot be lent: .*{reason}"):
        fastload.load_predictor(path, memory_budget=smallest_budget(path), strict=strict)


@pytest.mark.slow
def test_a_second_device_gets_its_weights(deep: SavedModel, run_python: RunPython) -> None:
    """Models and predictors, in a process of their own: devices are made when TensorFlow starts."""
    program = """
import importlib, sys, numpy as np, tensorflow as tf
path, keras = sys.argv[1:]
cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import fastload
from fastload.errors import MemoryBudgetError
x = np.random.default_rng(1).normal(size=(8, 192)).astype("f4")
def smallest(load):
    try:
        load(path, keras=keras, memory_budget=1)
    except MemoryBudgetError as error:
        return error.needed
with tf.device("/CPU:1"):
    stock = importlib.import_module(keras).models.load_model(path)
    in_graph = tf.function(lambda x: stock(x, training=False))
for load, stock_call in ((fastload.load_predictor, in_graph), (fastload.load_model, stock)):
    lazy = load(
        path, keras=keras, device="/CPU:1", strict=True, memory_budget=smallest(load)
    )
    for _ in range(3):
        with tf.device("/CPU:1"):
            expected, found = stock_call(x), lazy(x)
        assert np.array_equal(expected, found)
        assert found.device.endswith("CPU:1"), found.device
        del found
    told = fastload.residency(lazy)
    assert told.is_lazy
    assert 0 < told.high_water_bytes <= told.budget_bytes, told
    print(told.loans > 0, told.evictions > 0)
"""

    found = run_python(program, deep.path, deep.form.package)

    assert found.splitlines() == ["True True"] * 2
