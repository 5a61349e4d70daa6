"""Where the weights of a model on PyTorch lie, and who writes there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from tests.backends.conftest import mapped_file

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def on_torch(backend: str) -> None:
    """Skip where Keras runs on another backend."""
    if backend != "torch":
        pytest.skip("it is about PyTorch")


def told(model: Any) -> list[Any]:
    tensors = [variable.value for variable in model.variables]
    names = dict.fromkeys(name for name, _ in model.named_parameters())
    looks = [
        (t.dtype, t.stride(), t.requires_grad, t.is_leaf, type(t), t._version) for t in tensors
    ]
    return [list(names), looks, [t.detach().numpy().tobytes() for t in tensors]]


def test_weights_lie_in_the_twin(small: Path, hit: Callable[..., Any]) -> None:
    model = hit(small)
    report = fastload.last_load()
    assert report is not None

    assert {mapped_file(w.value.data_ptr()) for w in model.weights} == {str(report.twin)}


def test_parameters_are_those_of_stock(
    small: Path, stock: Callable[..., Any], hit: Callable[..., Any]
) -> None:
    """The modules hold the very parameters that the variables hold, written to as often."""
    expected, ours = told(stock(small)), hit(small)

    assert told(ours) == expected
    assert {id(p) for p in ours.parameters()} == {id(v.value) for v in ours.variables}


def test_layouts_are_those_of_stock(
    keras: Any,
    tmp_path: Path,
    cache_root: Path,
    stock: Callable[..., Any],
    hit: Callable[..., Any],
) -> None:
    """An orthogonal matrix lies column by column, and computes by other kernels."""
    inputs = keras.Input((5, 4))
    x = keras.layers.LSTM(6)(keras.layers.SimpleRNN(8, return_sequences=True)(inputs))
    start = keras.initializers.Constant(np.ones((6, 3), "f4", order="F"))
    outputs = keras.layers.Dense(3, kernel_initializer=start)(x)
    path = tmp_path / "layouts.keras"
    keras.Model(inputs, outputs).save(path)
    expected = told(stock(path))

    assert told(hit(path)) == expected
    assert any(strides[0] == 1 for _, strides, *_ in expected[1])


def test_writing_in_place_reaches_no_other_model(small: Path, hit: Callable[..., Any]) -> None:
    first, second = hit(small), hit(small)
    before = told(second)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.mul_(2.0).add_(1.0)

    assert told(second) == before
    assert told(hit(small)) == before


def test_an_array_goes_to_one_variable_only(
    keras: Any, tmp_path: Path, cache_root: Path, hit: Callable[..., Any]
) -> None:
    class Twice(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.a = self.add_weight(shape=(64,), initializer="zeros")
            self.b = self.add_weight(shape=(64,), initializer="zeros")

        def call(self, x: Any) -> Any:
            return x

        def load_own_variables(self, store: Any) -> None:
            self.a.assign(store["0"])
            self.b.assign(store["0"])

    model = keras.Sequential([keras.Input((4,)), Twice()])
    model.layers[0].a.assign(np.arange(64.0))
    path = tmp_path / "twice.keras"
    model.save(path)
    layer = hit(path, custom_objects={"Twice": Twice}).layers[0]
    with torch.no_grad():
        layer.a.value.zero_()

    np.testing.assert_array_equal(layer.b.numpy(), np.arange(64.0))


def test_who_looks_at_the_first_value_sees_the_weights(
    keras: Any, tmp_path: Path, cache_root: Path, hit: Callable[..., Any]
) -> None:
    """Stock writes the weights into the parameter's memory, which a layer may have kept."""

    class Watching(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.w = self.add_weight(shape=(64,), initializer="zeros")
            self.seen = [self.w.value.detach()]

        def call(self, x: Any) -> Any:
            return x

    model = keras.Sequential([keras.Input((4,)), Watching()])
    model.layers[0].w.assign(np.arange(64.0))
    path = tmp_path / "watching.keras"
    model.save(path)
    layer = hit(path, custom_objects={"Watching": Watching}).layers[0]

    np.testing.assert_array_equal(layer.seen[0].numpy(), np.arange(64.0))


def test_a_state_dict_goes_out_and_in(small: Path, tmp_path: Path, hit: Callable[..., Any]) -> None:
    first, second = hit(small), hit(small)
    with torch.no_grad():
        next(first.parameters()).add_(1.0)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt"))

    assert told(second)[2] == told(first)[2]


def test_inference_mode_is_left_to_stock(small: Path) -> None:
    with torch.inference_mode():
        fastload.load_model(small, compile=False)
    report = fastload.last_load()

    assert report is not None
    assert report.reason == "PyTorch is in inference mode"


def test_a_restore_that_fails_leaves_no_draw_behind(
    keras: Any, tmp_path: Path, cache_root: Path
) -> None:
    class Drawing(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.drawn = torch.rand(3)
            if self.is_new():
                raise RuntimeError("once")

        def call(self, x: Any) -> Any:
            return x

        is_new = staticmethod(lambda: False)

    path = tmp_path / "drawing.keras"
    keras.Sequential([keras.Input((4,)), Drawing()]).save(path)
    objects = {"Drawing": Drawing}
    torch.manual_seed(5)
    expected = keras.models.load_model(path, custom_objects=objects).layers[0].drawn
    times = iter([True])
    Drawing.is_new = staticmethod(lambda: next(times, False))
    torch.manual_seed(5)
    drawn = fastload.load_model(path, custom_objects=objects).layers[0].drawn

    assert drawn.tolist() == expected.tolist()
