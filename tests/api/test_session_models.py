"""Predictors of SavedModels that TensorFlow 1 wrote."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

import fastload
from tests.contract import saved_objects
from tests.session_models import SESSION_MODELS, X, save_session_model

tf = pytest.importorskip("tensorflow")

pytestmark = [
    # TensorFlow's own words on its old interfaces.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def report() -> Any:
    found = fastload.last_load()
    assert found is not None
    return found


def results(loaded: Any, name: str) -> list[Any]:
    function = loaded.signatures["serving_default"]
    found = []
    for each in SESSION_MODELS[name].inputs:
        tensors = {key: tf.constant(value) for key, value in each.items()}
        found.append(saved_objects.told(tf, functools.partial(function, **tensors)))
    return found


@pytest.mark.parametrize("name", sorted(SESSION_MODELS))
def test_predictors_compute_what_stock_computes(
    name: str, tmp_path: Path, cache_root: Path
) -> None:
    """To the bit, from the twin; what has tables or cut variables over stock, with the reason."""
    path = save_session_model(name, tmp_path / "model")
    expected = results(tf.saved_model.load(path), name)
    reason = SESSION_MODELS[name].reason

    for outcome in ("miss", "hit"):
        ours = fastload.load_predictor(path, strict=reason is None)

        assert report().outcome.value == ("bypass" if reason else outcome)
        assert (reason or "") in (report().reason or "")
        assert results(ours, name) == expected


def test_specs_are_those_of_stock(tmp_path: Path, cache_root: Path) -> None:
    path = save_session_model("sparse", tmp_path / "model")
    _, stock = tf.saved_model.load(path).signatures["serving_default"].structured_input_signature

    ours = fastload.load_predictor(path, strict=True)

    assert {n: (s.dtype, s.shape) for n, s in ours.input_specs.items()} == {
        name: (spec.dtype.name, tuple(spec.shape.as_list())) for name, spec in stock.items()
    }


def test_of_several_graphs_the_one_for_serving_is_used(tmp_path: Path, cache_root: Path) -> None:
    path = save_session_model("dense", tmp_path / "model", tags=(("train",), ("serve",)))
    stock = tf.saved_model.load(path, tags=["serve"])

    assert results(fastload.load_predictor(path, strict=True), "dense") == results(stock, "dense")


def test_one_twin_serves_objects_too(tmp_path: Path, cache_root: Path) -> None:
    path = save_session_model("dense", tmp_path / "model")
    fastload.load_predictor(path)

    ours = fastload.load_saved_model(path)

    assert report().outcome.value == "hit"
    assert results(ours, "dense") == results(tf.saved_model.load(path), "dense")


def test_warm_makes_it_ready_for_predictors(tmp_path: Path, cache_root: Path) -> None:
    path = save_session_model("dense", tmp_path / "model")

    warmed = fastload.warm(path)
    ours = fastload.load_predictor(path, strict=True)

    assert warmed.outcome.value == "miss"
    assert report().outcome.value == "hit"
    assert ours(X)["same"].shape == (2, 2)
