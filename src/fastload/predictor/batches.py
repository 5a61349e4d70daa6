"""Many rows, some at a time: how `predict` cuts inputs and joins outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from fastload.signature import Signature

#: Rows that Keras predicts at a time where it is not told.
DEFAULT_BATCH_SIZE: Final = 32


def batches(
    signature: Signature, arrays: Mapping[str, Any], batch_size: int | None
) -> Iterator[dict[str, Any]]:
    """Cut inputs into batches.

    Args:
        signature: what the function takes.
        arrays: the inputs by name, all with the same number of rows.
        batch_size: rows at a time; None for as many as the signature fixes, or 32.

    Raises:
        ValueError: an input has no rows, or they have different numbers of rows.
    """
    if not arrays:
        yield {}
        return
    rows = _rows(arrays)
    size = batch_size or _fixed_rows(signature) or DEFAULT_BATCH_SIZE
    for start in range(0, rows, size):
        yield {name: array[start : start + size] for name, array in arrays.items()}


def joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Join the outputs of batches, by name."""
    return {name: _join([np.asarray(part[name]) for part in parts]) for name in parts[0]}


def _join(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays) if arrays[0].ndim else np.stack(arrays)


def _rows(arrays: Mapping[str, Any]) -> int:
    counts = {name: array.shape[0] if len(array.shape) else None for name, array in arrays.items()}
    distinct = set(counts.values())
    if None in distinct:
        raise ValueError(f"predict() takes rows, but an input is a scalar: {counts}")
    if len(distinct) > 1:
        raise ValueError(f"the inputs have different numbers of rows: {counts}")
    rows = distinct.pop()
    if not rows:
        raise ValueError("predict() was given no rows")
    return int(rows)


def _fixed_rows(signature: Signature) -> int | None:
    """Return the number of rows that the signature fixes, if it does."""
    firsts = [spec.shape[0] for spec in signature.inputs.values() if spec.shape]
    return next((size for size in firsts if size), None)
