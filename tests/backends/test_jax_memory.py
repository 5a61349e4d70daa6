"""Where the weights of a model on JAX lie, and what is done with that memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastload
from tests.backends.conftest import mapped_file

jax = pytest.importorskip("jax")


@pytest.fixture(autouse=True)
def on_jax(backend: str) -> None:
    """Skip where Keras runs on another backend."""
    if backend != "jax":
        pytest.skip("it is about JAX")


def told(model: Any) -> list[Any]:
    return [
        (v.value.dtype, v.value.shape, v.value.weak_type, v.value.committed, str(v.value.sharding))
        for v in model.variables
    ]


def test_weights_lie_in_the_twin(small: Path, hit: Callable[..., Any]) -> None:
    model = hit(small)
    report = fastload.last_load()
    assert report is not None
    places = {mapped_file(w.value.unsafe_buffer_pointer()) for w in model.weights}

    assert places == {str(report.twin)}


def test_arrays_are_those_of_stock(keras: Any, small: Path, hit: Callable[..., Any]) -> None:
    stock, ours = keras.models.load_model(small), hit(small)

    assert told(ours) == told(stock)


def test_a_donated_weight_leaves_the_twin_alone(small: Path, hit: Callable[..., Any]) -> None:
    """JAX may compute in the memory of a donated array, but not in memory that it was lent."""
    model = hit(small)
    kernel = model.weights[0].value
    address, nbytes = kernel.unsafe_buffer_pointer(), kernel.nbytes
    before = ctypes.string_at(address, nbytes)
    result = jax.jit(lambda x: x * 2.0 + 1.0, donate_argnums=0)(kernel).block_until_ready()

    assert kernel.is_deleted()
    assert result.unsafe_buffer_pointer() != address
    assert ctypes.string_at(address, nbytes) == before


def test_a_load_inside_of_a_transformation_is_left_to_stock(small: Path) -> None:
    seen = []

    def load(x: Any) -> Any:
        fastload.load_model(small, compile=False)
        seen.append(fastload.last_load())
        return x

    jax.jit(load)(1.0)

    assert seen[0].reason == "the load is inside a JAX transformation"
