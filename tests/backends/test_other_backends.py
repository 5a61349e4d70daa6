"""Keras 3 without TensorFlow: served from the twin, in the same words where it is not."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.api.against_stock import verify_against_stock
from fastload.errors import UnsupportedRuntimeError
from fastload.runtime import internals
from fastload.runtime.core.keras import configured_backend, needs_no_tensorflow
from tests.conftest import RunPython

LOAD = """
import sys, fastload
model = fastload.load_model(sys.argv[1], strict=True)
print(fastload.last_load().outcome.value, type(model).__module__, "tensorflow" in sys.modules)
"""
UNDER_HOOKS = """
import sys, keras, fastload
fastload.install()
keras.models.load_model(sys.argv[1])
print(fastload.last_load().outcome.value, "tensorflow" in sys.modules)
"""
NO_TENSORFLOW = "raise RuntimeError('TensorFlow was imported')"


@pytest.fixture
def no_tensorflow(tmp_path: Path) -> str:
    """A search path on which there is a TensorFlow that nobody may import."""
    (tmp_path / "path" / "tensorflow").mkdir(parents=True)
    (tmp_path / "path" / "tensorflow" / "__init__.py").write_text(NO_TENSORFLOW)
    return os.pathsep.join([str(tmp_path / "path"), *os.environ.get("PYTHONPATH", "").split(":")])


def bits(model: Any) -> list[bytes]:
    values = [*model.variables, *model.optimizer.variables]
    return [np.asarray(each).tobytes() for each in values]


@pytest.mark.parametrize(
    ("suffix", "program"), [("keras", LOAD), ("h5", LOAD), ("h5", UNDER_HOOKS)]
)
def test_neither_a_miss_nor_a_hit_imports_tensorflow(
    suffix: str, program: str, small: Path, run_python: RunPython, no_tensorflow: str
) -> None:
    path = small.with_suffix(f".{suffix}")
    told = [run_python(program, path, PYTHONPATH=no_tensorflow) for _ in range(2)]

    assert [line.split()[0] for line in told] == ["miss", "hit"]
    assert {line.split()[-1] for line in told} == {"False"}


def test_each_private_name_of_the_backend_is_found(backend: str, keras: Any) -> None:
    """`tests/runtime/test_requirements.py` looks for all the others."""
    found = [(row.feature.backend, internals.examine(row)) for row in internals.rows()]

    assert internals.State.MISSING not in {state for _, state in found}
    assert {state for name, state in found if name == backend} == {internals.State.FOUND}


def test_a_hit_is_the_model_of_stock(keras: Any, small: Path, hit: Callable[..., Any]) -> None:
    stock, ours = keras.models.load_model(small), hit(small)
    x = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)

    assert type(ours) is type(stock)
    assert bits(ours) == bits(stock)
    assert ours.predict(x, verbose=0).tobytes() == stock.predict(x, verbose=0).tobytes()


def test_training_goes_on_as_after_stock(keras: Any, small: Path, hit: Callable[..., Any]) -> None:
    trained = []
    for model in (keras.models.load_model(small), hit(small)):
        x = np.linspace(-1, 1, 32, dtype="float32").reshape(8, 4)
        model.fit(x, x[:, :3], epochs=2, shuffle=False, verbose=0)
        trained.append(bits(model))

    assert trained[0] == trained[1]


def test_training_leaves_the_twin_and_other_models_alone(
    small: Path, hit: Callable[..., Any]
) -> None:
    first, second = hit(small), hit(small)
    report = fastload.last_load()
    assert report is not None
    assert report.twin is not None
    twin, before = report.twin.read_bytes(), bits(second)
    first.fit(np.ones((8, 4), "f4"), np.ones((8, 3), "f4"), verbose=0)

    assert bits(first) != before
    assert bits(second) == before
    assert bits(hit(small)) == before
    assert report.twin.read_bytes() == twin


def test_a_hit_draws_no_initial_values(
    keras: Any, small: Path, hit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = bits(hit(small))

    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("an initial value was drawn")

    # What initializers call: one whose own code was replaced is called as stock calls it.
    monkeypatch.setattr(importlib.import_module("keras.src.backend").random, "uniform", fail)
    with pytest.raises(AssertionError, match="drawn"):
        keras.initializers.GlorotUniform()((2, 2))

    assert bits(fastload.load_model(small, strict=True)) == expected


def test_what_the_file_has_no_weights_for_starts_as_in_stock(
    keras: Any, tmp_path: Path, cache_root: Path, hit: Callable[..., Any]
) -> None:
    class Forgetful(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            start = keras.initializers.GlorotUniform(seed=3)
            self.w = self.add_weight(shape=(shape[-1], 5), initializer=start)
            mover = keras.initializers.RandomNormal(seed=keras.random.SeedGenerator(5))
            self.v = self.add_weight(shape=(2, 2), initializer=mover)
            self.u = self.add_weight(shape=(2, 2), initializer=mover)

        def call(self, x: Any) -> Any:
            return x @ self.w

        def load_own_variables(self, store: Any) -> None: ...

    model = keras.Sequential([keras.Input((4,)), Forgetful(), keras.layers.Dense(2)])
    model.layers[0].w.assign(keras.ops.ones((4, 5)))
    path = tmp_path / "forgetful.keras"
    model.save(path)
    objects = {"Forgetful": Forgetful}
    stock = keras.models.load_model(path, custom_objects=objects)
    ours = hit(path, custom_objects=objects)

    assert [np.asarray(w).tobytes() for w in ours.weights] == [
        np.asarray(w).tobytes() for w in stock.weights
    ]


def test_initializers_of_users_are_asked_as_ever(
    keras: Any, tmp_path: Path, cache_root: Path, hit: Callable[..., Any]
) -> None:
    """Nobody knows what they draw from."""
    asked = []

    class Own(keras.initializers.Initializer):  # type: ignore[misc]
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            asked.append(tuple(shape))
            return keras.ops.ones(shape, dtype=dtype)

        def get_config(self) -> dict[str, Any]:
            return {}

    layer = keras.layers.Dense(2, kernel_initializer=Own())
    path = tmp_path / "own.keras"
    keras.Sequential([keras.Input((4,)), layer]).save(path)
    asked.clear()
    hit(path, custom_objects={"Own": Own})

    assert asked == [(4, 2), (4, 2)]


def test_a_predictor_is_refused_with_the_reason(backend: str, small: Path) -> None:
    with pytest.raises(UnsupportedRuntimeError) as refused:
        fastload.load_predictor(small)

    message = f"a predictor needs TensorFlow, and Keras runs on {backend}"
    assert refused.value.explanation() == message


@pytest.mark.parametrize(
    ("arguments", "what"),
    [({"memory_budget": "1GiB"}, "lending weights"), ({"device": "/CPU:0"}, "device=")],
)
def test_what_stock_cannot_do_either_is_refused(
    arguments: dict[str, Any], what: str, backend: str, small: Path
) -> None:
    with pytest.raises(UnsupportedRuntimeError) as refused:
        fastload.load_model(small, **arguments)

    message = f"{what} needs TensorFlow, and Keras runs on {backend}"
    assert refused.value.explanation() == message


def test_lazy_weights_without_a_budget_are_stocks(backend: str, small: Path) -> None:
    model = fastload.load_model(small, weights="lazy")
    report = fastload.last_load()

    assert report is not None
    assert report.reason == f"lending weights needs TensorFlow, and Keras runs on {backend}"
    assert type(model).__name__ == "Sequential"


def test_a_twin_is_verified(small: Path) -> None:
    found = verify_against_stock(small)

    assert found.is_verified
    assert found.outputs_compared == 1


def test_warming_writes_the_twin(small: Path, cache_root: Path) -> None:
    assert fastload.warm(small).outcome.value == "miss"
    fastload.load_model(small, strict=True)

    report = fastload.last_load()
    assert report is not None
    assert report.outcome.value == "hit"


def test_the_choice_of_a_backend_is_foreseen(
    run_python: RunPython, tmp_path: Path, no_tensorflow: str
) -> None:
    """By the variable, or by Keras's own file, as Keras itself does."""
    program = (
        "import os; from fastload.runtime.core.keras import *;"
        "print(configured_backend(os.environ), needs_no_tensorflow(os.environ))"
    )
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    asked = [{"KERAS_BACKEND": "jax"}, {"KERAS_BACKEND": ""}, {"KERAS_BACKEND": "tensorflow"}]
    home = {"KERAS_HOME": str(tmp_path), "PYTHONPATH": no_tensorflow}
    told = [run_python(program, **home, **each) for each in asked]

    assert told == ["jax True", "torch True", "tensorflow False"]


def test_keras_that_runs_is_asked_first(keras: Any, backend: str) -> None:
    assert configured_backend({"KERAS_BACKEND": "tensorflow"}) == backend
    assert needs_no_tensorflow({})
