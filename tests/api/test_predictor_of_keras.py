"""`load_predictor` of Keras models, which have no signatures of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.errors import NoFunctionError
from tests.small_models import (
    INPUTS,
    KERAS3_ARCHIVE,
    SAVED_MODEL,
    SavedModel,
    functional_model,
)

tf = pytest.importorskip("tensorflow")


def report() -> Any:
    found = fastload.last_load()
    assert found is not None
    return found


def test_keras_files_compute_what_the_model_computes(model: SavedModel, cache_root: Path) -> None:
    """A predictor gives what the model's call gives in a graph, and what it predicts."""
    stock = model.load_stock()
    expected = tf.function(lambda x: stock(x, training=False))(tf.constant(INPUTS))

    for outcome in ("miss", "hit"):
        ours = fastload.load_predictor(model.path, keras=model.form.package, strict=True)

        assert (report().outcome.value, report().reason) == (outcome, None)  # it is flat
        assert np.array_equal(ours(INPUTS), expected)
        assert np.array_equal(ours.predict(INPUTS), expected)
        assert np.allclose(ours.predict(INPUTS), stock.predict(INPUTS, verbose=0), atol=1e-6)


def test_keras_model_is_the_whole_model(model: SavedModel, cache_root: Path) -> None:
    ours = fastload.load_predictor(model.path, keras=model.form.package)
    if model.form.generation == 3 and not model.form.suffix:
        pytest.skip("Keras 3 opens no SavedModel")

    whole = ours.keras_model()

    assert type(whole).__name__ == type(model.load_stock()).__name__


def test_a_saved_model_of_keras_without_signatures_has_its_model(
    tmp_path: Path, cache_root: Path
) -> None:
    """Saved without traces, it holds no function at all."""
    keras = SAVED_MODEL.stock
    model = functional_model(keras)
    model.save(tmp_path / "model", save_traces=False)
    assert not tf.saved_model.load(str(tmp_path / "model")).signatures

    for outcome in ("miss", "hit"):
        ours = fastload.load_predictor(tmp_path / "model", keras=SAVED_MODEL.package, strict=True)

        assert (report().outcome.value, report().reason) == (outcome, None)  # it is flat
        assert np.array_equal(ours(INPUTS), tf.function(model)(tf.constant(INPUTS)))


def test_a_sequential_model_of_keras_3_takes_its_inputs(
    saved_once: Callable[..., Path], cache_root: Path
) -> None:
    path = saved_once(KERAS3_ARCHIVE, "sequential")
    model = KERAS3_ARCHIVE.stock.models.load_model(path)

    ours = fastload.load_predictor(path, keras="keras", strict=True)

    assert np.allclose(ours.predict(INPUTS), model.predict(INPUTS, verbose=0), atol=1e-6)


def test_a_model_that_does_not_say_what_it_takes_has_no_predictor(
    tmp_path: Path, cache_root: Path
) -> None:
    keras = KERAS3_ARCHIVE.stock

    @keras.saving.register_keras_serializable("tests")
    class Subclassed(keras.Model):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return x * 2.0

    model = Subclassed()
    model(INPUTS)
    model.save(tmp_path / "model.keras")

    assert fastload.warm(tmp_path / "model.keras", keras="keras").outcome.value == "miss"
    with pytest.raises(NoFunctionError, match="load_model"):
        fastload.load_predictor(tmp_path / "model.keras", keras="keras")


def test_a_custom_class_that_changes_changes_the_predictor(
    tmp_path: Path, cache_root: Path
) -> None:
    """Its code is not in the file, so nothing of it is kept."""
    keras = KERAS3_ARCHIVE.stock

    class Scaled(keras.layers.Layer):  # type: ignore[misc, name-defined]
        factor = 2.0

        def call(self, x: Any) -> Any:
            return x * self.factor

    inputs = keras.Input((4,))
    keras.Model(inputs, Scaled()(inputs)).save(tmp_path / "model.keras")
    with keras.utils.custom_object_scope({"Scaled": Scaled}):
        before = fastload.load_predictor(tmp_path / "model.keras", keras="keras", strict=True)
        Scaled.factor = 3.0
        after = fastload.load_predictor(tmp_path / "model.keras", keras="keras", strict=True)

    assert np.array_equal(before(INPUTS), INPUTS * 2.0)
    assert np.array_equal(after(INPUTS), INPUTS * np.float32(3.0))
    assert list(cache_root.glob("*.flat")) == []
    assert report().reason is not None


@pytest.mark.parametrize("name", ["predict", "predict_step"])
def test_a_model_that_predicts_in_a_way_of_its_own_has_no_predictor(
    name: str, tmp_path: Path, cache_root: Path
) -> None:
    """A call gives another thing than `predict` does; a predictor has one function."""
    keras = KERAS3_ARCHIVE.stock

    def hundredfold(self: Any, data: Any, **arguments: Any) -> Any:
        return getattr(super(own, self), name)(data, **arguments) * 100

    own: Any = type("Own", (keras.Model,), {name: hundredfold})
    inputs = keras.Input((4,))
    own(inputs, keras.layers.Dense(2)(inputs)).save(tmp_path / "m.keras")

    with (
        keras.utils.custom_object_scope({"Own": own}),
        pytest.raises(NoFunctionError, match=f"Own has a {name} of its own"),
    ):
        fastload.load_predictor(tmp_path / "m.keras", keras="keras")


@pytest.mark.filterwarnings("ignore:.*keys.*:UserWarning")
def test_inputs_go_by_the_keys_of_the_model(tmp_path: Path, cache_root: Path) -> None:
    """Each may have another name than its key."""
    keras = KERAS3_ARCHIVE.stock
    inputs = {"a": keras.Input((2,), name="b"), "b": keras.Input((2,), name="a")}
    model = keras.Model(inputs, keras.layers.Subtract()([inputs["a"], inputs["b"]]))
    model.save(tmp_path / "m.keras")
    given = {"a": np.full((3, 2), 5, "float32"), "b": np.full((3, 2), 3, "float32")}
    expected = model.predict(given, verbose=0)

    for _ in range(2):
        ours = fastload.load_predictor(tmp_path / "m.keras", keras="keras")
        assert np.array_equal(ours.predict(given), expected)
    assert report().reason is None
