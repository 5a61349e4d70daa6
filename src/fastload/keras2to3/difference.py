"""How far two results of a model are apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

#: How far outputs may be apart, relative to the largest of them, by dtype of the result.
TOLERANCES: Final[Mapping[str, float]] = {
    "float64": 1e-10,
    "float32": 1e-5,
    "float16": 1e-2,
    "bfloat16": 5e-2,
}

#: What results may be instead: JAX counts in 32 bits, PyTorch's bfloat16 is read as float32, and
#: lookup layers of Keras 3 count words in integers.
_INSTEAD: Final[Mapping[str, frozenset[str]]] = {
    "float64": frozenset({"float32"}),
    "int64": frozenset({"int32"}),
    "uint64": frozenset({"uint32"}),
    "bfloat16": frozenset({"float32"}),
    "float32": frozenset({"int64", "int32"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far two results are apart.

    Attributes:
        absolute: the largest difference of two numbers.
        relative: the largest difference, relative to the largest number of its output.
        excess: `relative` in units of the tolerance for its dtype; above 1 is too far.
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


def difference(expected: Any, found: Any) -> Difference:
    """Return how far *found* is from *expected*.

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
    if found.dtype.name not in {name, *_INSTEAD.get(name, ())}:
        raise ValueError(f"its dtype is {found.dtype.name}, and was {name}")
    if name not in TOLERANCES:
        return _exact(expected, found)
    left, right = expected.astype("float64"), found.astype("float64")
    # Where the original divides by nothing (a row that is masked as a whole), Keras 3 may not.
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
