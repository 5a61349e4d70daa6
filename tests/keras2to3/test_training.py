"""What training needs: losses, metrics and the state of the optimizer, as Keras 2 has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.loading.plan import migration_record
from fastload.twin.reader import Twin

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


@pytest.mark.parametrize("suffix", ["", ".keras"])
@pytest.mark.parametrize("loss", [("Huber", {"delta": 0.3}), ("CosineSimilarity", {"axis": 0})])
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
