"""What training needs: losses, metrics and the state of the optimizer, as Keras 2 has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.errors import MigrationError
from fastload.keras2to3.keras2_files import model_of_hdf5
from fastload.keras2to3.rules.rule import Record
from fastload.loading.plan import migration_record
from fastload.twin.reader import Twin
from tests.keras2to3.conftest import seeded
from tests.needs import IS_FIRST_KERAS_3

X = np.random.default_rng(5).normal(size=(8, 5)).astype("float32")
Y = np.random.default_rng(6).uniform(size=(8, 3)).astype("float32")


def dense(keras: Any, **compilation: Any) -> Any:
    """Return a compiled model of two layers with known weights."""
    layers = [keras.Input((5,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(3, "sigmoid")]
    model = keras.Sequential(layers)
    random = np.random.default_rng(7)
    model.set_weights([random.normal(size=each.shape) for each in model.get_weights()])
    model.compile(**compilation)
    return model


def loaded(model: Any, path: Path) -> Any:
    """Return the Keras 3 model that *model* is migrated to."""
    model.save(str(path), **({} if path.suffix else {"save_format": "tf"}))
    return fastload.load_model(path, keras="keras")


def left_out() -> dict[str, str]:
    """Return what the migration of the last load left out."""
    report = fastload.last_load()
    assert report is not None
    record = migration_record(Twin.open(report.twin))
    assert record is not None
    return dict(record["left_out"])


HUBER = ("Huber", {"delta": 0.3})
COSINE = ("CosineSimilarity", {"axis": 0})


@pytest.mark.parametrize(
    ("loss", "suffix"),
    [
        (HUBER, ""),
        (COSINE, ".keras"),
        pytest.param(HUBER, ".keras", marks=pytest.mark.slow),
        pytest.param(COSINE, "", marks=pytest.mark.slow),
    ],
)
def test_a_loss_keeps_arguments_that_keras_3_does_not_tell(
    loss: tuple[str, dict[str, Any]], suffix: str, keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """Its configuration in Keras 3 is without them, so a saved model would have the default."""
    del keras3
    name, arguments = loss
    rnn = keras2.Sequential([keras2.Input((5, 1)), keras2.layers.GRU(3)])
    given = {"loss": getattr(keras2.losses, name)(**arguments)}
    rnn.compile("sgd", metrics=[keras2.metrics.CosineSimilarity(axis=0)], **given)

    model = loaded(rnn, tmp_path / f"m{suffix}")

    expected = rnn.evaluate(X[..., None], Y, verbose=0)
    actual = model.evaluate(X[..., None], Y, verbose=0)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


METRICS = {
    "mse": lambda k: ("mse", k.metrics.MeanSquaredError(name="other"), k.metrics.Poisson()),
    "logcosh": lambda k: (k.metrics.CosineSimilarity("other", axis=0), "cosine_similarity"),
    "binary_crossentropy": lambda k: (
        k.metrics.MeanMetricWrapper(k.metrics.binary_accuracy, threshold=0.7),
        k.metrics.BinaryCrossentropy(label_smoothing=0.1),
    ),
}


@pytest.mark.parametrize("loss", METRICS)
def test_metrics_are_those_of_keras_2(loss: str, keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """Also those that have the name of a loss, which may have another sign."""
    original = dense(keras2, optimizer="sgd", loss=loss, metrics=list(METRICS[loss](keras2)))

    model = loaded(original, tmp_path / "m")

    expected, actual = (each.evaluate(X, Y, verbose=0) for each in (original, model))
    if IS_FIRST_KERAS_3:  # which gives them by name
        expected, actual = sorted(expected), sorted(actual)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    classes = [type(each) for each in model.metrics[1].metrics]
    assert all(issubclass(each, keras3.metrics.Metric) for each in classes)


@pytest.mark.parametrize("name", ["ignored", "loss"])
def test_what_keras_3_lacks_leaves_it_uncompiled(
    name: str, keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """A mean that Keras 3 takes over other numbers; a function of the program."""
    del keras3
    metric = keras2.metrics.SparseCategoricalCrossentropy(ignore_class=0)
    own = {"loss": lambda true, predicted: predicted - true} if name == "loss" else {}
    given = {"loss": "sparse_categorical_crossentropy", "metrics": [metric], **own}
    original = dense(keras2, optimizer="sgd", **given)

    model = loaded(original, tmp_path / "m")

    assert not model.compiled
    assert "compile" in left_out()


def _legacy(name: str, **arguments: Any) -> Any:
    return lambda keras: getattr(keras.optimizers.legacy, name)(0.01, **arguments)


def _recent(name: str, **arguments: Any) -> Any:
    return lambda keras: getattr(keras.optimizers, name)(0.01, **arguments)


OPTIMIZERS = {
    "SGD": _recent("SGD"),
    "SGD with momentum": _recent("SGD", momentum=0.9, nesterov=True),
    "RMSprop": _recent("RMSprop", momentum=0.2, centered=True),
    "Adam": _recent("Adam", amsgrad=True),
    "Adam with averages": _recent("Adam", use_ema=True, ema_momentum=0.7),
    "AdamW": _recent("AdamW", weight_decay=0.1),
    "Adamax": _recent("Adamax"),
    "Adadelta": _recent("Adadelta"),
    "Adagrad": _recent("Adagrad"),
    "Adafactor": _recent("Adafactor"),
    "Ftrl": _recent("Ftrl"),
    "Lion": _recent("Lion"),
    "Nadam": _recent("Nadam"),
    "legacy SGD": _legacy("SGD", momentum=0.9),
    "legacy RMSprop": _legacy("RMSprop", momentum=0.2, centered=True),
    "legacy Adam": _legacy("Adam", amsgrad=True, decay=0.1),
    "legacy Adamax": _legacy("Adamax"),
    "legacy Adadelta": _legacy("Adadelta"),
    "legacy Adagrad": _legacy("Adagrad"),
    "legacy Ftrl": _legacy("Ftrl"),
}
_QUICK = {"Adam with averages", "Adamax", "Nadam", "RMSprop", "legacy Adam", "legacy RMSprop"}


@pytest.mark.parametrize(
    "name",
    [n if n in _QUICK else pytest.param(n, marks=pytest.mark.slow) for n in OPTIMIZERS],
)
def test_training_goes_on_where_it_stopped(
    name: str, keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """With the whole state of the optimizer: two more steps are those that Keras 2 takes."""
    del keras3
    original = dense(keras2, optimizer=OPTIMIZERS[name](keras2), loss="mse")
    original.fit(X, Y, epochs=3, verbose=0, shuffle=False)

    model = loaded(original, tmp_path / "m")

    assert left_out() == {}
    assert np.asarray(model.optimizer.iterations) == 3
    for each in (original, model):
        each.fit(X, Y, epochs=2, verbose=0, shuffle=False)
    for expected, actual in zip(original.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_a_state_that_is_not_whole_is_left_out(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """With its count of steps: Adam would take the averages of none for those of many."""
    del keras3
    original = dense(keras2, optimizer="adam", loss="mse")
    original.fit(X, Y, verbose=0)
    del original.optimizer._velocities

    model = loaded(original, tmp_path / "m")

    assert left_out() == {"optimizer state": "4 of 8 variables of the state are in the file"}
    assert np.asarray(model.optimizer.iterations) == 0
    assert not any(np.any(each) for each in model.optimizer._momentums)


def test_a_model_that_was_never_trained_lacks_no_state(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    del keras3
    loaded(dense(keras2, optimizer="adam", loss="mse"), tmp_path / "m")

    assert left_out() == {}


@pytest.mark.parametrize("name", ["Nadam", "RMSprop", "Adagrad", "SGD"])
def test_an_optimizer_of_old_that_keras_3_lacks_is_left_out(
    name: str, keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """The arithmetic of some was another, whatever their arguments are now."""
    del keras3
    schedule = keras2.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    arguments: dict[str, Any] = {"SGD": {"learning_rate": schedule, "decay": 0.1}, "Nadam": {}}
    given = arguments.get(name, {"epsilon": 0.1})
    optimizer = getattr(keras2.optimizers.legacy, name)(**given)

    model = loaded(dense(keras2, optimizer=optimizer, loss="mse"), tmp_path / "m")

    assert not model.compiled
    assert left_out()["compile"].startswith(f"'{name}' of class {name}: ")


def test_slots_are_those_of_the_weights_that_they_are_named_after(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """Optimizers list them in the order in which the program trained the weights."""
    del keras3
    original = dense(keras2, optimizer=keras2.optimizers.Adam(0.01), loss="mse")
    original.optimizer.build(original.trainable_variables[::-1])
    original.fit(X, Y, verbose=0)

    model = loaded(original, tmp_path / "m")

    assert left_out() == {}
    expected = [each.numpy() for each in original.optimizer._velocities[::-1]]
    for theirs, ours in zip(expected, model.optimizer._velocities, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def gated(keras: Any, **arguments: Any) -> Any:
    """Return a compiled model with a hard sigmoid, seeded."""
    layer = keras.layers.Dense(3, "hard_sigmoid", name="gate", **arguments)
    model = seeded(keras.Sequential([keras.Input((5,)), layer]))
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    return model


def test_scaled_weights_train_in_other_steps_and_the_record_says_so(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """Predictions and losses are those of Keras 2."""
    del keras3
    original = gated(keras2)

    model = loaded(original, tmp_path / "m")

    assert "1.2 times as large" in left_out()["training"]
    expected, actual = (each.evaluate(X, Y, verbose=0) for each in (original, model))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


PENALTIES = {"kernel_regularizer": "l2", "bias_regularizer": "l1"}


def test_weights_are_not_scaled_where_their_size_counts(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """In a SavedModel such a layer calls its function: it loses and trains as in Keras 2."""
    del keras3
    original = gated(keras2, **PENALTIES)

    model = loaded(original, tmp_path / "m")

    assert left_out() == {}
    for each in (original, model):
        each.fit(X, Y, epochs=3, verbose=0, shuffle=False)
    expected, actual = (each.evaluate(X, Y, verbose=0) for each in (original, model))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_constraints_of_a_layer_of_functions_are_left_out(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """A SavedModel has no functions of them."""
    del keras3

    loaded(gated(keras2, kernel_constraint=keras2.constraints.MaxNorm(0.5)), tmp_path / "m")

    assert "layer 'gate' of class Dense" in left_out()["constraints"]


def test_weights_of_a_file_are_not_scaled_where_their_size_counts(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """A file has no functions."""
    path = tmp_path / "m.h5"
    gated(keras2, **PENALTIES).save(str(path))

    with pytest.raises(MigrationError, match="scaled weights another kernel_regularizer"):
        model_of_hdf5(path, keras3, lambda _: {}, Record())


def test_losses_without_a_weight_count_once(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """Keras 3 wants a weight for each, where any has one."""
    del keras3
    inputs = keras2.Input((5,))
    outputs = {name: keras2.layers.Dense(3, name=name)(inputs) for name in ("one", "two")}
    model = keras2.Model(inputs, outputs)
    model.compile("sgd", {"one": "mse", "two": "mae"}, loss_weights={"two": 0.3})
    ours = loaded(model, tmp_path / "model.h5")
    targets = {"one": Y, "two": Y}
    expected = model.evaluate(X, targets, verbose=0, return_dict=True)["loss"]

    assert ours.evaluate(X, targets, verbose=0, return_dict=True)["loss"] == pytest.approx(expected)
    assert ours.train_on_batch(X, targets, return_dict=True)["loss"] == pytest.approx(expected)
