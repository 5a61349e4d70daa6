"""Faults that pass are no property of a model: the next load tries again."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastload
from fastload.errors import BypassError, UnconvertibleModelError, is_passing
from tests.conftest import SavedOnce
from tests.small_models import (
    KERAS2_HDF5,
    KERAS3_ARCHIVE,
    SAVED_MODEL,
    SavedModel,
    assert_same_model,
    copy_model,
)

tf = pytest.importorskip("tensorflow")


def outcome() -> tuple[str, str | None]:
    report = fastload.last_load()
    assert report is not None
    return report.outcome.value, report.code


def load(model: SavedModel) -> Any:
    return fastload.load_model(model.path, keras=model.form.package)


def fails(error: BaseException) -> Callable[..., Any]:
    def call(*_arguments: Any, **_options: Any) -> Any:
        raise error

    return call


def check_that_it_passes(model: SavedModel, patch: pytest.MonkeyPatch) -> None:
    """Load while *patch* is in place, and then without it."""
    stock = model.load_stock()
    assert_same_model(stock, load(model))
    during = outcome()
    patch.undo()
    assert_same_model(stock, load(model))

    assert during[0] == "bypass"
    assert outcome() == ("miss", None)


@pytest.fixture
def archive(saved_once: SavedOnce, tmp_path: Path) -> SavedModel:
    """An archive with compressed weights, which are unpacked to the temporary folder."""
    import zipfile

    path = tmp_path / "m.keras"
    with zipfile.ZipFile(saved_once(KERAS3_ARCHIVE)) as stored, zipfile.ZipFile(path, "w") as made:
        for name in stored.namelist():
            made.writestr(name, stored.read(name), zipfile.ZIP_DEFLATED)
    return SavedModel(form=KERAS3_ARCHIVE, path=path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.EACCES])
def test_a_full_temporary_folder(archive: SavedModel, cache_root: Path, number: int) -> None:
    """Weights are unpacked into it."""
    with pytest.MonkeyPatch.context() as patch:
        error = OSError(number, os.strerror(number))
        patch.setattr(tempfile, "TemporaryFile", fails(error))
        check_that_it_passes(archive, patch)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RecursionError(), OSError(errno.EIO, "Input/output error")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("form", [KERAS2_HDF5, KERAS3_ARCHIVE], ids=lambda form: form.id)
def test_a_fault_while_hdf5_is_read(
    saved_once: SavedOnce, tmp_path: Path, cache_root: Path, form: Any, error: BaseException
) -> None:
    """What reads weights makes a refusal of it."""
    path = copy_model(saved_once(form), tmp_path / f"m{form.suffix}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastload.source.hdf5._content", fails(error))
        check_that_it_passes(SavedModel(form=form, path=path), patch)


def test_a_checkpoint_that_cannot_be_opened_now(saved_model: SavedModel, cache_root: Path) -> None:
    """TensorFlow's reader says so in words alone."""
    from fastload.runtime.core.tensorflow import Checkpoint

    data = next(saved_model.path.glob("variables/*.data*"))
    content = data.read_bytes()
    data.unlink()
    data.mkdir()
    with pytest.raises(BypassError, match="Is a directory") as caught:
        Checkpoint(saved_model.path / "variables" / "variables").object_graph()
    data.rmdir()
    data.write_bytes(content)

    assert caught.value.code == "FL201"


def test_a_refusal_of_stock_that_passes_is_no_reason_to_migrate(
    saved_once: SavedOnce, tmp_path: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the file would be served as a migrated one from then on."""
    path = copy_model(saved_once(KERAS2_HDF5), tmp_path / "m.h5")
    keras = KERAS3_ARCHIVE.package
    error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastload.loading.stock.load_stock", fails(error))
        patch.setattr("fastload.loading.answer.load_from_twin", fails(BypassError("not now")))
        with pytest.raises(OSError, match="Too many open files"):
            fastload.load_model(path, keras=keras)

    assert not list(cache_root.glob("*.h5"))


def test_what_the_caller_was_handling_has_no_part() -> None:
    """Programs load a model where something else failed."""
    error, outer = UnconvertibleModelError("the model has no config"), OSError(errno.ENOENT, "x")
    error.__context__ = outer

    assert is_passing(error)
    assert not is_passing(error, outer)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EIO, "x"), True),
        (OSError("HDF5 says that a file is cut"), False),
        (MemoryError(), True),
        (RecursionError(), True),
        (KeyboardInterrupt(), True),
        (TimeoutError(errno.ETIMEDOUT, "x"), True),
        (tf.errors.ResourceExhaustedError(None, None, "x"), True),
        (tf.errors.DataLossError(None, None, "x"), False),
        (ValueError("x"), False),
    ],
    ids=str,
)
@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_a_fault_behind_an_error_is_seen(error: BaseException, expected: bool, link: str) -> None:
    """However often it was translated."""
    inner, outer = RuntimeError("inner"), UnconvertibleModelError("outer")
    setattr(inner, link, error)
    outer.__cause__ = inner
    error.__context__ = outer  # a circle, as careless code makes them

    assert is_passing(outer) is expected


def test_a_content_that_is_refused_is_refused_again_without_a_try(
    tmp_path: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it was written just now, or is touched, or was cut by a broken download."""
    from fastload.loading import build

    keras = SAVED_MODEL.stock
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    path = tmp_path / "m"
    model.save(path)
    data = next(path.glob("variables/*.data*"))
    os.truncate(data, data.stat().st_size // 2)
    with pytest.raises(IndexError) as stock:
        keras.models.load_model(path)
    with pytest.raises(IndexError) as first:
        fastload.load_model(path, keras=SAVED_MODEL.package)
    report = outcome()
    tried: list[Any] = []
    monkeypatch.setattr(build, "convert", lambda *arguments: tried.append(arguments))
    data.touch()
    with pytest.raises(IndexError) as second:
        fastload.load_model(path, keras=SAVED_MODEL.package)

    assert str(first.value) == str(second.value) == str(stock.value)
    assert report == outcome() == ("bypass", "FL203")
    assert tried == []


def test_a_cut_checkpoint_is_no_fault_of_ours(
    saved_model: SavedModel, cache_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No traceback of ours, and nothing to report."""
    data = next(saved_model.path.glob("variables/*.data*"))
    os.truncate(data, 0)
    for each in (
        lambda: fastload.load_model(saved_model.path, keras=saved_model.form.package),
        lambda: fastload.load_saved_model(str(saved_model.path)),
        lambda: fastload.load_predictor(str(saved_model.path)),
    ):
        with pytest.raises(IndexError):
            each()

    assert "report this" not in caplog.text
