"""`load_weights` on JAX and PyTorch: the memory of the twin, and the bits of stock."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from tests.backends.conftest import mapped_file

_OLD_NS = 1_500_000_000_000_000_000
SUFFIXES = (".weights.h5", ".weights.json", ".keras")


def made(keras: Any, seed: int) -> Any:
    """Make a compiled model whose variables have values of their own."""
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((4,)), keras.layers.Dense(64), keras.layers.BatchNormalization()]
    model = keras.Sequential([*layers, keras.layers.Dense(3)])
    model.compile("adam", "mean_squared_error")
    model.optimizer.build(model.trainable_variables)
    return model


def bytes_of(values: Any) -> bytes:
    return np.ascontiguousarray(values).tobytes()


def bits(model: Any) -> list[bytes]:
    found = [each.numpy() for each in (*model.variables, *model.optimizer.variables)]
    return [bytes_of(each) for each in found]


@pytest.fixture(params=SUFFIXES)
def path(request: pytest.FixtureRequest, keras: Any, tmp_path: Path, cache_root: Path) -> Path:
    """Weights of such a model, older than this process."""
    found = tmp_path / f"file{request.param}"
    model = made(keras, 1)
    if request.param == ".weights.json":
        model.save_weights(found, max_shard_size=1)
    else:
        model.save(found) if request.param == ".keras" else model.save_weights(found)
    for each in tmp_path.glob("file*"):
        os.utime(each, ns=(_OLD_NS, _OLD_NS))
    return found


@pytest.fixture
def load(path: Path) -> Callable[[Any], None]:
    """Load from the twin, which is there."""
    fastload.warm(path)

    def load(model: Any) -> None:
        fastload.load_weights(model, path, strict=True)
        assert fastload.last_load().outcome.value == "hit"

    return load


def test_weights_and_training_are_those_of_stock(
    keras: Any, path: Path, load: Callable[[Any], None]
) -> None:
    expected, model = made(keras, 2), made(keras, 2)
    expected.load_weights(path)
    load(model)
    assert bits(model) == bits(expected)
    x = np.linspace(-1, 1, 32, dtype="float32").reshape(8, 4)
    for each in (expected, model):
        each.fit(x, x[:, :3], shuffle=False, verbose=0)
    assert bits(model) == bits(expected)
    again = made(keras, 3)
    load(again)
    expected.load_weights(path)
    assert bits(again) == bits(expected)


def test_weights_are_mapped(backend: str, keras: Any, load: Callable[[Any], None]) -> None:
    model = made(keras, 2)
    load(model)
    kernel = model.layers[0].kernel.value
    address = kernel.data_ptr() if backend == "torch" else kernel.unsafe_buffer_pointer()
    assert mapped_file(address) == str(fastload.last_load().twin)


def test_what_fails_leaves_what_stock_leaves(keras: Any, path: Path) -> None:
    """Some layers fit and some do not: same error, same state."""

    def other() -> Any:
        keras.backend.clear_session()
        keras.utils.set_random_seed(5)
        layers = [keras.Input((4,)), keras.layers.Dense(64), keras.layers.BatchNormalization()]
        return keras.Sequential([*layers, keras.layers.Dense(5)])

    fastload.load_weights(made(keras, 2), path, strict=True)
    told = []
    for load in (lambda model: model.load_weights(path), lambda m: fastload.load_weights(m, path)):
        model = other()
        with pytest.raises(ValueError, match="could not be loaded") as raised:
            load(model)
        told.append((str(raised.value), [bytes_of(each.numpy()) for each in model.variables]))
    assert told[0] == told[1]
    assert fastload.last_load().code == "FL105"


def test_memory_that_others_share_is_written(
    backend: str, keras: Any, path: Path, load: Callable[[Any], None]
) -> None:
    """A view of a parameter that a program holds sees the weights, as after stock."""
    if backend != "torch":
        pytest.skip("arrays of JAX never change")
    expected, model = made(keras, 2), made(keras, 2)
    views = [each.layers[0].kernel.value.detach()[:2] for each in (expected, model)]
    expected.load_weights(path)
    load(model)
    assert bytes_of(views[0]) == bytes_of(views[1])
    assert bits(model) == bits(expected)
