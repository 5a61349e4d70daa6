"""`bench`: stock against fastload on a model of one's own, in processes of its own."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

import fastload
from fastload.bench.measure import bench
from fastload.bench.profile import REST, profile_load
from fastload.bench.rehearsal import Rehearsed
from fastload.cache.stats import stock_seconds
from fastload.errors import MeasurementError, MissingTensorFlowError, UnsupportedSourceError
from tests.conftest import SavedOnce
from tests.small_models import KERAS2_HDF5, KERAS3_ARCHIVE, SAVED_MODEL, SavedModel

from .conftest import Cli, Twins, document_of

STATES = ("stock", "first", "later")


@pytest.fixture(scope="module", autouse=True)
def needs_tensorflow() -> None:
    pytest.importorskip("tensorflow")


def check_comparison(found: dict[str, Any], rounds: int) -> None:
    """See that a document has what a comparison of equals has."""
    assert found["outputs_compared"] is True
    assert found["uncompared"] is found["reason"] is found["refusal"] is None
    for state in STATES:
        timing = found[state]
        assert len(timing["loads_s"]) == len(timing["processes_s"]) == rounds
        assert 0 < timing["load_s"] < timing["process_s"]
        assert timing["import_s"] + timing["load_s"] + timing["predict_s"] < timing["process_s"]
        assert timing["peak_bytes"] > 50 * 2**20
    assert found["load_ratio"] == pytest.approx(found["stock"]["load_s"] / found["later"]["load_s"])


@pytest.mark.slow
def test_a_model_of_one_s_own_is_measured(
    cli: Cli, twins: Twins, saved_once: SavedOnce, tmp_path: Path
) -> None:
    """In words, as JSON and as a page; the user's cache learns what stock takes, and no more."""
    path, keras = saved_once(KERAS3_ARCHIVE), KERAS3_ARCHIVE.package
    fastload.warm(path, keras="keras")
    before = sorted(each.name for each in twins.cache.root.rglob("*"))
    report = tmp_path / "report.html"
    words = ("bench", path, "--rounds", 1, "--keras", keras, "--function", "load_model")
    result = cli(*words, "--html", report, "--json")

    assert result.exit_code == 0, result.output
    (found,) = document_of(result)["functions"]
    check_comparison(found, rounds=1)
    assert found["stock_loader"] == "keras.models.load_model"
    assert {state: sum(found["profile"][state].values()) > 0 for state in STATES} == dict.fromkeys(
        STATES, True
    )
    assert "<svg" in report.read_text(encoding="utf-8")
    after = {each.name for each in twins.cache.root.rglob("*")}
    (noted,) = after - set(before)
    (entry,) = twins.cache.root.glob("*.stock.json")
    assert noted == entry.name
    fastload.load_model(path, keras="keras")
    last = fastload.last_load()
    assert last is not None
    assert last.stock_seconds == pytest.approx(found["stock"]["load_s"], abs=1e-5)


def test_it_says_that_nothing_is_brought_before_anything_is_measured(
    cli: Cli, saved_once: SavedOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what a load decides by; with its code, and with exit status 0."""
    monkeypatch.setenv("FASTLOAD_DISABLE", "1")
    result = cli("bench", saved_once(KERAS3_ARCHIVE), "--function", "load_model")

    assert result.exit_code == 0
    assert (
        "fastload brings nothing here: every load goes to the stock loader, because "
        "FASTLOAD_DISABLE is set [FL206]."
    ) in result.stdout.splitlines()


def test_what_nothing_opens_is_an_error(cli: Cli, cache_root: Path, tmp_path: Path) -> None:
    """It said that stock loads it, and ended with 0: the archive has no configuration."""
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
    result = cli("bench", path, "--function", "load_model")

    assert result.exit_code == 1
    assert "[FL402]" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("words", [("/no/such/model",), ("/no/such/model", "--json")])
def test_a_path_without_a_model_is_an_error(cli: Cli, words: tuple[str, ...]) -> None:
    """At once, and without a traceback."""
    result = cli("bench", *words)

    assert result.exit_code == 1
    assert "FL201" in result.output
    assert "Traceback" not in result.output


def test_a_function_that_loads_no_such_model_is_an_error(cli: Cli, saved_once: SavedOnce) -> None:
    """It said nothing at all, and ended with 0."""
    result = cli("bench", saved_once(KERAS3_ARCHIVE), "--function", "load_saved_model")

    assert result.exit_code == 1
    assert "is not a SavedModel; measure load_model or load_predictor" in result.stderr


def test_no_rounds_are_no_measurement(cli: Cli) -> None:
    assert cli("bench", "m.keras", "--rounds", 0).exit_code == 2


def test_a_page_needs_a_folder_before_anything_is_measured(cli: Cli, tmp_path: Path) -> None:
    result = cli("bench", "/no/such/model", "--html", tmp_path / "none" / "report.html")

    assert result.exit_code == 2
    assert "Invalid value for --html: there is no folder" in result.output


def test_other_outputs_are_not_counted() -> None:
    """A figure of a load that computes something else says nothing."""
    from fastload.bench.job import Told

    rehearsed = Rehearsed(function="load_model", digest="ab")

    assert rehearsed.check(Told(digest="ab")).digest == "ab"
    with pytest.raises(MeasurementError, match=r"a process .hit. predicted other bytes"):
        rehearsed.check(Told(digest="cd", outcome="hit"))


@pytest.mark.slow
def test_a_load_is_taken_apart(saved_once: SavedOnce) -> None:
    """Stock's and ours; each adds up, and what takes time in each is what should."""
    path = saved_once(SAVED_MODEL)
    profile = fastload.profile_load(path, keras=SAVED_MODEL.package)  # type: ignore[arg-type]

    assert profile.refusal is profile.reason is None
    assert set(profile.stock) >= {"parse", "functions", "tracing", "restore", "python"}
    for phase in ("parse", "functions", "tracing", "initialisation", "restore", "compile"):
        assert profile.stock[phase] > 0, phase
    assert list(profile.first) == ["detect", "identify", "twin", "restore", REST]
    assert set(profile.later) == set(profile.first)
    assert profile.first["twin"] > profile.later["twin"]


def test_a_load_that_is_not_served_is_not_taken_apart(
    saved_once: SavedOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTLOAD_DISABLE", "1")
    profile = profile_load(saved_once(KERAS3_ARCHIVE), keras="keras")

    assert (profile.code, profile.stock, profile.later) == ("FL206", {}, {})


def test_what_has_to_be_there_is_asked_for_before_any_process_is_started(
    saved_once: SavedOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model, such a function, and the Keras."""
    with pytest.raises(UnsupportedSourceError):
        profile_load("/no/such/model")
    monkeypatch.setattr("fastload.bench.ground.find_spec", lambda _: None)
    with pytest.raises(MissingTensorFlowError, match="needs keras, which is not installed"):
        profile_load(saved_once(KERAS3_ARCHIVE), keras="keras")
    with pytest.raises(ValueError, match="function='load': use load_model or "):
        profile_load(saved_once(KERAS3_ARCHIVE), function="load")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="into a model that a program has built"):
        profile_load(saved_once(KERAS3_ARCHIVE), function="load_weights")


@pytest.mark.slow
def test_each_function_of_a_saved_model_is_measured(saved_once: SavedOnce, twins: Twins) -> None:
    """Keras 2 in a process of Keras 3: stock opens no such model, TensorFlow's loader does."""
    found = bench(saved_once(SAVED_MODEL), rounds=2, is_profiled=True)
    by_function = {each.function: each for each in found.comparisons}

    assert list(by_function) == ["load_model", "load_saved_model", "load_predictor"]
    model = by_function.pop("load_model")
    if model.refusal is None:  # `tf.keras` is Keras 2 here
        by_function["load_model"] = model
    else:
        assert (model.stock, model.later is None) == (None, False)
    for each in by_function.values():
        check_comparison(each.to_document(), rounds=2)
        assert each.profile is not None
        assert each.profile.stock["functions"] > 0
    predictor = by_function["load_predictor"]
    assert predictor.stock is by_function["load_saved_model"].stock or (
        predictor.stock == by_function["load_saved_model"].stock
    )
    assert predictor.first is not None
    # The import that a first load of a predictor causes is no part of its load.
    assert predictor.first.import_s > predictor.first.load_s
    assert not twins.cache.root.exists()


@pytest.mark.slow
@pytest.mark.parametrize("form", [KERAS2_HDF5, KERAS3_ARCHIVE], ids=lambda form: form.id)
def test_predictors_of_files_are_held_against_a_graph_of_stock_s_model(
    saved_once: SavedOnce, form: Any
) -> None:
    found = bench(saved_once(form), rounds=1, keras=form.package, functions=["load_predictor"])
    (comparison,) = found.comparisons

    assert comparison.stock_name == f"{form.package}.models.load_model"
    check_comparison(comparison.to_document(), rounds=1)


@pytest.mark.slow
def test_a_custom_class_that_is_declared_is_given_to_stock_too(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_python: Any
) -> None:
    """A process of stock's finds what `fastload register` declared."""
    (tmp_path / "shop.py").write_text(
        "import keras\n"
        "class Twice(keras.layers.Layer):\n"
        "    def call(self, x):\n"
        "        return 2 * x\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "m.keras"
    run_python(
        "import sys, keras; sys.path.insert(0, sys.argv[2]); import shop\n"
        "x = keras.Input((3,)); keras.Model(x, shop.Twice()(x)).save(sys.argv[1])",
        path,
        tmp_path,
    )
    assert cli("register", "Twice=shop:Twice").exit_code == 0
    result = cli("bench", path, "--rounds", 1, "--function", "load_model", "--json")

    assert result.exit_code == 0, result.output
    check_comparison(document_of(result)["functions"][0], rounds=1)


def test_stock_s_time_is_noted_only_beside_a_twin(twins: Twins, model: SavedModel) -> None:
    """A cache that has none stays as it is."""
    from fastload.bench.measure import _note
    from tests.bench.made_up import comparison

    entry = twins.add("a" * 64)
    there = Rehearsed(function="load_model", entry=entry.name)
    absent = Rehearsed(function="load_model", entry="b" * 32)
    _note([there, absent], [comparison(stock_s=3.5), comparison()])

    assert stock_seconds(entry) == pytest.approx(3.5)
    assert list(twins.cache.root.glob("*.stock.json")) == [
        twins.cache.root / f"{entry.name}.stock.json"
    ]


@pytest.fixture
def module(tmp_path: Path) -> Any:
    """Save a module of TensorFlow with or without a signature, which may draw random numbers."""
    tf = pytest.importorskip("tensorflow")

    def save(*, draws: bool, has_signature: bool = True) -> Path:
        class Adds(tf.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                self.bias = tf.Variable([1.0, 2.0])

            @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
            def add(self, x: Any) -> Any:
                # Without seeds, whatever global one another test has set.
                random = tf.raw_ops.RandomUniform(shape=[2], dtype=tf.float32, seed=0, seed2=0)
                return x + self.bias + (random if draws else 0.0)

        made, path = Adds(), tmp_path / f"draws-{draws}"
        signatures = made.add if has_signature else {}
        tf.saved_model.save(made, str(path), signatures=signatures)
        return path

    return save


@pytest.mark.slow
def test_outputs_that_change_by_themselves_are_not_held_against_fastload(module: Any) -> None:
    """Each process draws other numbers: the times count all the same."""
    path = module(draws=True)
    (found,) = bench(path, rounds=1, functions=["load_saved_model"]).comparisons

    assert found.uncompared == "what stock's model predicts changes from process to process"
    assert found.load_ratio is not None


@pytest.mark.slow
def test_what_has_no_signature_is_loaded_and_does_not_predict(module: Any) -> None:
    """A predictor of it is an error of fastload's own, which keeps no other function from its."""
    path = module(draws=False, has_signature=False)
    functions = ["load_saved_model", "load_predictor"]
    loaded, predictor = bench(path, rounds=1, functions=functions).comparisons  # type: ignore[arg-type]

    assert loaded.uncompared == "inputs cannot be made up: it has no signature"
    assert loaded.later is not None
    assert loaded.later.predict_s is None
    assert (predictor.later, predictor.code) == (None, "FL403")
