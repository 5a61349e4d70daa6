"""Whether a stand-in predicts to the bits of its model: what is looked at to find out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastload.runtime.predict_check import predicts_alike
from fastload.signature import Signature, TensorSpec

pytest.importorskip("tensorflow")


class Predicts:
    """A model of one number for each row, which is rounded otherwise where *differs* says so."""

    def __init__(self, differs: Any = lambda sums: np.zeros(sums.shape, bool)) -> None:
        self._differs = differs
        self.rows: list[int] = []

    def make_predict_function(self, force: bool = False) -> None:
        """Nothing is traced."""

    def predict(self, inputs: Any, batch_size: int, verbose: int) -> Any:
        """Return the sum of each row."""
        self.rows.append(len(inputs))
        sums = inputs.sum(axis=1, dtype="float32")
        return np.where(self._differs(sums), np.nextafter(sums, np.inf), sums)


def signature(size: int) -> Signature:
    spec = TensorSpec(name="x", dtype="float32", shape=(None, size))
    return Signature(name="predict", inputs={"x": spec}, outputs={}, order=("x",))


def test_a_rounding_that_shows_in_few_numbers_is_found() -> None:
    """As on TensorFlow 2.12, where eight numbers of an unrolled RNN were equal, and others not."""
    assert predicts_alike(signature(3), "one", Predicts(), Predicts())
    assert not predicts_alike(signature(3), "one", Predicts(lambda sums: sums > 3), Predicts())


def test_many_numbers_are_compared_once() -> None:
    """A network of a thousand classes is not run more often than it must be."""

    class Wide(Predicts):
        def predict(self, inputs: Any, batch_size: int, verbose: int) -> Any:
            return np.repeat(super().predict(inputs, batch_size, verbose)[:, None], 1000, axis=1)

    model = Wide()

    assert predicts_alike(signature(3), "one", Wide(), model)
    assert model.rows == [1, 4, 3]
