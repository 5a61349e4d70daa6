"""Beam: a `ModelHandler` for `RunInference` that opens a model by reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from fastload.fleet.columns import Columns
from fastload.fleet.ref import Ref
from fastload.predictor.predictor import Predictor


class PredictorHandler(ModelHandler):  # type: ignore[misc]
    """Predicts with `RunInference`. Each process maps the weights, which a host has once.

    An element is one row: an array, where the model has one input, or a dictionary of arrays by
    input. A result's `inference` is a dictionary of arrays by output, and its `model_id` the digest
    of the model.

    Args:
        ref: the model.
        min_batch_size: elements at a time, at least; as in Beam by default.
        max_batch_size: elements at a time, at most; as in Beam by default.

    Example:
        >>> from apache_beam.ml.inference.base import RunInference  # doctest: +SKIP
        >>> from fastload.fleet.beam import PredictorHandler  # doctest: +SKIP
        >>> rows | RunInference(PredictorHandler(fastload.ref("path/to/model")))  # doctest: +SKIP
    """

    def __init__(
        self, ref: Ref, *, min_batch_size: int | None = None, max_batch_size: int | None = None
    ) -> None:
        super().__init__()
        sizes = {"min_batch_size": min_batch_size, "max_batch_size": max_batch_size}
        self._ref = ref
        self._batching = {name: size for name, size in sizes.items() if size is not None}

    def load_model(self) -> Predictor:
        """Open the model; once in a process, whatever threads and bundles there are."""
        return self._ref.load_predictor()

    def run_inference(
        self,
        batch: Sequence[Any],
        model: Predictor,
        inference_args: Mapping[str, Any] | None = None,
    ) -> Iterator[PredictionResult]:
        """Yield the result of each element of *batch*.

        Raises:
            TypeError, ValueError: an element is not what the model takes, or *inference_args* were
                given, of which it takes none.
        """
        if inference_args:
            raise ValueError(f"a predictor takes no arguments besides: {sorted(inference_args)}")
        columns = Columns(model)
        found = columns.predict(_columns_of(batch, columns))
        for number, element in enumerate(batch):
            row = {name: column[number] for name, column in found.items()}
            yield PredictionResult(element, row, self._ref.digest)

    def get_num_bytes(self, batch: Sequence[Any]) -> int:
        """Return how many bytes the arrays of *batch* have."""
        return sum(np.asarray(each).nbytes for row in batch for each in _arrays_of(row))

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Return how many elements come at a time."""
        return self._batching

    def share_model_across_processes(self) -> bool:
        """Say no: processes share the pages of the weights anyway."""
        return False

    def get_metrics_namespace(self) -> str:
        """Return under which name Beam counts."""
        return "fastload"


def _arrays_of(row: Any) -> Sequence[Any]:
    return list(row.values()) if isinstance(row, Mapping) else [row]


def _columns_of(batch: Sequence[Any], columns: Columns) -> dict[str, Any]:
    if not isinstance(batch[0], Mapping):
        if len(columns.inputs) > 1:
            raise TypeError(f"the model has several inputs: give a row as {{{_shown(columns)}}}")
        batch = [dict.fromkeys(columns.inputs, row) for row in batch]
    return {name: np.stack([np.asarray(row[name]) for row in batch]) for name in columns.inputs}


def _shown(columns: Columns) -> str:
    return ", ".join(f"{name!r}: ..." for name in columns.inputs)
