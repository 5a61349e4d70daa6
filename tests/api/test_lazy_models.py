"""Models whose weights come and go do what those of the stock loader do."""

from __future__ import annotations

import gc
import importlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.errors import MemoryBudgetError, UnsupportedRequestError
from fastload.lazy_weights import standstill
from fastload.lazy_weights.lender import Lender, array_over
from fastload.lazy_weights.places import Wait
from fastload.lazy_weights.residency import _known
from tests.lazy_weights.weights import in_use
from tests.needs import LOSES_LATER_CALLS, NEEDS_LENDING
from tests.small_models import (
    FORMS,
    KERAS2_ARCHIVE,
    KERAS3_ARCHIVE,
    Form,
    assert_same_arrays,
    by_format,
)

tf = pytest.importorskip("tensorflow")

WIDTH = 192
INPUTS = np.random.default_rng(1).normal(size=(8, WIDTH)).astype("f4")
TARGETS = np.random.default_rng(2).normal(size=(8, WIDTH)).astype("f4")
ARCHIVES = [KERAS2_ARCHIVE, KERAS3_ARCHIVE]

pytestmark = [pytest.mark.usefixtures("tidy"), NEEDS_LENDING]


def dense_chain(keras: Any, count: int = 5) -> Any:
    keras.utils.set_random_seed(1)
    value = inputs = keras.Input((WIDTH,))
    for number in range(count):
        value = keras.layers.Dense(WIDTH, activation="tanh", name=f"d{number}")(value)
    return keras.Model(inputs, value)


def with_shared_layer(keras: Any) -> Any:
    keras.utils.set_random_seed(1)
    value = inputs = keras.Input((WIDTH,))
    twice = keras.layers.Dense(WIDTH, activation="tanh")
    for layer in (twice, keras.layers.Dense(WIDTH), twice, keras.layers.Dense(WIDTH), twice):
        value = layer(value)
    return keras.Model(inputs, value)


def nested(keras: Any) -> Any:
    inner = dense_chain(keras, 3)
    inputs = keras.Input((WIDTH,))
    return keras.Model(inputs, keras.layers.Dense(WIDTH)(inner(inner(inputs))))


def recurrent(keras: Any) -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((WIDTH,))
    steps = keras.layers.Reshape((4, WIDTH // 4))(inputs)
    value = keras.layers.LSTM(128, return_sequences=True)(steps)
    value = keras.layers.Bidirectional(keras.layers.GRU(128, return_sequences=True))(value)
    value = keras.layers.RNN([keras.layers.GRUCell(128), keras.layers.LSTMCell(128)])(value)
    return keras.Model(inputs, keras.layers.Dense(WIDTH)(value))


def regularized(keras: Any) -> Any:
    keras.utils.set_random_seed(1)
    value = inputs = keras.Input((WIDTH,))
    for _ in range(4):
        value = keras.layers.Dense(WIDTH, kernel_regularizer=keras.regularizers.L2(0.01))(value)
    return keras.Model(inputs, value)


def half_precise(keras: Any) -> Any:
    keras.utils.set_random_seed(1)
    value = inputs = keras.Input((WIDTH,))
    for _ in range(4):
        value = keras.layers.Dense(WIDTH, activation="tanh", dtype="mixed_float16")(value)
    return keras.Model(inputs, value)


BUILDERS = {
    each.__name__: each
    for each in (dense_chain, with_shared_layer, nested, recurrent, regularized, half_precise)
}


def saved(model: Any, folder: Path, form: Form) -> Path:
    """Save a model, compiled, in a form."""
    keras = form.stock
    model.compile(keras.optimizers.SGD(0.01), keras.losses.MeanSquaredError())
    path = folder / f"model{form.suffix}"
    model.save(path)
    return path


def smallest_budget(path: Path, form: Form) -> int:
    with pytest.raises(MemoryBudgetError) as told:
        fastload.load_model(path, keras=form.package, memory_budget=1)
    return told.value.needed


def of_stock(path: Path, form: Form) -> Any:
    """Load a model with stock, without XLA: what that computes differs in the last bits."""
    model = form.stock.models.load_model(path)
    if getattr(model, "jit_compile", None):
        model.jit_compile = False
    return model


def stock_and_lazy(path: Path, form: Form, budget: int | None = None) -> Any:
    """Load a model with stock, and within a budget: the smallest, if none is given."""
    budget = budget or smallest_budget(path, form)
    lazy = fastload.load_model(path, keras=form.package, memory_budget=budget, strict=True)
    assert fastload.residency(lazy).is_lazy
    return of_stock(path, form), lazy


def lender_of(model: Any) -> Lender:
    """Return what lends the weights of a model."""
    lender = _known[model]
    assert isinstance(lender, Lender)
    return lender


def check_budget(model: Any) -> None:
    budget = lender_of(model).budget
    gc.collect()
    assert 0 < budget.high_water <= budget.limit
    assert budget._borrowers == {}


def assert_same(expected: Any, actual: Any) -> None:
    assert_same_arrays(
        [np.asarray(each) for each in tf.nest.flatten(expected)],
        [np.asarray(each) for each in tf.nest.flatten(actual)],
    )


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.id)
def test_each_form_is_served_within_the_smallest_budget(form: Form, tmp_path: Path) -> None:
    """Calls, predictions, evaluation: the same to the bit."""
    path = saved(dense_chain(form.stock), tmp_path, form)
    stock, lazy = stock_and_lazy(path, form)

    assert_same(stock(INPUTS), lazy(INPUTS))
    assert_same(stock.predict(INPUTS, verbose=0), lazy.predict(INPUTS, verbose=0))
    assert stock.evaluate(INPUTS, TARGETS, verbose=0) == lazy.evaluate(INPUTS, TARGETS, verbose=0)
    assert_same_arrays(stock.layers[2].get_weights(), lazy.layers[2].get_weights())
    check_budget(lazy)


@pytest.mark.parametrize("form", [by_format(form) for form in ARCHIVES])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "recurrent" else [])
        for name in BUILDERS
    ],
)
def test_each_kind_of_model_answers_the_same(name: str, form: Form, tmp_path: Path) -> None:
    """Eagerly and in a graph, batch by batch, with and without several steps at once."""
    if name == "with_shared_layer" and form is KERAS3_ARCHIVE and LOSES_LATER_CALLS:
        pytest.skip("this Keras does not open it")
    path = saved(BUILDERS[name](form.stock), tmp_path, form)
    stock, lazy = stock_and_lazy(path, form)
    for _ in range(2):
        assert_same(stock(INPUTS), lazy(INPUTS))
        for batch_size in (3, 8):
            given = {"batch_size": batch_size, "verbose": 0}
            assert_same(stock.predict(INPUTS, **given), lazy.predict(INPUTS, **given))
    assert_same(stock.losses, lazy.losses)
    for each in (stock, lazy):
        each.compile("sgd", "mse", steps_per_execution=2, jit_compile=False)
    assert_same(
        stock.predict(INPUTS, batch_size=2, verbose=0),
        lazy.predict(INPUTS, batch_size=2, verbose=0),
    )
    check_budget(lazy)


@pytest.mark.parametrize("form", ARCHIVES, ids=lambda form: form.id)
def test_a_model_that_runs_eagerly_answers_the_same(form: Form, tmp_path: Path) -> None:
    """Without any graph."""
    stock, lazy = stock_and_lazy(saved(dense_chain(form.stock), tmp_path, form), form)
    for each in (stock, lazy):
        each.compile("sgd", "mse", run_eagerly=True)

    assert_same(stock.predict(INPUTS, verbose=0), lazy.predict(INPUTS, verbose=0))
    check_budget(lazy)


@pytest.mark.parametrize("form", ARCHIVES, ids=lambda form: form.id)
def test_a_stateful_model_keeps_its_state(form: Form, tmp_path: Path) -> None:
    """From call to call; states are no weights of the twin."""
    keras = form.stock
    keras.utils.set_random_seed(1)
    inputs = keras.Input(batch_shape=(2, 4, 64))
    value = keras.layers.LSTM(128, stateful=True, return_sequences=True)(inputs)
    model = keras.Model(inputs, keras.layers.GRU(128, stateful=True)(value))
    stock, lazy = stock_and_lazy(saved(model, tmp_path, form), form)
    steps = np.random.default_rng(3).normal(size=(2, 4, 64)).astype("f4")
    for _ in range(3):
        assert_same(stock(steps), lazy(steps))
    for _ in range(2):
        assert_same(
            stock.predict(steps, batch_size=2, verbose=0),
            lazy.predict(steps, batch_size=2, verbose=0),
        )
    check_budget(lazy)


@pytest.mark.parametrize("form", ARCHIVES, ids=lambda form: form.id)
def test_a_prediction_that_lacks_room_half_way_is_no_prediction(
    form: Form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It must not end in good order with the rows that it has; the log says why."""
    _, lazy = stock_and_lazy(saved(dense_chain(form.stock), tmp_path, form), form)
    lazy.predict(INPUTS, batch_size=2, verbose=0)
    loans, stock = lender_of(lazy).shelf.counts, Lender.lend

    def lend(self: Lender, name: str, wait: Wait) -> Any:
        if loans.loans >= enough:
            raise MemoryBudgetError(f"reading {name!r}", 1, 2)
        return stock(self, name, wait)

    enough = loans.loans + 12  # five layers a batch
    monkeypatch.setattr(Lender, "lend", lend)
    with pytest.raises(tf.errors.InvalidArgumentError, match="shape"):
        lazy.predict(INPUTS, batch_size=2, verbose=0)
    assert "a graph cannot get its weights, and fails: [FL406] reading" in caplog.text


@pytest.mark.parametrize("form", ARCHIVES, ids=lambda form: form.id)
def test_after_a_refusal_the_next_call_works(
    form: Form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once there is room again: somebody else used a weight all the time."""
    monkeypatch.setattr(standstill, "PATIENCE_S", 0.5)
    stock, lazy = stock_and_lazy(saved(dense_chain(form.stock), tmp_path, form), form)
    lazy.predict(INPUTS, verbose=0)
    lender = lender_of(lazy)
    held = array_over(*lender.lend(next(iter(lender.shelf.places)), Wait.FOR_OTHERS))
    with in_use(held), pytest.raises(tf.errors.InvalidArgumentError, match="shape"):
        lazy.predict(INPUTS, verbose=0)
    del held

    for _ in range(4):
        assert_same(stock.predict(INPUTS, verbose=0), lazy.predict(INPUTS, verbose=0))


@pytest.mark.parametrize("form", ARCHIVES, ids=lambda form: form.id)
def test_a_weight_that_a_user_keeps_gives_way_to_a_call(form: Form, tmp_path: Path) -> None:
    """Nobody looks at it meanwhile; it has its values afterwards."""
    stock, lazy = stock_and_lazy(saved(dense_chain(form.stock), tmp_path, form), form)
    lender = lender_of(lazy)
    # In a list, as AutoGraph may take a copy of this function's variables.
    held = [array_over(*lender.lend(next(iter(lender.shelf.places)), Wait.FOR_OTHERS))]
    expected = held[0].copy()

    assert_same(stock.predict(INPUTS, verbose=0), lazy.predict(INPUTS, verbose=0))
    assert_same_arrays([expected], held)
    held.clear()
    check_budget(lazy)


@pytest.mark.parametrize("form", ARCHIVES, ids=lambda form: form.id)
def test_a_head_is_trained_over_lazy_layers(form: Form, tmp_path: Path) -> None:
    """The weights are those of stock's training, and the frozen ones are lent as before."""
    path = saved(dense_chain(form.stock), tmp_path, form)
    room = smallest_budget(path, form) + 2 * WIDTH * WIDTH * 4
    stock, lazy = stock_and_lazy(path, form, room)
    for each in (stock, lazy):
        for layer in each.layers[:-1]:
            layer.trainable = False
        each.compile(form.stock.optimizers.Adam(0.01), "mse", jit_compile=False)
        each.fit(INPUTS, TARGETS, batch_size=4, epochs=2, shuffle=False, verbose=0)

    assert_same_arrays(stock.get_weights(), lazy.get_weights())
    assert_same(stock(INPUTS), lazy(INPUTS))
    owned = lender_of(lazy).owned
    assert [name for name, nbytes in owned.items() if nbytes == WIDTH * WIDTH * 4] == [
        next(name for name in owned if name.endswith(("/vars/0", "/kernel:0")))
    ]
    check_budget(lazy)


@pytest.mark.parametrize("form", ARCHIVES, ids=lambda form: form.id)
def test_a_lazy_model_is_saved_as_it_is(form: Form, tmp_path: Path) -> None:
    """Layer by layer."""
    stock, lazy = stock_and_lazy(saved(dense_chain(form.stock), tmp_path, form), form)
    lazy.save(tmp_path / f"again{form.suffix}")
    again = form.stock.models.load_model(tmp_path / f"again{form.suffix}")

    assert_same_arrays(stock.get_weights(), again.get_weights())
    check_budget(lazy)


def test_an_export_is_refused(tmp_path: Path) -> None:
    """With what to do instead."""
    _, lazy = stock_and_lazy(
        saved(dense_chain(KERAS3_ARCHIVE.stock), tmp_path, KERAS3_ARCHIVE), KERAS3_ARCHIVE
    )
    with pytest.raises(UnsupportedRequestError, match="weights='mapped'"):
        lazy.export(str(tmp_path / "exported"))


@pytest.mark.parametrize("form", ARCHIVES, ids=lambda form: form.id)
def test_threads_call_one_model(form: Form, tmp_path: Path) -> None:
    """Each gets the right answer, within one budget."""
    path = saved(dense_chain(form.stock), tmp_path, form)
    stock, lazy = stock_and_lazy(path, form, smallest_budget(path, form) + 3 * WIDTH * WIDTH * 4)
    expected, found = np.asarray(stock(INPUTS)), []

    def call() -> None:
        found.extend(np.asarray(lazy(INPUTS)) for _ in range(10))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 30
    assert_same([expected] * 30, found)
    check_budget(lazy)


def test_two_models_share_one_budget(tmp_path: Path) -> None:
    """Each has the room of the other while it runs."""
    form = KERAS3_ARCHIVE
    path = saved(dense_chain(form.stock), tmp_path, form)
    fastload.set_memory_budget(2 * smallest_budget(path, form))
    models = [
        fastload.load_model(path, keras=form.package, weights="lazy", strict=True) for _ in range(2)
    ]
    stock = of_stock(path, form)

    for _ in range(3):
        for model in models:
            assert_same(stock(INPUTS), model(INPUTS))
    assert lender_of(models[0]).budget is lender_of(models[1]).budget
    check_budget(models[0])


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.id)
@pytest.mark.parametrize("strict", [False, True])
def test_too_small_a_budget_is_refused_at_load(form: Form, strict: bool, tmp_path: Path) -> None:
    """With the smallest that would do, which does."""
    path = saved(dense_chain(form.stock), tmp_path, form)
    smallest = smallest_budget(path, form)
    with pytest.raises(MemoryBudgetError, match=rf"at least {smallest}\.") as told:
        fastload.load_model(path, keras=form.package, memory_budget=smallest - 1, strict=strict)

    assert told.value.limit == smallest - 1
    lazy = fastload.load_model(path, keras=form.package, memory_budget=smallest)
    assert fastload.residency(lazy).is_lazy


@pytest.mark.parametrize("form", ARCHIVES, ids=lambda form: form.id)
def test_a_model_that_fits_is_an_ordinary_one(form: Form, tmp_path: Path) -> None:
    """No variable is of another class, and XLA is where it was."""
    path = saved(dense_chain(form.stock), tmp_path, form)
    stock = form.stock.models.load_model(path)
    whole = fastload.load_model(path, keras=form.package, memory_budget="1GiB", strict=True)

    assert not fastload.residency(whole).is_lazy
    assert getattr(whole, "supports_jit", None) == getattr(stock, "supports_jit", None)
    for ours, theirs in zip(whole.variables, stock.variables, strict=True):
        assert type(ours) is type(theirs)
        assert type(getattr(ours, "value", ours)) is type(getattr(theirs, "value", theirs))
    assert_same(stock(INPUTS), whole(INPUTS))


def test_programs_are_served_lazily(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the environment alone."""
    form = KERAS3_ARCHIVE
    path = saved(dense_chain(form.stock), tmp_path, form)
    stock = of_stock(path, form)
    monkeypatch.setenv("FASTLOAD_WEIGHTS", "lazy")
    monkeypatch.setenv("FASTLOAD_MEMORY_BUDGET", str(smallest_budget(path, form)))
    monkeypatch.setenv("FASTLOAD_STRICT", "1")
    fastload.install()
    try:
        lazy = importlib.import_module(form.package).models.load_model(path)
    finally:
        fastload.uninstall()

    assert fastload.residency(lazy).is_lazy
    assert_same(stock.predict(INPUTS, verbose=0), lazy.predict(INPUTS, verbose=0))
    check_budget(lazy)
