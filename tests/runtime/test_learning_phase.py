"""Whether layers train by default after a load: before Keras 2.12, a model with dropout decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastload
from tests.small_models import KERAS2_HDF5, SAVED_MODEL, Form, save

tf = pytest.importorskip("tensorflow")


def trains_by_default(keras: Any, load: Callable[[], object]) -> bool:
    """Say what a layer whose `call` has `training=True` is told after *load*."""

    class Probe(keras.layers.Layer):
        def call(self, inputs: Any, training: Any = True) -> Any:
            self.told = training
            return inputs

    keras.backend.clear_session()
    load()
    probe = Probe()
    probe(tf.ones((1, 1)))
    return bool(probe.told)


@pytest.mark.parametrize("form", [SAVED_MODEL, KERAS2_HDF5], ids=lambda form: form.id)
def test_a_load_leaves_the_learning_phase_of_stock(
    form: Form, tmp_path: Path, cache_root: Path
) -> None:
    keras, path = form.stock, tmp_path / f"model{form.suffix}"
    inputs = keras.Input((4,))
    save(keras.Model(inputs, keras.layers.Dropout(0.5)(inputs)), path)
    expected = trains_by_default(keras, lambda: keras.models.load_model(path))

    for _ in range(3):  # the first one that is served asks for it, the others know
        load = lambda: fastload.load_model(path, keras=form.package, strict=True)  # noqa: E731
        assert trains_by_default(keras, load) is expected
