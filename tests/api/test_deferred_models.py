"""A deferred model predicts as the stock loader's, and becomes it when more is asked."""

from __future__ import annotations

import copy
import itertools
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from tests.api.deferred_models import (
    ROWS,
    assert_same_results,
    both,
    forked_model,
    is_deferred,
    load_deferred,
    plain_state,
    prepare,
    saved,
)
from tests.conftest import SavedOnce
from tests.small_models import (
    FORMS,
    INPUTS,
    KERAS3_HDF5,
    SAVED_MODEL,
    Form,
    SavedModel,
    assert_same_arrays,
    assert_same_model,
    save,
)

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.usefixtures("prepared_cache")


def told(act: Callable[[], Any]) -> Any:
    """Return what *act* returns, or what it raises as class and text."""
    try:
        return act()
    except Exception as error:
        return type(error), re.sub(r"0x[0-9a-f]+", "0x", str(error))


def test_predict_gives_the_bits_of_stock(model: SavedModel) -> None:
    """Whatever the batches, the last of them included; and the model is not loaded for it."""
    stock, ours = both(model)

    for rows, batch_size in itertools.product([1, 32, 33, 70], [None, 7, 100]):
        expected = stock.predict(ROWS[:rows], batch_size=batch_size, verbose=0)
        found = ours.predict(ROWS[:rows], batch_size=batch_size, verbose=0)
        assert_same_results(expected, found)
    assert_same_results(stock.predict_on_batch(ROWS), ours.predict_on_batch(ROWS))
    assert is_deferred(ours)


@pytest.mark.parametrize("outputs", ["list", "dict"])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.id)
def test_structures_are_those_of_stock(form: Form, outputs: str, tmp_path: Path) -> None:
    """Several inputs by order or by name; several outputs, as the model has them."""
    stock, ours = both(saved(form, forked_model(form.stock, outputs), tmp_path))
    by_name = {"right": ROWS[:, :3].copy(), "left": ROWS}
    inputs = [[by_name["left"], by_name["right"]], by_name]
    inputs += [tuple(inputs[0])] if form.generation == 3 else []

    for given in inputs:
        assert_same_results(stock.predict(given, verbose=0), ours.predict(given, verbose=0))
        assert_same_results(stock.predict_on_batch(given), ours.predict_on_batch(given))
    assert is_deferred(ours)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.id)
def test_losses_of_activities_are_those_of_stock(form: Form, tmp_path: Path) -> None:
    """A prediction may leave them on the layers; such a model is loaded at once."""
    keras = form.stock
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(2, kernel_regularizer="l2", activity_regularizer="l2")(inputs)
    model = saved(form, keras.Model(inputs, outputs), tmp_path)
    prepare(model)
    ours = fastload.load_model(model.path, keras=form.package, defer=True)
    found = []

    for each in (model.load_stock(), ours):
        each.predict(ROWS, verbose=0)
        found.append(len(each.losses))

    assert found[0] == found[1]


def test_single_inputs_may_be_wrapped(model: SavedModel) -> None:
    stock, ours = both(model)

    for given in ([ROWS], {"x": ROWS}, {"y": ROWS}):
        expected = told(lambda given=given: stock.predict(given, verbose=0))
        assert_same_told(expected, told(lambda given=given: ours.predict(given, verbose=0)))


def test_progress_is_shown_as_by_stock(
    model: SavedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    stock, ours = both(model)
    shown: list[list[list[str]]] = [[], []]
    for one, lines in zip((stock, ours), shown, strict=True):
        one.predict(ROWS, verbose=0)
        capsys.readouterr()
        for verbose in (0, 1, 2, "auto"):
            one.predict(ROWS, verbose=verbose)
            lines.append(_without_times(capsys.readouterr().out))

    assert shown[1] == shown[0]
    assert is_deferred(ours)


def _without_times(text: str) -> list[str]:
    """Return the lines that stay, without times; how often a bar is drawn depends on them."""
    lines = [line.rpartition("\r")[2].replace("\x08", "") for line in text.splitlines()]
    timeless = (re.sub(r"\d+(ms|us|s)(/step|/sample)?", "", line) for line in lines)
    return [" ".join(line.split()) for line in timeless if line.strip()]


#: What is no `predict` on arrays, and what it gives that can be compared.
TOUCHES: dict[str, Callable[[Any], Any]] = {
    "attribute": lambda m: m.name,
    "class attribute": lambda m: m.stop_training if hasattr(m, "stop_training") else None,
    "method": lambda m: m.count_params(),
    "missing": lambda m: hasattr(m, "missing"),
    "layers": lambda m: [layer.name for layer in m.layers],
    "config": lambda m: m.to_json(),
    "weights": lambda m: [w.tolist() for w in m.get_weights()],
    "call": lambda m: m(INPUTS).numpy().tolist(),
    "training": lambda m: m(INPUTS, training=True).numpy().tolist(),
    "tensors": lambda m: m.predict(tf.constant(INPUTS), verbose=0).tolist(),
    "dataset": lambda m: m.predict(tf.data.Dataset.from_tensors(INPUTS), verbose=0).tolist(),
    "generator": lambda m: m.predict(((INPUTS,) for _ in "ab"), steps=2, verbose=0).tolist(),
    "callbacks": lambda m: m.predict(INPUTS, callbacks=[], verbose=0).tolist(),
    "integers": lambda m: m.predict(INPUTS.astype("int32"), verbose=0).tolist(),
    "lists": lambda m: told(lambda: np.asarray(m.predict(INPUTS.tolist(), verbose=0)).shape),
    "wrong shape": lambda m: told(lambda: m.predict(ROWS[:, :3], verbose=0))[0],
    "wrong count": lambda m: told(lambda: m.predict([ROWS, ROWS], verbose=0))[0],
    "wrong batch": lambda m: told(lambda: m.predict_on_batch(ROWS[:, :3]))[0],
    "evaluate": lambda m: m.evaluate(INPUTS, np.ones((3, 4)), verbose=0),
    "summary": lambda m: m.summary(print_fn=lambda *_, **__: None),
    "dir": dir,
    "vars": lambda m: sorted(vars(m)),
    "submodel": lambda m: type(m).__base__.__name__ and len(m.outputs),
    "copy": lambda m: told(lambda: type(copy.copy(m))),
    "metrics": lambda m: m.metrics_names,
}


def test_whatever_else_is_asked_brings_the_model(model: SavedModel) -> None:
    """Asked for anything but to predict arrays it becomes the model, and answers as stock."""
    for name, touch in TOUCHES.items():
        stock, ours = model.load_stock(), load_deferred(model)

        expected, found = touch(stock), touch(ours)

        assert found == expected, name
        assert_became(stock, ours)


def assert_became(stock: Any, ours: Any) -> None:
    """Check that *ours* is the model, and that nothing of the deferred one is left."""
    assert type(ours) is type(stock)
    assert plain_state(ours) == plain_state(stock)
    assert_same_model(stock, ours)


def test_what_needs_no_model_is_as_in_stock(model: SavedModel) -> None:
    stock, ours = both(model)

    for look in (repr, str, hash, bool, callable):
        assert type(look(ours)) is type(look(stock))
    assert isinstance(ours, model.form.stock.Model)
    assert isinstance(ours, type(stock))
    assert ours.__class__ is type(stock)
    assert ours in [stock, ours]


def test_attributes_can_be_set_and_deleted(model: SavedModel) -> None:
    stock, ours = both(model)
    for one in (stock, ours):
        one.remark = "mine"

    assert_became(stock, ours)
    del ours.remark
    assert not hasattr(ours, "remark")
    other = load_deferred(model)
    with pytest.raises(AttributeError):
        del other.remark
    assert type(other) is type(stock)


def test_nothing_refers_to_another_model(
    model: SavedModel, caplog: pytest.LogCaptureFixture
) -> None:
    """What Keras ties to a model is tied to the one that was deferred: methods, tables, refs."""
    stock, ours = both(model)
    ours.predict(ROWS, verbose=0)

    ours.count_params()
    if model.form.generation == 3:
        assert ours in ours._compiled_trainable_state
    else:
        assert ours._checkpoint.root() is ours
        ours.save_weights(model.path.parent / "checkpoint" / "w", save_format="tf")
    assert "refers to an object beside itself" not in caplog.text
    stock.predict(ROWS, verbose=0)
    assert_became(stock, ours)


@pytest.mark.parametrize("layout", ["functional", "sequential"])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.id)
def test_a_model_that_came_late_trains_and_saves_as_stock_does(
    form: Form, layout: str, saved_once: SavedOnce, tmp_path: Path
) -> None:
    stock, ours = both(SavedModel(form=form, path=saved_once(form, layout)))
    found = []
    for number, one in enumerate((stock, ours)):
        if form == KERAS3_HDF5:  # Keras cannot go on with the optimizer of its own file
            one.compile("adam", form.stock.losses.MeanSquaredError())
        form.stock.utils.set_random_seed(2)
        one.fit(INPUTS, np.zeros((3, 4)), epochs=2, verbose=0)
        path = tmp_path / f"again{number}{form.suffix}"
        save(one, path)
        found.append(SavedModel(form=form, path=path).load_stock())

    assert_same_model(stock, ours)
    assert_same_model(*found)


def test_it_can_be_part_of_another_model(model: SavedModel) -> None:
    """As a layer, as the beginning of another model, cloned, in a function and under a tape."""
    stock, _ = both(model)
    keras = model.form.stock
    inputs = keras.Input((4,))

    def inside(one: Any) -> Any:
        return keras.Model(inputs, one(inputs)).predict(ROWS, verbose=0)

    def cut(one: Any) -> Any:
        return keras.Model(one.inputs, one.layers[1].output).predict(ROWS, verbose=0)

    def cloned(one: Any) -> Any:
        clone = keras.models.clone_model(one)
        clone.set_weights(one.get_weights())
        return clone.predict(ROWS, verbose=0)

    def traced(one: Any) -> Any:
        return np.asarray(tf.function(lambda x: one(x) + 0.0)(tf.constant(ROWS)))

    def taped(one: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(one(tf.constant(ROWS)))
        return [np.asarray(each) for each in tape.gradient(loss, one.trainable_variables)]

    for use in (inside, cut, cloned, traced, taped):
        ours = load_deferred(model)
        assert_same_results(use(stock), use(ours))
        assert type(ours) is type(stock)


def test_predictions_under_a_tape_are_the_models(model: SavedModel) -> None:
    """A tape sees which variables a prediction reads."""
    stock, ours = both(model)

    def watched(one: Any) -> int:
        with tf.GradientTape() as tape:
            one.predict_on_batch(INPUTS)
        return len(tape.watched_variables())

    assert repr(told(lambda: watched(ours))) == repr(told(lambda: watched(stock)))
    assert type(ours) is type(stock)


@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_copies_are_those_of_stock(model: SavedModel, how: str) -> None:
    stock, ours = both(model)

    def copied(one: Any) -> Any:
        again = copy.deepcopy(one) if how == "deepcopy" else pickle.loads(pickle.dumps(one))
        return type(again), [w.tolist() for w in again.get_weights()]

    assert told(lambda: copied(ours)) == told(lambda: copied(stock))
    assert type(ours) is type(stock)


def test_models_that_are_not_compiled(model: SavedModel) -> None:
    stock, ours = both(model, compile=False)

    assert_same_results(stock.predict(ROWS, verbose=0), ours.predict(ROWS, verbose=0))
    assert is_deferred(ours)
    assert_same_arrays(stock.get_weights(), ours.get_weights())
    assert_became(stock, ours)


def assert_same_told(expected: Any, actual: Any) -> None:
    if isinstance(expected, np.ndarray) and isinstance(actual, np.ndarray):
        assert_same_results(expected, actual)
    else:
        assert repr(actual) == repr(expected)


def test_it_is_off_unless_asked_for(
    saved_model: SavedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, package = saved_model.path, SAVED_MODEL.package
    prepare(saved_model)
    assert not is_deferred(fastload.load_model(path, keras=package))
    monkeypatch.setenv("FASTLOAD_DEFER_MODEL", "1")
    assert is_deferred(fastload.load_model(path, keras=package))
    assert not is_deferred(fastload.load_model(path, keras=package, defer=False))


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
@pytest.mark.parametrize("form", [form for form in FORMS if form.suffix == ".keras"], ids=str)
def test_a_model_that_was_never_called_is_loaded_at_once(form: Form, tmp_path: Path) -> None:
    """It does not say what it takes, so nothing can predict in its stead."""
    keras = form.stock
    keras.Sequential([keras.layers.Dense(2)]).save(tmp_path / "unbuilt.keras")

    for _ in range(2):
        ours = fastload.load_model(tmp_path / "unbuilt.keras", keras=form.package, defer=True)
        report = fastload.last_load()

        assert type(ours) is keras.Sequential
        assert report is not None
        assert "not deferred" in str(report.reason) or report.outcome.value == "bypass"
