"""Inputs made up for a function or a model from what it takes: the same ones each time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fastload.signature import TensorSpec
from fastload.twin.format import dtype_of
from fastload.twin.weights import Array

_SEED: Final = 20_261_122
_WORDS: Final = ("a", "cat", "the dog", "", "fish and more", "caf\u00e9")
#: Of probes: lengths for axes that a model leaves open, one after the other.
_OPEN_AXES: Final = (24, 100, 400)
#: For a model over one open axis; some read thousands of places around the one that they tell of.
_LONG_AXES: Final = (*_OPEN_AXES, 2_000, 12_000)
#: Integers mostly index a table, whose length nothing tells.
_INTEGERS_BELOW: Final = (20, 3, 2)
#: Types of what describes a dense input: Keras 3 has none, Keras 2 has this.
_DENSE: Final = frozenset({"NoneType", "TensorSpec"})


class UnknownInputsError(Exception):
    """No inputs can be made up for a model; the message says why."""


def input_specs(model: Any) -> tuple[TensorSpec, ...]:
    """Return what a Keras model takes.

    Raises:
        UnknownInputsError: it does not say, or takes a tensor that is not dense.
    """
    specs = tuple(map(_spec, stated(model, "inputs") or ()))
    if not specs:
        raise UnknownInputsError("the model does not say what it takes")
    return specs


def stated(model: Any, attribute: str) -> Any:
    """Return an attribute of *model* that says what it takes; None before that is known.

    A sequential model of Keras 3.0 to 3.5 raises a ValueError then, as others that know it only
    after a call; later ones have no such attribute.
    """
    try:
        return getattr(model, attribute)
    except (AttributeError, ValueError):
        return None


def as_taken(model: Any, values: Sequence[Any]) -> Any:
    """Return *values*, one for each of the `input_specs` of *model*, as the model is called."""
    structure = stated(model, "input")
    if isinstance(structure, dict):  # Keras goes by the keys; an input may have another name
        return dict(zip(sorted(structure), values, strict=True))
    return values[0] if len(values) == 1 else list(values)


def blank(spec: TensorSpec) -> Array:
    """Return zeros, or empty strings; each size that is not fixed is 1."""
    sizes = [1 if size is None else size for size in spec.shape or ()]
    if spec.dtype == "string":
        return np.full(sizes, b"", dtype=object)
    return np.zeros(sizes, dtype_of(spec.dtype))


def seeded(
    specs: Sequence[TensorSpec], *, rows: int, open_axis: int, integers_below: int
) -> list[Array]:
    """Return values for *specs*.

    Args:
        specs: what is taken.
        rows: the first size, where that is not fixed.
        open_axis: every other size that is not fixed.
        integers_below: what integers are smaller than.
    """
    random = np.random.default_rng(_SEED)
    return [_values(random, spec, _sizes(spec, rows, open_axis), integers_below) for spec in specs]


def probes(
    specs: Sequence[TensorSpec],
    rows: int = 4,
    fits: Callable[[Iterable[tuple[int, ...]]], bool] = bool,
) -> Iterator[list[Array]]:
    """Yield values for *specs*, smaller ones first.

    A model may reject the first ones (a sequence too short, an index out of range) and accept the
    next ones.

    Args:
        specs: what is taken.
        rows: the first size, where that is not fixed.
        fits: says of shapes whether values of these may be made; others are left out.
    """
    for whole, below, length in _probes(specs):
        if fits([_sizes(spec, rows, length) for spec in specs]):
            values = seeded(whole, rows=rows, open_axis=length, integers_below=below)
            yield [_as(spec, value) for spec, value in zip(specs, values, strict=True)]


def _probes(specs: Sequence[TensorSpec]) -> Iterator[tuple[Sequence[TensorSpec], int, int]]:
    """Yield what is made up, what integers are smaller than, and the length of open axes."""
    open_axes = sum(size is None for spec in specs for size in (spec.shape or ())[1:])
    lengths = _LONG_AXES if open_axes == 1 else _OPEN_AXES if open_axes else _OPEN_AXES[:1]
    has_integers = any("int" in spec.dtype for spec in specs)
    for below in _INTEGERS_BELOW if has_integers else _INTEGERS_BELOW[:1]:
        for length in lengths:
            yield specs, below, length
    # Keras 2 took indices as fractions too, and that is how most files have it.
    whole = [replace(spec, dtype="int32") if "float" in spec.dtype else spec for spec in specs]
    for below in _INTEGERS_BELOW:
        for length in lengths:
            yield whole, below, length


def _spec(tensor: Any) -> TensorSpec:
    """Return what is taken in the place of *tensor*, an input of a model."""
    # Keras 3 has flags for tensors that are not dense, Keras 2 a type.
    flagged = bool(getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False))
    if flagged or type(getattr(tensor, "type_spec", None)).__name__ not in _DENSE:
        raise UnknownInputsError(f"{tensor.name!r} is sparse or ragged")
    dtype = getattr(tensor.dtype, "name", tensor.dtype)
    return TensorSpec(name=tensor.name, dtype=dtype, shape=tuple(tensor.shape))


def _sizes(spec: TensorSpec, rows: int, open_axis: int) -> tuple[int, ...]:
    first, *others = spec.shape or (None,)
    sizes = [open_axis if size is None else size for size in others]
    return (rows if first is None else first, *sizes)


def _values(
    random: np.random.Generator, spec: TensorSpec, sizes: tuple[int, ...], below: int
) -> Array:
    if spec.dtype == "string":
        return np.array(_WORDS, object)[random.integers(0, len(_WORDS), sizes)]
    if spec.dtype == "bool":
        return random.integers(0, 2, sizes).astype(bool)
    if "int" in spec.dtype:
        return random.integers(0, below, sizes).astype(spec.dtype)
    return random.normal(size=sizes).astype(dtype_of(spec.dtype))


def _as(spec: TensorSpec, value: Array) -> Array:
    return value.astype(dtype_of(spec.dtype)) if "float" in spec.dtype else value
