"""Columns of a table as inputs and outputs of a model's function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from fastload.predictor.predictor import Predictor
from fastload.signature import TensorSpec
from fastload.twin.format import dtype_of


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
        ValueError: the function has no such input or output, takes another one besides, or two of
            its outputs were to be one column.
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
        twice = sorted(name for name, n in Counter(self.outputs.values()).items() if n > 1)
        if twice:
            raise ValueError(f"outputs= names the column {twice[0]!r} for two outputs")

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
        rows = max((len(column) for column in given.values()), default=0)
        run = partial(self._function.predict, batch_size=rows) if rows else self._without_rows
        found = run(given)
        return {column: found[name] for name, column in self.outputs.items()}

    def _without_rows(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return no rows of each output: an engine may have a partition without any."""
        found = self._function.call(given, {})
        return {name: np.asarray(value) for name, value in found.items()}


def names_in(what: str, given: Iterable[str]) -> tuple[str, ...]:
    """Return the names that are *given* for the argument *what*.

    Raises:
        TypeError: it is one name, whose letters would be taken for names.

    Example:
        >>> names_in("keep", ["id", "day"])
        ('id', 'day')
    """
    if isinstance(given, str):
        raise TypeError(f"{what}= takes a list of names: for one, [{given!r}]")
    return tuple(given)


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
    """Return *column* as one array; what it holds is converted, and checked, by the predictor.

    Tables hold rows of several numbers as objects.
    """
    array = np.asarray(column)
    if not len(array):
        sizes = (spec.shape or (None,))[1:]
        dtype = object if spec.dtype == "string" else dtype_of(spec.dtype)
        return np.empty((0, *(size or 0 for size in sizes)), dtype)
    if spec.dtype != "string" and array.dtype == object:
        array = np.stack([np.asarray(row) for row in array])
    return array
