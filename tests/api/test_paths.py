"""What stock's loaders take for a path, and what not: served, or refused in stock's words."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2

import fastload
from tests.small_models import (
    FORMS,
    INPUTS,
    KERAS2_HDF5,
    Form,
    SavedModel,
    assert_same_model,
    by_format,
    in_each_form,
)


class Elsewhere:
    """A path whose text is another one than the path."""

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)

    def __fspath__(self) -> str:
        return self._path

    def __str__(self) -> str:
        return "elsewhere"


def told(load: Callable[[], Any]) -> tuple[Any, ...]:
    """Return a model, or what was raised."""
    try:
        return "loaded", load()
    except Exception as error:
        return type(error), str(error)


def outcome() -> tuple[str, str | None]:
    report = fastload.last_load()
    assert report is not None
    return report.outcome.value, report.code


def assert_as_stock(model: SavedModel, path: Any, *, is_served: bool, **arguments: Any) -> None:
    """Check that *path* does with fastload what it does in stock; twice, a miss and a hit."""
    stock = told(lambda: model.form.stock.models.load_model(path, **arguments))
    for _ in range(2):
        ours = told(lambda: fastload.load_model(path, keras=model.form.package, **arguments))
        if stock[0] == "loaded" == ours[0]:
            assert_same_model(stock[1], ours[1])
        else:
            assert ours == stock

    assert outcome()[0] == ("hit" if is_served else "bypass")
    assert is_served is (stock[0] == "loaded")


@in_each_form
def test_a_file_address_is_its_path(model: SavedModel, cache_root: Path) -> None:
    """Where stock opens one at all: Keras 3 opens archives, Keras 2 whatever TensorFlow finds."""
    opens = model.form.generation == 2 or model.form.suffix == ".keras"
    assert_as_stock(model, f"file://{model.path}", is_served=opens)


def test_a_file_address_is_a_path_for_objects(saved_model: SavedModel, cache_root: Path) -> None:
    address = f"file://{saved_model.path}"
    expected = tf.saved_model.load(address)
    for _ in range(2):
        loaded = fastload.load_saved_model(address)

    assert outcome()[0] == "hit"
    for mine, stock in zip(loaded.variables, expected.variables, strict=True):
        np.testing.assert_array_equal(mine, stock)


def test_a_file_address_is_a_path_for_predictors(model: SavedModel, cache_root: Path) -> None:
    by_path = fastload.load_predictor(model.path, keras=model.form.package)
    by_address = fastload.load_predictor(f"file://{model.path}", keras=model.form.package)

    assert outcome()[0] == "hit"
    np.testing.assert_array_equal(by_address.predict(INPUTS), by_path.predict(INPUTS))


def test_a_reference_is_to_the_path_of_an_address(model: SavedModel, cache_root: Path) -> None:
    assert fastload.ref(f"file://{model.path}") == fastload.ref(model.path)


@in_each_form
@pytest.mark.parametrize("spell", [os.fsencode, tf.constant, Elsewhere])
def test_a_path_that_stock_refuses_is_stocks_error(
    spell: Callable[[str], Any], model: SavedModel, cache_root: Path
) -> None:
    """And what it came to is not held against the model."""
    path = spell(str(model.path))
    stock = told(lambda: model.form.stock.models.load_model(path))
    ours = told(lambda: fastload.load_model(path, keras=model.form.package))

    assert outcome()[0] == "bypass"
    assert ours[0] == stock[0]
    if stock[0] == "loaded":  # Keras 2 asks for the text of archives only
        assert_same_model(stock[1], ours[1])
    else:
        assert ours == stock or isinstance(path, tf.Tensor | Elsewhere)
    fastload.load_model(str(model.path), keras=model.form.package, strict=True)
    assert outcome() == ("miss", None)


@in_each_form
def test_options_at_their_defaults_change_nothing(model: SavedModel, cache_root: Path) -> None:
    """Keras 2 takes them for a SavedModel, and makes nothing of them for HDF5."""
    takes = model.form.generation == 2 and not zipfile.is_zipfile(model.path)
    assert_as_stock(model, model.path, is_served=takes, options=tf.saved_model.LoadOptions())


def in_text(model: SavedModel) -> SavedModel:
    """Have a SavedModel in text form in place of the binary one."""
    binary = model.path / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(binary.read_bytes())
    (model.path / "saved_model.pbtxt").write_text(text_format.MessageToString(message))
    binary.unlink()
    return model


def test_a_model_in_text_form_is_a_model(saved_model: SavedModel, cache_root: Path) -> None:
    assert_as_stock(in_text(saved_model), saved_model.path, is_served=True)


def test_objects_in_text_form_are_objects(saved_model: SavedModel, cache_root: Path) -> None:
    path = str(in_text(saved_model).path)
    expected = tf.saved_model.load(path).signatures["serving_default"]
    for _ in range(2):
        loaded = fastload.load_saved_model(path).signatures["serving_default"]

    assert outcome()[0] == "hit"
    assert loaded.structured_input_signature == expected.structured_input_signature
    for name, value in expected(x=tf.constant(INPUTS)).items():
        np.testing.assert_array_equal(loaded(x=tf.constant(INPUTS))[name], value)


def test_a_predictor_of_a_model_in_text_form(saved_model: SavedModel, cache_root: Path) -> None:
    expected = fastload.load_predictor(saved_model.path).predict(INPUTS)
    in_text(saved_model)

    for disabled in ("0", "1"):
        os.environ["FASTLOAD_DISABLE"] = disabled
        np.testing.assert_array_equal(
            fastload.load_predictor(saved_model.path).predict(INPUTS), expected
        )
    del os.environ["FASTLOAD_DISABLE"]


def test_a_damaged_text_is_stocks_error(saved_model: SavedModel, cache_root: Path) -> None:
    text = in_text(saved_model).path / "saved_model.pbtxt"
    text.write_bytes(text.read_bytes()[:-100])
    stock = told(lambda: tf.saved_model.load(str(saved_model.path)))

    assert told(lambda: fastload.load_saved_model(str(saved_model.path))) == stock
    assert outcome()[0] == "bypass"


def test_an_edited_text_is_another_model(saved_model: SavedModel, cache_root: Path) -> None:
    """And the binary form goes before the text, which may lie beside it for people to read."""
    other = shutil.copytree(saved_model.path, saved_model.path.with_name("other"))
    text = in_text(saved_model).path / "saved_model.pbtxt"
    fastload.load_saved_model(saved_model.path)
    text.write_text(text.read_text() + "# a note\n")
    fastload.load_saved_model(saved_model.path)
    assert outcome()[0] == "miss"

    shutil.copy(other / "saved_model.pb", saved_model.path)
    text.write_text("this is no model")
    fastload.load_saved_model(saved_model.path, strict=True)
    assert outcome()[0] == "miss"


@pytest.mark.parametrize("form", [by_format(each) for each in FORMS])
def test_explain_says_it_too(form: Form, saved_once: Any, cache_root: Path) -> None:
    path = saved_once(form)
    found = fastload.explain(f"file://{path}", keras=form.package)

    assert found.outcome.value == "miss"
    assert fastload.explain(str(path), keras=KERAS2_HDF5.package).kind == found.kind


def put_in_memory(path: Path) -> str:
    """Copy a model into TensorFlow's memory and return its address."""
    address = f"ram://{path.parent.name}/{path.name}"
    gfile = tf.io.gfile
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            target = address if file == path else f"{address}/{file.relative_to(path)}"
            gfile.makedirs(target.rpartition("/")[0])
            gfile.copy(os.fspath(file), target, overwrite=True)
    return address


@in_each_form
def test_a_model_in_tensorflows_memory(model: SavedModel, cache_root: Path) -> None:
    """Where stock opens one at all; told by its bytes, as it has no stats."""
    opens = model.form.generation == 2 or model.form.suffix == ".keras"
    address = put_in_memory(model.path)
    assert_as_stock(model, address, is_served=opens)
    if opens:
        model.form.stock.models.load_model(model.path).save(model.path)
        tf.io.gfile.rmtree(address.rpartition("/")[0])
        put_in_memory(model.path)
        fastload.load_model(address, keras=model.form.package, strict=True)
        assert outcome()[0] == "miss"


def test_objects_in_tensorflows_memory(saved_model: SavedModel, cache_root: Path) -> None:
    address = put_in_memory(saved_model.path)
    expected = tf.saved_model.load(address).signatures["serving_default"]
    for _ in range(2):
        loaded = fastload.load_saved_model(address).signatures["serving_default"]

    assert outcome()[0] == "hit"
    for name, value in expected(x=tf.constant(INPUTS)).items():
        np.testing.assert_array_equal(loaded(x=tf.constant(INPUTS))[name], value)


def test_nothing_in_tensorflows_memory_is_stocks_error(cache_root: Path) -> None:
    stock = told(lambda: tf.saved_model.load("ram://nothing/here"))

    assert told(lambda: fastload.load_saved_model("ram://nothing/here")) == stock
    assert outcome()[0] == "bypass"
