"""What tests of Keras 3 on JAX and PyTorch share. `nox -s backends` sets KERAS_BACKEND for them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastload

OTHERS = ("jax", "torch")
SaveModel = Callable[..., Path]


@pytest.fixture(scope="session")
def backend() -> str:
    """The backend that Keras runs on in this process."""
    name = os.environ.get("KERAS_BACKEND", "")
    if name not in OTHERS:
        pytest.skip("KERAS_BACKEND is neither jax nor torch")
    return name


@pytest.fixture(scope="session")
def keras(backend: str) -> Any:
    """Keras on that backend."""
    module = pytest.importorskip("keras")
    assert module.backend.backend() == backend
    return module


@pytest.fixture
def small(keras: Any, tmp_path: Path, cache_root: Path) -> Path:
    """A trained model in a `.keras` archive (and a `.h5` beside it), and a cache of its own."""
    keras.utils.set_random_seed(1)
    layers = [keras.Input((4,)), keras.layers.Dense(64), keras.layers.Dense(3)]
    model = keras.Sequential(layers)
    model.compile("adam", "mean_squared_error")
    x = keras.random.uniform((8, 4), seed=1)
    model.fit(x, x[:, :3], verbose=0)
    model.save(tmp_path / "small.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras says that HDF5 is of old
        model.save(tmp_path / "small.h5")
    return tmp_path / "small.keras"


@pytest.fixture
def stock(keras: Any) -> Callable[..., Any]:
    """Load a model as Keras does, from a known start."""

    def load(path: Path, **arguments: Any) -> Any:
        keras.backend.clear_session()
        keras.utils.set_random_seed(7)
        return keras.models.load_model(path, **arguments)

    return load


@pytest.fixture
def hit(keras: Any) -> Callable[..., Any]:
    """Load a model from its twin, written before, from the same start."""

    def load(path: Path, **arguments: Any) -> Any:
        fastload.load_model(path, strict=True, **arguments)
        keras.backend.clear_session()
        keras.utils.set_random_seed(7)
        model = fastload.load_model(path, strict=True, **arguments)
        report = fastload.last_load()
        assert report is not None
        assert report.outcome.value == "hit"
        return model

    return load


def mapped_file(address: int) -> str:
    """Return the path of the file that is mapped at *address*, or an empty text."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("this system does not tell what is mapped where")
    for line in maps.read_text().splitlines():
        span, *others = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in span.split("-"))
        if start <= address < end:
            return others[4] if len(others) > 4 else ""
    return ""
