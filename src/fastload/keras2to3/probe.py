"""Generated inputs for a model, and the difference of two results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from fastload.signature import TensorSpec
from fastload.twin.format import dtype_of

_SEED: Final = 20_261_122
_ROWS: Final = 4
#: Lengths for axes of any size; where one is too short, the next is tried.
_OPEN_AXES: Final = (24, 100, 400)
#: For a model with one such axis; some look at thousands of positions around each.
_LONG_AXES: Final = (*_OPEN_AXES, 2_000, 12_000)
#: Integers are mostly indices of a table of unknown length.
_INTEGERS_BELOW: Final = (20, 3, 2)
_WORDS: Final = ("a", "cat", "the dog", "", "fish and more", "caf\u00e9")

#: How much outputs may differ, relative to the largest of them, by dtype of the result.
TOLERANCES: Final[Mapping[str, float]] = {
    "float64": 1e-10,
    "float32": 1e-5,
    "float16": 1e-2,
    "bfloat16": 5e-2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference of two results.

    Attributes:
        absolute: the largest difference of two numbers.
        relative: the largest difference, relative to the largest number of its output.
        excess: `relative` in units of the tolerance for its dtype; above 1 is too much.
    """

    absolute: float = 0.0
    relative: float = 0.0
    excess: float = 0.0

    def __or__(self, other: Difference) -> Difference:
        return Difference(
            absolute=max(self.absolute, other.absolute),
            relative=max(self.relative, other.relative),
            excess=max(self.excess, other.excess),
        )


def probes(specs: Sequence[TensorSpec]) -> Iterator[list[Any]]:
    """Yield arrays for the inputs *specs*, the same ones each time, smaller ones first.

    A model may reject the first ones (a sequence too short, an index out of range) and accept later
    ones.
    """
    open_axes = sum(size is None for spec in specs for size in (spec.shape or ())[1:])
    lengths = _LONG_AXES if open_axes == 1 else _OPEN_AXES if open_axes else _OPEN_AXES[:1]
    has_integers = any("int" in spec.dtype for spec in specs)
    bounds = _INTEGERS_BELOW if has_integers else _INTEGERS_BELOW[:1]
    for below in bounds:
        for length in lengths:
            random = np.random.default_rng(_SEED)
            yield [_random_array(random, spec, length, below) for spec in specs]
    # Keras 2 also took indices as floats, and most files declare them so.
    whole = [replace(spec, dtype="int32") if "float" in spec.dtype else spec for spec in specs]
    for below in _INTEGERS_BELOW:
        for length in lengths:
            random = np.random.default_rng(_SEED)
            values = [_random_array(random, spec, length, below) for spec in whole]
            yield [_as(spec, value) for spec, value in zip(specs, values, strict=True)]


def _as(spec: TensorSpec, value: Any) -> Any:
    return value.astype(dtype_of(spec.dtype)) if "float" in spec.dtype else value


def _random_array(random: np.random.Generator, spec: TensorSpec, length: int, below: int) -> Any:
    rows, *others = spec.shape or (None,)
    sizes = (
        _ROWS if rows is None else rows,
        *(length if size is None else size for size in others),
    )
    if spec.dtype == "string":
        return np.array(_WORDS, object)[random.integers(0, len(_WORDS), sizes)]
    if spec.dtype == "bool":
        return random.integers(0, 2, sizes).astype(bool)
    if "int" in spec.dtype:
        return random.integers(0, below, sizes).astype(spec.dtype)
    return random.normal(size=sizes).astype(dtype_of(spec.dtype))


def difference(expected: Any, found: Any) -> Difference:
    """Return the difference of *found* from *expected*.

    Raises:
        ValueError: they cannot be compared; the message says why.

    Example:
        >>> round(difference(np.array([1.0, 4.0]), np.array([1.0, 4.002])).relative, 6)
        0.0005
    """
    if expected.shape != found.shape:
        raise ValueError(f"its shape is {list(found.shape)}, and was {list(expected.shape)}")
    if not expected.size:
        return Difference()
    name = expected.dtype.name
    if name not in TOLERANCES:
        return _exact(expected, found)
    left, right = expected.astype("float64"), found.astype("float64")
    # Where the original divides by zero (for a row that is masked entirely), Keras 3 may not.
    finite = np.isfinite(left)
    if not np.isfinite(right[finite]).all():
        return Difference(absolute=np.inf, relative=np.inf, excess=np.inf)
    apart = float(np.abs(left - right)[finite].max(initial=0.0))
    scale = float(np.abs(left)[finite].max(initial=0.0))
    relative = apart / max(scale, float(np.finfo("float32").tiny)) if apart else 0.0
    return Difference(absolute=apart, relative=relative, excess=relative / TOLERANCES[name])


def _exact(expected: Any, found: Any) -> Difference:
    if np.array_equal(expected, found):
        return Difference()
    return Difference(absolute=np.inf, relative=np.inf, excess=np.inf)
