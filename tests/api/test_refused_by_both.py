"""A file that the stock loader refuses as well: its error, and nothing else, is what one sees."""

from __future__ import annotations

import inspect
import logging
import traceback
import zipfile
from pathlib import Path
from typing import Any

import pytest

import fastload
from tests.small_models import Form, SavedModel, save

pytest.importorskip("tensorflow")

FORMS = (Form(generation=2, suffix=".keras"), Form(generation=3, suffix=".keras"))


@pytest.fixture(params=FORMS, ids=lambda form: form.id)
def unsafe(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """Name a Keras, and a file with code in it, which loads in no safe mode."""
    keras = request.param.stock
    model = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: 2 * x)])
    path = tmp_path / "unsafe.keras"
    save(model, path)
    if not zipfile.is_zipfile(path):  # up to Keras 2.12 the suffix says nothing: it is HDF5
        pytest.skip("this Keras has no safe mode")
    return request.param.package, path


def error_of(load: Any) -> BaseException:
    with pytest.raises(ValueError, match="safe_mode") as caught:
        load()
    return caught.value


def test_the_error_is_stocks(unsafe: tuple[str, Path], cache_root: Path) -> None:
    """Down to what it was raised in the course of, which a traceback shows."""
    package, path = unsafe
    stock_module = pytest.importorskip(package)

    stock = error_of(lambda: stock_module.models.load_model(path))
    ours = error_of(lambda: fastload.load_model(path, keras=package))

    assert (type(ours), str(ours)) == (type(stock), str(stock))
    assert (ours.__context__, ours.__cause__) == (stock.__context__, stock.__cause__)
    assert "Error: [FL" not in "".join(traceback.format_exception(ours))


def test_nothing_is_said_of_the_cache(
    unsafe: tuple[str, Path], cache_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The twin is no worse than the file."""
    package, path = unsafe

    with caplog.at_level(logging.WARNING, logger="fastload"):
        error_of(lambda: fastload.load_model(path, keras=package))

    assert [each.getMessage() for each in caplog.records if each.name == "fastload"] == []


def test_an_argument_that_this_keras_lacks_is_refused(model: SavedModel, cache_root: Path) -> None:
    """Keras 2.8 has no safe mode to turn off; where there is one, the twin serves."""
    is_known = "safe_mode" in inspect.signature(model.form.stock.models.load_model).parameters

    for _ in range(2):
        if is_known:
            fastload.load_model(model.path, keras=model.form.package, safe_mode=False, strict=True)
            continue
        with pytest.raises(TypeError) as stock:
            model.load_stock(safe_mode=False)
        with pytest.raises(TypeError, match="safe_mode") as ours:
            fastload.load_model(model.path, keras=model.form.package, safe_mode=False)
        assert str(ours.value) == str(stock.value)
