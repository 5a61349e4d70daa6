"""Deferred models are made as they would have been at their load, whatever happened since."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload import deferred_model
from fastload.errors import RestoreError
from fastload.runtime import moment
from tests.api.deferred_models import (
    ROWS,
    assert_same_results,
    both,
    forked_model,
    is_deferred,
    load_deferred,
    prepare,
    saved,
)
from tests.small_models import (
    INPUTS,
    KERAS2_HDF5,
    KERAS3_ARCHIVE,
    Form,
    SavedModel,
    assert_same_model,
)

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.usefixtures("prepared_cache")
both_keras = pytest.mark.parametrize(
    "form", [KERAS2_HDF5, KERAS3_ARCHIVE], ids=lambda form: form.id
)


def with_dropout(form: Form, folder: Path) -> SavedModel:
    """Return a saved model whose load draws seeds, where Keras draws them then."""
    return saved(form, forked_model(form.stock, "list"), folder)


def names_after(keras: Any) -> list[str]:
    """Return the automatic names that come next."""
    layers = [keras.layers.Dense(1), keras.layers.Dropout(0.1), keras.Sequential()]
    return [each.name for each in layers]


@both_keras
def test_names_and_draws_after_the_load_are_those_of_stock(form: Form, tmp_path: Path) -> None:
    """A deferred load takes the names and the random numbers that stock's load takes."""
    model, keras = with_dropout(form, tmp_path), form.stock
    load_deferred(model)
    after = []
    for load in (model.load_stock, lambda: load_deferred(model), lambda: load_deferred(model)):
        keras.backend.clear_session()
        keras.utils.set_random_seed(5)
        kept = load()
        drawn = [random.random(), np.random.random(), float(tf.random.uniform(()))]  # noqa: NPY002
        after.append([*names_after(keras), *drawn])
        del kept

    assert after[1] == after[0]
    assert after[2] == after[0]


@both_keras
def test_training_is_that_of_stock_whatever_was_drawn_between(form: Form, tmp_path: Path) -> None:
    """Seeds of layers are those of the load; what is drawn after it is not moved by them."""
    model, keras = with_dropout(form, tmp_path), form.stock
    load_deferred(model)
    found = []
    for load in (model.load_stock, lambda: load_deferred(model)):
        keras.backend.clear_session()
        keras.utils.set_random_seed(5)
        one = load()
        assert random.random() != 0
        keras.utils.set_random_seed(6)
        names = names_after(keras)
        one.compile("sgd", "mse")
        targets = [np.ones((70, 2), "float32")] * 2
        one.fit([ROWS, ROWS[:, :3]], targets, epochs=2, verbose=0)
        found.append([names, one.get_weights(), random.random()])

    assert found[1][0] == found[0][0]
    assert_same_results(found[0][1], found[1][1])
    assert found[1][2] == found[0][2]


def _strategy() -> Any:
    return tf.distribute.MirroredStrategy(["CPU:0"]).scope()


SCOPES: dict[str, Callable[[Any], Any]] = {
    "strategy": lambda _: _strategy(),
    "graph": lambda _: tf.Graph().as_default(),
    "device": lambda _: tf.device("CPU:0"),
    "name scope": lambda _: tf.name_scope("outer"),
    "custom objects": lambda keras: keras.utils.custom_object_scope({"Dense": keras.layers.Layer}),
    "tape": lambda _: tf.GradientTape(),
    "none": lambda _: nullcontext(),
}


@both_keras
@pytest.mark.parametrize("scope", SCOPES)
def test_scopes_around_the_first_touch_are_not_the_models(
    form: Form, scope: str, tmp_path: Path
) -> None:
    """It is made as at its load: outside of them."""
    model = with_dropout(form, tmp_path)
    stock, ours = both(model)

    with SCOPES[scope](form.stock):
        assert type(ours.layers) is list

    assert type(ours) is type(stock)
    assert [type(v) for v in ours.weights] == [type(v) for v in stock.weights]
    assert [v.name for v in ours.weights] == [v.name for v in stock.weights]
    assert_same_results(stock.get_weights(), ours.get_weights())
    assert ours.get_config() == stock.get_config()


@both_keras
def test_settings_changed_since_are_not_the_models(form: Form, tmp_path: Path) -> None:
    """Dtypes, image format and policy are those of the load, and stay changed for the program."""
    model, keras = with_dropout(form, tmp_path), form.stock
    stock, ours = both(model)
    mixed = keras.mixed_precision if form.generation == 2 else keras.config
    set_policy = mixed.set_global_policy if form.generation == 2 else mixed.set_dtype_policy
    try:
        keras.backend.set_floatx("float64")
        keras.backend.set_epsilon(1e-3)
        keras.backend.set_image_data_format("channels_first")
        set_policy("mixed_bfloat16")
        assert ours.count_params() == stock.count_params()
        assert keras.backend.floatx() == "float64"
        assert keras.backend.epsilon() == 1e-3
        assert keras.backend.image_data_format() == "channels_first"
        assert keras.layers.Dense(1).compute_dtype == "bfloat16"
    finally:
        keras.backend.set_floatx("float32")
        keras.backend.set_epsilon(1e-7)
        keras.backend.set_image_data_format("channels_last")
        set_policy("float32")

    assert ours.dtype == stock.dtype
    assert ours.compute_dtype == stock.compute_dtype
    assert_same_results(stock.get_weights(), ours.get_weights())


@both_keras
def test_loads_in_scopes_are_not_deferred(form: Form, tmp_path: Path) -> None:
    model = with_dropout(form, tmp_path)
    load_deferred(model)

    for scope in (tf.device("CPU:0"), tf.name_scope("outer")):
        with scope:
            loaded = fastload.load_model(model.path, keras=form.package, defer=True)
        assert not is_deferred(loaded)


def test_the_file_and_the_cache_may_go(
    model: SavedModel, cache_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was loaded is what was there, wherever the program is by then."""
    stock, ours = both(model)
    other = load_deferred(model)

    shutil.rmtree(cache_root)
    if model.path.is_dir():
        shutil.rmtree(model.path)
    else:
        model.path.write_bytes(b"another one")
    monkeypatch.chdir("/")

    assert_same_results(stock.predict(ROWS, verbose=0), ours.predict(ROWS, verbose=0))
    for one in (ours, other):
        assert one.name == stock.name
        assert_same_model(stock, one)


def test_threads_find_one_model(model: SavedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predicting, touching and loading at once: one load, the same bits."""
    stock, ours = both(model)
    expected, weights = stock.predict(ROWS, verbose=0), stock.get_weights()
    made: list[Any] = []
    restore = deferred_model.taking_place

    def counting(make: Callable[[], Any]) -> Any:
        return restore(lambda: made.append(1) or make())

    monkeypatch.setattr(deferred_model, "taking_place", counting)
    ours = load_deferred(model)
    start = threading.Barrier(16)

    def work(number: int) -> Any:
        start.wait()
        if number % 4 == 0:
            return ours.get_weights()
        if number % 4 == 1:
            return load_deferred(model).get_weights()
        return ours.predict(ROWS, verbose=0)

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(work, range(16)))

    for number, each in enumerate(found):
        assert_same_results(weights if number % 4 < 2 else expected, each)
    assert len(made) == 1 + 4
    assert_same_model(stock, ours)


def _failing(error: Exception, times: int) -> Callable[..., Any]:
    left, stock = [error] * times, moment.in_a_thread

    def run(work: Callable[[], Any]) -> Any:
        if left:
            raise left.pop()
        return stock(work)

    return run


def test_a_model_that_cannot_be_restored_is_stocks(
    model: SavedModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stock, ours = both(model)
    torn = RestoreError(Path("twin"), "it is torn")
    monkeypatch.setattr(moment, "in_a_thread", _failing(torn, 1))

    with pytest.raises(RestoreError, match="it is torn"):  # strict
        ours.count_params()
    assert is_deferred(ours)
    assert ours.count_params() == stock.count_params()

    monkeypatch.setattr(moment, "in_a_thread", _failing(torn, 9))
    other = fastload.load_model(model.path, keras=model.form.package, defer=True)
    assert other.count_params() == stock.count_params()
    assert "is loaded by the stock loader" in caplog.text
    assert_same_model(stock, other)


def test_an_error_is_raised_and_the_next_touch_tries_again(
    model: SavedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock, ours = both(model)
    monkeypatch.setattr(moment, "in_a_thread", _failing(MemoryError("no more"), 2))

    for _ in range(2):
        with pytest.raises(MemoryError, match="no more"):
            ours.get_weights()
        assert is_deferred(ours)
        assert_same_results(stock.predict(INPUTS, verbose=0), ours.predict(INPUTS, verbose=0))
    assert ours.name == stock.name
    assert_same_model(stock, ours)


def test_what_cannot_be_deferred_is_loaded(
    model: SavedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a reason; and its names and random numbers are stock's as well."""
    keras = model.form.stock
    path, package = model.path, model.form.package
    cases = [{"custom_objects": {"Dense": keras.layers.Dense}}, {"weights": "lazy"}]

    for arguments in cases:
        loaded: Any = fastload.load_model(path, keras=package, defer=True, **arguments)
        report = fastload.last_load()
        assert not is_deferred(loaded)
        assert report is not None
        assert "it is not deferred" in str(report.reason)


def test_models_of_fixed_batches_are_loaded(tmp_path: Path) -> None:
    keras = KERAS3_ARCHIVE.stock
    inputs = keras.Input((4,), batch_size=5)
    model = saved(KERAS3_ARCHIVE, keras.Model(inputs, keras.layers.Dense(2)(inputs)), tmp_path)

    prepare(model)
    loaded = fastload.load_model(model.path, keras="keras", defer=True)
    report = fastload.last_load()

    assert not is_deferred(loaded)
    assert report is not None
    assert report.reason == "it is not deferred: it does not take any number of rows"


@both_keras
def test_models_whose_bits_depend_on_batches_are_loaded(form: Form, tmp_path: Path) -> None:
    """Stock's own predictions differ with the batches before; nobody can tell which are meant."""
    keras = form.stock
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5, 8))
    hidden = keras.layers.LayerNormalization()(inputs)
    model = saved(form, keras.Model(inputs, keras.layers.LSTM(4)(hidden)), tmp_path)
    prepare(model)

    stock = model.load_stock()
    ours: Any = fastload.load_model(model.path, keras=form.package, defer=True)
    values = np.random.default_rng(1).normal(size=(8, 5, 8)).astype("float32")

    for batch_size in (2, 3, 8):
        expected = stock.predict(values, batch_size=batch_size, verbose=0)
        assert_same_results(expected, ours.predict(values, batch_size=batch_size, verbose=0))


def test_a_model_that_is_not_prepared_is_loaded(model: SavedModel, cache_root: Path) -> None:
    loaded: Any = fastload.load_model(model.path, keras=model.form.package, defer=True)
    report = fastload.last_load()

    assert not is_deferred(loaded)
    assert report is not None
    assert "fastload.warm has not prepared it" in str(report.reason)
