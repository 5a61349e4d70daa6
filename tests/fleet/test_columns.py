"""Columns of tables as the inputs of a predictor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fastload
from fastload.fleet.columns import Columns

tf = pytest.importorskip("tensorflow")


@pytest.fixture
def counting(tmp_path: Path, cache_root: Path) -> Columns:
    """A predictor of whole numbers."""
    module = tf.Module()
    spec = tf.TensorSpec((None,), tf.int32, name="number")
    module.run = tf.function(lambda number: {"next": number + 1}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.run)
    return Columns(fastload.load_predictor(tmp_path / "saved"))


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
