"""Columns of a table as inputs and outputs of a model's function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fastload.predictor.predictor import Predictor
from fastload.signature import TensorSpec


class Columns:
    """A predictor that takes and gives columns: arrays whose first dimension is that of rows.

    Args:
        predictor: what predicts.
        inputs: the column of each input, by input; None where they have the same names.
        outputs: the column of each output, by output; None where they have the same names.

    Attributes:
        inputs: as given, or as it is by default.
        outputs: as given, or as it is by default.

    Raises:
        ValueError: the function has no such input or output, or takes another one besides.
    """

    def __init__(
        self,
        predictor: Predictor,
        inputs: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
    ) -> None:
        self._function = predictor.signatures[predictor.signature]
        self._takes_any = inputs is None and len(predictor.input_specs) == 1
        self.inputs = _named("inputs", inputs, predictor.input_specs)
        self.outputs = _named("outputs", outputs, predictor.output_specs)
        missing = sorted(predictor.input_specs.keys() - self.inputs.keys())
        if missing:
            raise ValueError(f"inputs= has no column for {missing[0]!r}")

    @property
    def input_specs(self) -> dict[str, TensorSpec]:
        """What each column has to hold, by column."""
        specs = self._function.input_specs
        return {column: specs[name] for name, column in self.inputs.items()}

    @property
    def output_specs(self) -> dict[str, TensorSpec]:
        """What each column of the result holds, by column."""
        specs = self._function.output_specs
        return {column: specs[name] for name, column in self.outputs.items()}

    def predict(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Run the function once over all rows.

        Args:
            columns: an array for each input, by column; others are not looked at. Numbers are
                converted to the dtype of the input where numpy calls that the same kind.

        Returns:
            An array for each output that has a column, by column.

        Raises:
            KeyError: a column is missing.
            TypeError, ValueError: one is not what the function takes.
        """
        if self._takes_any and len(columns) == 1:
            columns = dict(zip(self.inputs.values(), columns.values(), strict=True))
        specs = self._function.input_specs
        given = {
            name: _as_input(columns[column], specs[name]) for name, column in self.inputs.items()
        }
        rows = max(1, *(len(column) for column in given.values()))
        found = self._function.predict(given, batch_size=rows)
        return {column: found[name] for name, column in self.outputs.items()}


def _named(
    what: str, given: Mapping[str, str] | None, specs: Mapping[str, TensorSpec]
) -> dict[str, str]:
    if given is None:
        return {name: name for name in specs}
    unknown = sorted(given.keys() - specs.keys())
    if unknown:
        raise ValueError(f"{what}= names {unknown[0]!r}; the model has {_shown(specs)}")
    return dict(given)


def _shown(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))


def _as_input(column: Any, spec: TensorSpec) -> Any:
    """Return *column* as one array of the dtype of an input.

    Tables hold rows of several numbers as objects, and often know no dtype but the largest.
    """
    array = np.asarray(column)
    if spec.dtype == "string":
        return array
    if array.dtype == object:
        array = np.stack([np.asarray(row) for row in array])
    if array.dtype.name == spec.dtype or not _is_number(spec.dtype):
        return array
    return array.astype(spec.dtype, casting="same_kind", copy=False)


def _is_number(dtype: str) -> bool:
    try:
        return np.dtype(dtype).kind in "fiu"
    except TypeError:  # one of TensorFlow's own
        return False
