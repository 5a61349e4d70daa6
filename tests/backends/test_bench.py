"""`fastload bench` where Keras runs on JAX or PyTorch: what it measures, and what it calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastload.bench.measure import bench


def test_a_model_is_measured_against_keras_itself(
    keras: Any, tmp_path: Path, cache_root: Path
) -> None:
    """There is no `tf.keras`, and no predictor, which is a function of TensorFlow."""
    path = tmp_path / "m.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(path)

    (found,) = bench(path, rounds=1).comparisons

    assert (found.function, found.stock_name) == ("load_model", "keras.models.load_model")
    assert found.reason is None
    assert found.stock is not None
    assert found.later is not None
