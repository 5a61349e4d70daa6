"""Columns of tables as the inputs of a predictor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fastload
from fastload.fleet.columns import Columns
from fastload.fleet.ray import PredictBatches
from fastload.fleet.spark import make_predict_fn

tf = pytest.importorskip("tensorflow")


@pytest.fixture
def saved(tmp_path: Path, cache_root: Path) -> Path:
    """A model that counts whole numbers."""
    module = tf.Module()
    spec = tf.TensorSpec((None,), tf.int32, name="number")
    module.run = tf.function(lambda number: {"next": number + 1}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.run)
    return tmp_path / "saved"


@pytest.fixture
def counting(saved: Path) -> Columns:
    """Its predictor."""
    return Columns(fastload.load_predictor(saved))


def test_numbers_that_fit_are_converted(counting: Columns) -> None:
    """A table often knows no dtype but the largest."""
    found = counting.predict({"number": np.array([1, 2], "int64")})

    assert found["next"].tolist() == [2, 3]
    assert found["next"].dtype == np.int32


def test_numbers_that_do_not_fit_are_refused(counting: Columns) -> None:
    """As the predictor refuses them: numpy would make others of them."""
    with pytest.raises(ValueError, match="numbers that do not fit"):
        counting.predict({"number": np.array([2**32 + 5])})


@pytest.mark.parametrize("column", [np.zeros(0, "int64"), np.zeros(0, object), []])
def test_a_part_of_a_table_may_have_no_rows(column: object, counting: Columns) -> None:
    found = counting.predict({"number": column})

    assert (found["next"].shape, found["next"].dtype) == ((0,), np.int32)


@pytest.mark.parametrize(
    ("inputs", "batch", "keep"),
    [
        ({"number": "day"}, {"day": [1]}, ["day"]),
        (None, {"number": [1], "day": [5]}, ["number", "day"]),
        (None, {"number": [1], "day": [5]}, ["number"]),
        (None, {"day": [1], "id": [5]}, ["id"]),
    ],
    ids=["named", "all are kept", "its name goes first", "the only other"],
)
def test_a_column_may_be_an_input_and_kept(
    inputs: dict[str, str] | None, batch: dict[str, list[int]], keep: list[str], saved: Path
) -> None:
    predict = PredictBatches(fastload.ref(saved), inputs=inputs, keep=keep)
    found = predict({name: np.array(column) for name, column in batch.items()})

    assert found.pop("next").tolist() == [2]
    assert {name: column.tolist() for name, column in found.items()} == {
        name: batch[name] for name in keep
    }


def test_a_column_that_is_kept_is_no_output(saved: Path) -> None:
    """One would be lost."""
    ref = fastload.ref(saved)
    with pytest.raises(ValueError, match="'next' would be kept, and an output"):
        PredictBatches(ref, keep=["id", "next"])
    renamed = PredictBatches(ref, outputs={"next": "tomorrow"}, keep=["next"])

    assert sorted(renamed({"number": np.array([1]), "next": np.array([9])})) == ["next", "tomorrow"]


def test_two_outputs_are_two_columns(tmp_path: Path, cache_root: Path) -> None:
    module = tf.Module()
    spec = tf.TensorSpec((None,), tf.int32, name="number")
    module.run = tf.function(lambda number: {"a": number, "b": number}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "two"), signatures=module.run)
    predictor = fastload.load_predictor(tmp_path / "two")

    with pytest.raises(ValueError, match="names the column 'c' for two outputs"):
        Columns(predictor, outputs={"a": "c", "b": "c"})


def test_one_name_is_no_list_of_names(saved: Path) -> None:
    """Its letters would be."""
    ref = fastload.ref(saved)
    with pytest.raises(TypeError, match=r"keep= takes a list of names: for one, \['id'\]"):
        PredictBatches(ref, keep="id")
    with pytest.raises(TypeError, match=r"inputs= takes a list of names: for one, \['number'\]"):
        make_predict_fn(ref, inputs="number")()
