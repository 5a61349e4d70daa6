"""What a measured process does, done here: it loads, predicts, and says what that took."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fastload
from fastload import system
from fastload.bench.child import main, run
from fastload.bench.ground import Ground, ground_of
from fastload.bench.job import Inputs, Job, Told
from fastload.bench.outputs import digest, peak_bytes
from fastload.bench.profile import phases_of
from fastload.loading import behind
from fastload.source.detect import detect
from tests.conftest import SavedOnce
from tests.small_models import KERAS3_ARCHIVE, SAVED_MODEL, SavedModel


def ground(model: SavedModel) -> Ground:
    return Ground(source=detect(model.path), path=str(model.path), keras=model.form.package)  # type: ignore[arg-type]


def test_a_job_and_what_is_told_travel_as_json() -> None:
    """The same values come back."""
    inputs = Inputs(specs=(("x", "float32", (None, 4)), ("y", "int32", None)), number=2)
    job = Job(path="m", is_folder=True, function="load_model", is_stock=True, inputs=inputs)
    told = Told(outcome="hit", phases={"twin": 0.5}, inputs=inputs, error=None)

    assert Job.of_json(job.to_json()) == job
    assert Told.of_json(told.to_json(), 3.0) == replace(told, wall_s=3.0)


@pytest.mark.parametrize("function", ["load_model", "load_predictor", "load_saved_model"])
def test_stock_and_fastload_predict_the_same_from_made_up_inputs(
    model: SavedModel, function: str
) -> None:
    """Stock chooses the inputs; a miss and a hit predict from them."""
    pytest.importorskip("tensorflow")
    if function == "load_saved_model" and model.form is not SAVED_MODEL:
        pytest.skip("no SavedModel")
    here = ground(model)
    stock = run(replace(here.job(function, is_stock=True), compile=None))  # type: ignore[arg-type]
    assert stock.error is None
    job = replace(here.job(function, is_stock=False), inputs=stock.inputs)  # type: ignore[arg-type]
    ours = [run(job) for _ in range(2)]

    assert [each.outcome for each in ours] == ["miss", "hit"]
    assert (stock.outcome, stock.compile) == ("stock", True)
    assert stock.inputs is not None
    assert ours[0].digest == ours[1].digest
    if function != "load_predictor":  # which computes what a graph does, for a Keras file
        assert stock.digest == ours[1].digest
    assert all(each.load_s > 0 and (each.predict_s or 0) > 0 for each in (stock, *ours))
    assert stock.peak_bytes > 2**20


def test_what_a_function_imports_of_fastload_counts(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that loads a model pays for it; it is in no phase."""
    pytest.importorskip("tensorflow")
    resolve = fastload.__getattr__
    monkeypatch.delitem(vars(fastload), "load_model", raising=False)
    monkeypatch.setattr(fastload, "__getattr__", lambda name: (time.sleep(0.5), resolve(name))[1])
    told = run(ground(saved_model).job("load_model", is_stock=False))

    assert told.outcome == "miss"
    assert phases_of(told)["rest"] >= 0.5
    assert sum(phases_of(told).values()) == pytest.approx(told.load_s)


def test_it_does_not_end_before_the_twin_is_there(
    saved_model: SavedModel,
    cache_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It ends without an end of the interpreter, and the next process shall find it."""
    pytest.importorskip("tensorflow")
    there: list[int] = []
    sync = system.sync
    monkeypatch.setattr(behind, "LEAST_BYTES", 0)
    monkeypatch.setattr(system, "sync", lambda path: (time.sleep(0.5), sync(path)))
    monkeypatch.setattr(os, "_exit", lambda _: there.append(len([*cache_root.glob("*.h5")])))

    main(ground(saved_model).job("load_model", is_stock=False).to_json())

    assert Told.of_json(capsys.readouterr().out, 1.0).outcome == "miss"
    assert there == [1]


def test_a_path_is_absolute_and_an_address_stays_one(
    saved_once: SavedOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For other processes load it."""
    path = saved_once(KERAS3_ARCHIVE)
    monkeypatch.chdir(path.parent)
    by_path, by_address = ground_of(path.name, "keras"), ground_of(path.as_uri(), "keras")

    assert (by_path.path, by_address.path) == (str(path), path.as_uri())
    assert by_path.source.kind == by_address.source.kind
    assert by_path.functions == ("load_model", "load_predictor")


def test_what_a_load_raises_is_told(tmp_path: Path) -> None:
    """With its code, or its kind."""
    pytest.importorskip("tensorflow")
    (tmp_path / "m.keras").write_bytes(b"PK\x03\x04 no more")
    job = Job(path=str(tmp_path / "m.keras"), is_folder=False, function="load_model", is_stock=True)
    told = run(job)

    assert told.error is not None
    assert told.error["message"].startswith(told.error["code"] + ": ")


def test_other_outputs_have_another_digest() -> None:
    """Their names, types, shapes and bytes count; texts by what they say."""
    zeros = np.zeros((2, 3), np.float32)
    texts = [np.array([["a"], ["b"]], object) for _ in range(2)]
    others = (
        zeros.reshape(3, 2),
        zeros.astype(np.float64),
        -zeros,
        {"a": zeros},
        [zeros],
        [zeros, zeros],
        texts[0],
    )

    assert digest(texts[0]) == digest(texts[1])
    assert digest({"a": zeros, "b": -zeros}) == digest({"b": -zeros, "a": zeros})
    assert len({digest(each) for each in (zeros, *others)}) == len(others) + 1


def test_memory_that_was_taken_counts_at_its_most() -> None:
    """Also once it is free again."""
    before = peak_bytes()
    np.ones(300 * 2**20, np.uint8).sum()

    assert peak_bytes() >= before
    assert peak_bytes() > 300 * 2**20
