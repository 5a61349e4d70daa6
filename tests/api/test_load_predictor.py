"""`load_predictor` computes what stock computes, without a model."""

from __future__ import annotations

import functools
import gc
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.errors import (
    ModelChangedError,
    NoSuchSignatureError,
    UnsupportedRequestError,
)
from fastload.fleet.ref import _shared
from tests.contract import saved_objects
from tests.saved_modules import MODULES, save_module
from tests.signature_modules import SIGNED, Inputs, X, save_signed

tf = pytest.importorskip("tensorflow")


def report() -> Any:
    found = fastload.last_load()
    assert found is not None
    return found


def told(act: Callable[[], Any]) -> Any:
    """Return what *act* returns, with lists for tensors, or the class of what it raises."""
    found = saved_objects.told(tf, act)
    return found[0] if isinstance(found, tuple) and str(found[0]).endswith("Error") else found


def results(loaded: Any, inputs: Sequence[Inputs]) -> list[Any]:
    """Return what the signature gives for each of *inputs*, one after the other."""
    function = loaded.signatures["serving_default"]
    tf.random.set_seed(1)
    return [told(functools.partial(function, **each)) for each in inputs]


@pytest.mark.parametrize("name", sorted(SIGNED))
def test_signatures_compute_what_stock_computes(
    name: str, tmp_path: Path, cache_root: Path
) -> None:
    """Miss and hit, flat or over real variables: the same bits and errors, call after call."""
    path, signed = save_signed(name, tmp_path / "model"), SIGNED[name]

    for outcome in ("miss", "hit"):
        expected = results(tf.saved_model.load(path), signed.inputs)
        found = results(fastload.load_predictor(path, strict=True), signed.inputs)

        assert report().outcome.value == outcome
        assert (signed.reason or "") in (report().reason or "")
        assert bool(report().reason) == bool(signed.reason), report().reason
        assert found == expected


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"callable", "checkpoint"}))
def test_predictors_of_any_module_compute_what_stock_computes(
    name: str, tmp_path: Path, cache_root: Path
) -> None:
    """Tables and other state included; where no twin can serve, over the stock loader's object."""
    path = save_module(name, tmp_path / "model")
    expected = saved_objects.signature_results(tf, tf.saved_model.load(path).signatures)

    for _ in ("miss", "hit"):
        assert saved_objects.predictor_results(tf, fastload.load_predictor(path)) == expected


def test_state_is_the_predictors_own(tmp_path: Path, cache_root: Path) -> None:
    path = save_signed("counter", tmp_path / "model")
    one, other = fastload.load_predictor(path), fastload.load_predictor(path)

    results = [one(X), one(X), other(X)]

    assert [np.asarray(r["output_0"])[0, 0] for r in results] == [1.0, 2.0, 1.0]


def test_threads_share_a_predictor(dense: str) -> None:
    ours = fastload.load_predictor(dense, strict=True)
    expected = np.asarray(ours(X)["y"])

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: np.asarray(ours(X * 1.0)["y"]), range(200)))

    assert all(np.array_equal(each, expected) for each in found)


def test_functions_go_with_their_predictor(dense: str) -> None:
    """A process that loads predictors all day keeps none of their functions."""
    from tensorflow.python.eager import context as eager

    def names() -> set[str]:
        return {
            name for name in map(str, eager.context().list_function_names()) if "fastload_" in name
        }

    before = names()  # predictors of pickles are shared, and kept
    one, other = fastload.load_predictor(dense), fastload.load_predictor(dense)
    assert names() > before
    del one
    gc.collect()
    assert other(X)
    del other
    gc.collect()
    assert names() == before


def test_a_closed_predictor_says_so(dense: str) -> None:
    with fastload.load_predictor(dense) as ours:
        assert ours(X)

    with pytest.raises(ValueError, match="closed"):
        ours(X)
    with pytest.raises(ValueError, match="closed"):
        ours.signatures["serving_default"](x=X)


def test_a_pickle_refers_to_the_model(dense: str, cache_root: Path) -> None:
    """Another process gets the predictor again; its pickle holds no weights."""
    ours = fastload.load_predictor(dense, strict=True)
    content = pickle.dumps(ours)
    program = (
        "import pickle, sys, numpy as np\n"
        "ours = pickle.loads(sys.stdin.buffer.read())\n"
        f"print(np.asarray(ours(np.array({X.tolist()}, 'float32'))['y']).tolist())"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], input=content, capture_output=True, check=True
    )

    assert len(content) < 1000
    assert found.stdout.decode().strip() == str(np.asarray(ours(X)["y"]).tolist())


def test_a_pickle_of_version_0_1_opens(dense: str) -> None:
    """It names a module that has moved since."""
    arguments = (dense, None, None, "auto", "auto", False, None, None)
    content = b"cfastload.predicting\n_reopen\n" + pickle.dumps(arguments, protocol=0)[:-1] + b"R."

    found = pickle.loads(content)

    assert (
        np.asarray(found(X)["y"]).tolist()
        == np.asarray(fastload.load_predictor(dense)(X)["y"]).tolist()
    )


def test_a_pickle_is_of_the_model_that_it_was_made_of(
    dense: str, tmp_path: Path, cache_root: Path
) -> None:
    """Where another one is at its path, from the twin; without a twin, it is refused."""
    ours = fastload.load_predictor(dense)
    content = pickle.dumps(ours)
    shutil.rmtree(dense)
    save_signed("loop", Path(dense))

    assert np.asarray(pickle.loads(content)(X)["y"]).tolist() == np.asarray(ours(X)["y"]).tolist()
    shutil.rmtree(cache_root)
    _shared.clear()
    with pytest.raises(ModelChangedError, match="has changed since it was referred to, or pickled"):
        pickle.loads(content)


def test_an_unknown_signature_is_told_with_those_there_are(dense: str) -> None:
    for strict in (False, True):
        with pytest.raises(NoSuchSignatureError, match="serving_default"):
            fastload.load_predictor(dense, "train", strict=strict)


def test_a_model_without_signatures_says_so(tmp_path: Path, cache_root: Path) -> None:
    path = save_module("checkpoint", tmp_path / "model")

    with pytest.raises(NoSuchSignatureError, match="no signatures"):
        fastload.load_predictor(path)


def test_specs_say_what_it_takes_and_gives(dense: str) -> None:
    ours = fastload.load_predictor(dense)

    assert {n: str(s) for n, s in ours.input_specs.items()} == {"x": "float32 of shape (?, 2)"}
    assert set(ours.output_specs) == {"y", "half"}
    assert "serving_default" in repr(ours)
    assert "float32 of shape (?, 2)" in repr(ours)


def test_predict_cuts_rows_into_batches(dense: str) -> None:
    rows = np.repeat(X, 40, axis=0)
    ours = fastload.load_predictor(dense)

    expected = np.asarray(ours(rows)["y"])

    assert np.array_equal(ours.predict(rows)["y"], expected)
    assert np.array_equal(ours.predict(tf.constant(rows), batch_size=7)["y"], expected)
    assert np.array_equal(ours.predict({"x": rows.tolist()}, batch_size=1000)["y"], expected)


def test_rows_that_do_not_fill_the_last_batch_are_refused_before_the_first(
    tmp_path: Path, cache_root: Path
) -> None:
    """The function may keep a state, which would have moved on."""
    module = tf.Module()
    module.calls = tf.Variable(0.0)
    specs = [tf.TensorSpec([2, 1], tf.float32, name="x")]
    module.serve = tf.function(lambda x: {"y": x * module.calls.assign_add(1.0)}, specs)
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.serve)
    ours = fastload.load_predictor(tmp_path / "m")

    with pytest.raises(
        ValueError, match=r"takes float32 of shape \(2, 1\); it was given shape \(1, 1\)"
    ):
        ours.predict(np.ones((3, 1), "float32"))
    assert ours.predict(np.ones((4, 1), "float32"))["y"].ravel().tolist() == [1.0, 1.0, 2.0, 2.0]


def test_a_disabled_fastload_predicts_over_stock(
    dense: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = np.asarray(fastload.load_predictor(dense)(X)["y"])
    monkeypatch.setenv("FASTLOAD_DISABLE", "1")

    ours = fastload.load_predictor(dense)

    assert report().outcome.value == "bypass"
    assert np.array_equal(ours(X)["y"], expected)


@pytest.mark.parametrize("device", ["GPU:7", "/CPU:9", "nonsense"])
def test_a_device_that_is_not_there_is_an_error(dense: str, device: str) -> None:
    with pytest.raises(ValueError, match=device):
        fastload.load_predictor(dense, device=device)


@pytest.mark.parametrize("device", ["CPU:0", "/cpu:0", "/device:CPU:0"])
def test_a_device_that_is_there_is_used(dense: str, device: str) -> None:
    ours = fastload.load_predictor(dense, device=device, strict=True)

    assert ours(X)["y"].device.endswith("/device:CPU:0")


def test_a_graph_is_no_place_for_a_predictor(dense: str) -> None:
    ours = fastload.load_predictor(dense)

    with pytest.raises(TypeError, match="load_saved_model"):
        tf.function(lambda x: ours(x)["y"])(tf.constant(X))


def test_strict_raises_what_keeps_a_twin_from_serving(
    dense: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tf.Graph().as_default(), pytest.raises(UnsupportedRequestError):
        fastload.load_predictor(dense, strict=True)
