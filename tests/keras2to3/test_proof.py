"""What a proof has to see: masks that mask something, dtypes, states; and what it must leave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.errors import RestoreError
from fastload.keras2to3.masks import PASS_ON
from tests.keras2to3.conftest import seeded

tf = pytest.importorskip("tensorflow")

Make = Callable[[Any], Any]


def saved(model: Any, path: Path) -> Path:
    model.save(str(path), **({} if path.suffix else {"save_format": "tf"}))
    return path


def migrated(path: Path) -> tuple[Any, str | None]:
    """Return the model that fastload makes of a Keras 2 file, and why it was not proved."""
    model = fastload.load_model(path, keras="keras", strict=True)
    report = fastload.last_load()
    assert report is not None
    return model, report.reason


def after(keras: Any, layer: Any) -> Any:
    """Return a model of numbers and of indices, which come second: none of them is 0 by chance."""
    numbers, indices = keras.Input((1,)), keras.Input((5,), dtype="int32")
    steps = layer(keras.layers.Embedding(200, 3, mask_zero=True)(indices))
    outputs = keras.layers.Concatenate()([numbers, keras.layers.LSTM(4)(steps)])
    return seeded(keras.Model([numbers, indices], outputs))


def computed(keras: Any, *between: Any) -> Any:
    """Return a sequential model whose steps are masked by what a layer computes."""
    first = [keras.Input((3, 2)), keras.layers.Rescaling(1.0, -1.0), keras.layers.Masking(-1.0)]
    return seeded(keras.Sequential([*first, *between, keras.layers.LSTM(2)]))


def rescaled(keras: Any) -> Any:
    return after(keras, keras.layers.Rescaling(2.0, 0.5))


def rescaled_and_computed(keras: Any) -> Any:
    return computed(keras, keras.layers.Rescaling(3.0, 0.5))


@pytest.mark.parametrize("make", [rescaled, rescaled_and_computed])
def test_what_passes_masks_on_in_keras_3_alone_is_rejected(
    make: Make, keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """Whether or not a made-up input has steps that are masked."""
    if not keras3.layers.Rescaling(1.0).supports_masking:
        pytest.skip("this Keras masks as Keras 2 did")
    path = saved(make(keras2), tmp_path / "m.h5")

    with pytest.raises(RestoreError, match=r"differ from the original's|passes another mask on"):
        migrated(path)


def test_the_list_of_layers_that_pass_masks_on_is_whole(keras2: Any, keras3: Any) -> None:
    found, compared = set(), 0
    for name in dir(keras3.layers):
        kinds = getattr(keras3.layers, name), getattr(keras2.layers, name, None)
        try:
            in_3, in_2 = (kind().supports_masking for kind in kinds)
        except Exception:
            continue  # it is no layer of both, or has to be given something
        compared += 1
        found |= {name} if in_3 and not in_2 else set()

    assert compared > 40
    assert found | {"Rescaling"} <= PASS_ON


def test_masks_that_nothing_told_are_not_proved(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """It is right here; that is not known."""
    del keras3
    original = computed(keras2, keras2.layers.Dense(3))
    model, reason = migrated(saved(original, tmp_path / "m.h5"))
    steps = np.array([[[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]], "float32")

    assert reason is not None
    assert "it masks steps, and none of the generated inputs has such a step" in reason
    np.testing.assert_allclose(model.predict(steps), original.predict(steps), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_layer_of_functions_passes_masks_on_where_it_did(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    del keras3

    class Own(keras2.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self, **others: Any) -> None:
            super().__init__(**others)
            self.supports_masking = True

        def call(self, inputs: Any) -> Any:
            return inputs * 2.0

    original = after(keras2, Own())
    model, reason = migrated(saved(original, tmp_path / "m"))
    values = [np.ones((1, 1), "float32"), np.array([[3, 5, 0, 0, 0]], "int32")]

    assert reason is None
    np.testing.assert_allclose(model.predict(values), original.predict(values), rtol=1e-5)


def test_what_a_proof_runs_changes_no_weight(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """A layer may count its calls."""
    del keras3

    class Counter(keras2.layers.Layer):  # type: ignore[misc, name-defined]
        def build(self, _: Any) -> None:
            self.calls = self.add_weight(
                name="calls", shape=(), initializer="zeros", trainable=False
            )

        def call(self, inputs: Any) -> Any:
            self.calls.assign_add(1.0)
            return inputs * self.calls

    inputs = keras2.Input((2,))
    path = saved(keras2.Model(inputs, Counter()(inputs)), tmp_path / "m")
    ones = np.ones((1, 2), "float32")

    for _ in range(2):
        model, reason = migrated(path)
        assert reason is None
        assert [float(model.predict(ones)[0, 0]) for _ in range(3)] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("suffix", [pytest.param("", marks=pytest.mark.slow), ".h5"])
def test_the_state_of_a_recurrent_layer_is_kept(
    suffix: str, keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """HDF5 files of Keras 2 hold none."""
    del keras3
    inputs = keras2.Input(batch_shape=(2, 5, 3))
    rnn = keras2.layers.GRU(2, stateful=True)
    if not suffix:  # early versions of Keras 3 do not open its archives
        rnn = keras2.layers.Bidirectional(rnn)
    original = seeded(keras2.Model(inputs, rnn(inputs)))
    steps = np.ones((2, 5, 3), "float32")
    original.predict(steps)
    path = saved(original, tmp_path / f"m{suffix}")
    if suffix:
        original.reset_states()
    expected = [original.predict(steps) for _ in range(2)]

    model, _ = migrated(path)

    np.testing.assert_allclose([model.predict(steps) for _ in range(2)], expected, rtol=1e-5)


def test_sums_of_narrow_integers_stay_narrow(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """They go round where they are too large, as in TensorFlow."""
    del keras3
    dtypes = ["uint8", "int8", "int16", "int32"]
    inputs = [keras2.Input((4,), dtype=dtype) for dtype in dtypes]
    functions = [tf.reduce_sum, tf.reduce_prod]
    original = keras2.Model(inputs, [run(each, axis=1) for run in functions for each in inputs])
    model, reason = migrated(saved(original, tmp_path / "m.h5"))
    large = [np.full((1, 4), np.iinfo(dtype).max - 55, dtype) for dtype in dtypes]

    assert reason is None
    for expected, found in zip(original(large), model(large), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
