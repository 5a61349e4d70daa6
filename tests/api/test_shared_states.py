"""What several signatures of a model share, and what a function of a model must not keep."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.report import Outcome
from tests.small_models import assert_same_arrays

tf = pytest.importorskip("tensorflow")

X = np.linspace(-1, 1, 512, dtype="float32").reshape(8, 64)


def saved(module: Any, path: Path, functions: dict[str, Any]) -> Path:
    tf.saved_model.save(module, str(path), signatures=functions)
    return path


def row(size: int | None = 64) -> Any:
    return tf.TensorSpec([None, size], tf.float32, name="x")


def counting(path: Path) -> Path:
    """Two signatures that change a variable, one that reads it, and one that does not."""
    module = tf.Module()
    module.total, module.weight = tf.Variable(tf.zeros([64])), tf.Variable(X[0])

    @tf.function(input_signature=[row()])
    def add(x: Any) -> Any:
        module.total.assign_add(tf.reduce_sum(x, 0))
        return {"y": module.total + 1}

    @tf.function(input_signature=[row()])
    def reset(x: Any) -> Any:
        module.total.assign(x[0] * 0)
        return {"y": x}

    @tf.function(input_signature=[row()])
    def read(x: Any) -> Any:
        return {"y": x + module.total}

    @tf.function(input_signature=[row()])
    def plain(x: Any) -> Any:
        return {"y": x * module.weight}

    module.functions = [add, reset, read, plain]
    return saved(module, path, {"add": add, "reset": reset, "read": read, "plain": plain})


def of_tensorflow_1(path: Path) -> Path:
    """The same, of a graph for sessions."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        total = v1.get_variable("total", initializer=tf.zeros([64]), use_resource=True)
        weight = v1.get_variable("weight", initializer=X[0], use_resource=True)
        x = v1.placeholder(tf.float32, [None, 64])
        outputs = {
            "add": v1.assign_add(total, tf.reduce_sum(x, 0)) + 1,
            "reset": v1.assign(total, x[0] * 0) * 1,
            "read": x + total,
            "plain": x * weight,
        }
        session.run(v1.global_variables_initializer())
        build = v1.saved_model.build_signature_def
        info = v1.saved_model.build_tensor_info
        builder = v1.saved_model.Builder(str(path))
        signatures = {
            name: build({"x": info(x)}, {"y": info(output)}, "predict")
            for name, output in outputs.items()
        }
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
    return path


@pytest.mark.parametrize("make", [counting, of_tensorflow_1])
@pytest.mark.parametrize("first", ["read", "plain", "add"])
def test_signatures_see_what_others_assign(
    tmp_path: Path, cache_root: Path, make: Callable[[Path], Path], first: str
) -> None:
    """Whichever was asked for when the model was loaded, and from the twin or not."""
    path = make(tmp_path / "m")
    for _ in range(2):
        stock, ours = tf.saved_model.load(str(path)), fastload.load_predictor(path, signature=first)
        for name in ("read", "add", "read", "plain", "add", "reset", "read", "add"):
            expected = stock.signatures[name](x=tf.constant(X))["y"]
            assert_same_arrays([ours.signatures[name](x=X)["y"].numpy()], [expected.numpy()])


def test_a_signature_that_shares_nothing_stays_flat(tmp_path: Path, cache_root: Path) -> None:
    """Its reason is nobody else's."""
    path = counting(tmp_path / "m")
    fastload.load_predictor(path, signature="plain")
    flat = fastload.last_load()
    fastload.load_predictor(path, signature="read")
    other = fastload.last_load()

    assert flat is not None
    assert other is not None
    assert flat.reason is None
    assert other.reason == "another signature may assign to a variable that it reads"


def test_a_variable_without_a_fixed_shape_is_read_as_in_stock(
    tmp_path: Path, cache_root: Path
) -> None:
    """Optimizers put sums into another order where they know more."""
    module = tf.Module()
    module.one = tf.Variable(X[1], shape=[None])
    module.other = tf.Variable(X[2] / 3, shape=tf.TensorShape(None))

    @tf.function(input_signature=[row()])
    def serve(x: Any) -> Any:
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        scaled = (x - mean) * tf.math.rsqrt(variance + 1e-6) * module.one + module.one
        return {"a": (x + module.one) + module.other, "b": scaled}

    module.serve = serve
    path = saved(module, tmp_path / "m", {"serving_default": serve})
    expected = tf.saved_model.load(str(path)).signatures["serving_default"](x=tf.constant(X))
    for _ in range(2):
        found = fastload.load_predictor(path)(X)
        assert_same_arrays(
            [found[name].numpy() for name in "ab"], [expected[name].numpy() for name in "ab"]
        )
    report = fastload.last_load()
    assert report is not None
    assert report.outcome is Outcome.HIT
    assert report.reason == "it reads a variable that was declared without a fixed shape"


def test_what_python_returned_once_is_not_kept(
    tmp_path: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function of Python that has no state to TensorFlow may return something else."""
    if "stateful" not in inspect.signature(tf.numpy_function).parameters:
        pytest.skip("this TensorFlow takes all of them for stateful")
    module, returned = tf.Module(), [3.0]

    @tf.function(input_signature=[row(2)])
    def serve(x: Any) -> Any:
        number = tf.numpy_function(lambda: np.float32(returned[0]), [], tf.float32, stateful=False)
        return {"y": x + number}

    module.serve = serve
    path = saved(module, tmp_path / "m", {"serving_default": serve})
    rows = np.ones((1, 2), "float32")
    for number in (3.0, 5.0):
        returned[0] = number
        assert fastload.load_predictor(path)(rows)["y"].numpy().tolist() == [[number + 1] * 2]


@pytest.mark.parametrize("rows", [3, 70])
def test_predictions_may_be_changed(tmp_path: Path, cache_root: Path, rows: int) -> None:
    """As those of Keras's `predict`."""
    path = counting(tmp_path / "m")
    predictor = fastload.load_predictor(path, signature="plain")
    found = predictor.predict(np.ones((rows, 64), "float32"))
    found = found["y"] if isinstance(found, dict) else found
    again = found.copy()
    found *= 2

    assert_same_arrays([found], [again * 2])
