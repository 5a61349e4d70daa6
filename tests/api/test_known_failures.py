"""A restore that fails is tried once: later loads go to stock at once, until something changes."""

from __future__ import annotations

import errno
import json
import logging
from pathlib import Path
from typing import Any

import pytest

import fastload
from fastload.errors import RestoreError, UnsupportedRuntimeError
from fastload.loading.failures import MOST
from fastload.loading.opening import FAILURES
from fastload.runtime import restore_keras
from fastload.runtime.core import restore_request
from fastload.runtime.core.keras import keras_of
from tests.small_models import SavedModel, assert_same_model

pytest.importorskip("tensorflow")


class Failing:
    """Stands in for a restore: it counts the tries, and raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.tries = 0

    def __call__(self, *_: Any, **__: Any) -> Any:
        self.tries += 1
        raise self.error


@pytest.fixture
def restore(monkeypatch: pytest.MonkeyPatch, cache_root: Path) -> Failing:
    """Every restore of a Keras model fails as on a Keras that nobody foresaw."""
    failing = Failing(TypeError("load_model() got an unexpected keyword"))
    monkeypatch.setattr(restore_keras, "_restored", failing)
    return failing


def outcome() -> tuple[str, str | None]:
    report = fastload.last_load()
    assert report is not None
    return report.outcome.value, report.code


def load(model: SavedModel, **arguments: Any) -> Any:
    return fastload.load_model(model.path, keras=model.form.package, **arguments)


def test_it_is_tried_once(model: SavedModel, restore: Failing) -> None:
    stock = model.load_stock()
    for _ in range(3):
        assert_same_model(stock, load(model))
        assert outcome() == ("bypass", "FL105")

    assert restore.tries == 1


def test_it_is_told_once(
    model: SavedModel, restore: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    """With the reason; later reports say that it is known, and what tries again."""
    with caplog.at_level(logging.WARNING, "fastload"):
        load(model)
        load(model)
    report = fastload.last_load()

    told = [each.getMessage() for each in caplog.records if each.name == "fastload"]
    assert [each.count("unexpected keyword") for each in told] == [1]
    assert report is not None
    assert "by these versions in an earlier load: TypeError: load_model() got" in str(report.reason)
    assert "`fastload warm` tries again" in str(report.reason)


def test_explain_says_so(model: SavedModel, restore: Failing) -> None:
    load(model)
    told = fastload.explain(model.path, keras=model.form.package)

    assert told.outcome.value == "hit"
    assert "went to stock" in told.reason
    assert "unexpected keyword" in told.reason


def test_a_load_that_stock_cannot_answer_tries_each_time(
    model: SavedModel, restore: Failing
) -> None:
    load(model)
    with pytest.raises(RestoreError, match="unexpected keyword") as raised:
        load(model, strict=True)

    assert not raised.value.is_known
    assert restore.tries == 2


@pytest.mark.parametrize(
    ("argument", "tries"), [({"compile": False}, 2), ({"custom_objects": {"Unused": object}}, 1)]
)
def test_another_call_is_another_try(
    argument: dict[str, Any], tries: int, model: SavedModel, restore: Failing
) -> None:
    load(model)
    load(model, **argument)

    assert restore.tries == tries


@pytest.mark.parametrize("version", ["fastload", "keras"])
def test_another_version_is_another_try(
    version: str, model: SavedModel, restore: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(model)
    package = fastload if version == "fastload" else keras_of(model.form.package).module
    monkeypatch.setattr(package, "__version__", f"{package.__version__}1")
    load(model)

    assert restore.tries == 2


def test_warm_tries_again(model: SavedModel, cache_root: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore_keras, "_restored", Failing(TypeError("unexpected")))
        load(model)
    load(model)
    assert outcome() == ("bypass", "FL105")
    fastload.warm(model.path, keras=model.form.package)
    told = fastload.explain(model.path, keras=model.form.package)
    assert_same_model(model.load_stock(), load(model))

    assert outcome() == ("hit", None)
    assert told.reason == "its twin is there"


@pytest.mark.parametrize("error", [OSError(errno.EIO, "read"), RecursionError()])
def test_a_passing_fault_is_not_remembered(
    error: Exception, model: SavedModel, restore: Failing
) -> None:
    restore.error = error
    for _ in range(2):
        load(model)

    assert restore.tries == 2


def test_what_this_runtime_lacks_is_asked_each_time(model: SavedModel, restore: Failing) -> None:
    """Another program may import what registers an operation."""
    restore.error = UnsupportedRuntimeError("TensorFlow has no operation 'Own' here")
    for _ in range(2):
        load(model)
        assert outcome() == ("bypass", "FL204")

    assert restore.tries == 2


def test_no_twin_is_written_for_a_keras_that_lacks_what_its_loader_needs(
    model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = Failing(UnsupportedRuntimeError("keras.saving has no 'load'"))
    monkeypatch.setattr("fastload.loading.build.require_loader", lacking)
    load(model)

    assert outcome() == ("bypass", "FL204")
    assert list(cache_root.glob("*.h5")) == []


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 1}', b"\xff"])
def test_a_broken_note_means_nothing(content: bytes, model: SavedModel, cache_root: Path) -> None:
    load(model)
    twin = next(cache_root.glob("*.h5"))
    twin.with_suffix(f".{FAILURES}.json").write_bytes(content)
    assert_same_model(model.load_stock(), load(model))

    assert outcome() == ("hit", None)


def test_a_note_has_an_end(model: SavedModel, restore: Failing, cache_root: Path) -> None:
    for number in range(20):
        restore.error = TypeError(str(number))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fastload, "__version__", str(number))
            load(model)

    [note] = cache_root.glob(f"*.{FAILURES}.json")
    assert len(json.loads(note.read_bytes())) == MOST


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ("Unknown layer: 'Dense'. Please", "FL205"),
        ("unexpected keyword argument 'filter'", "FL105"),
    ],
)
def test_a_missing_class_is_blamed_where_the_error_names_it(
    told: str, code: str, model: SavedModel, restore: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for whatever else goes wrong with a model that has a name unknown to fastload."""
    monkeypatch.setattr(restore_request, "is_known", lambda keras, name: name != "Dense")
    monkeypatch.setattr(restore_keras, "missing_layer_class", lambda *_: None)
    restore.error = TypeError(told)
    load(model)

    assert outcome() == ("bypass", code)
