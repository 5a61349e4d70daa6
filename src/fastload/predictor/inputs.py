"""Inputs of a predictor, checked against its signature before anything runs, and cut into batches.

TensorFlow runs a flat function without looking at shapes: a wrong rank would end the process inside
a kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from fastload.runtime.core import eager
from fastload.signature import Signature, TensorSpec, shown_shape
from fastload.twin.format import dtype_of

#: Rows that Keras predicts at a time where it is not told.
DEFAULT_BATCH_SIZE: Final = 32


def named_inputs(signature: Signature, given: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a caller gave, by the names of the signature's inputs.

    Args:
        signature: what the function takes.
        given: one value, values in the order of a Keras model, or values by name; None if they are
            all in *named*.
        named: values by name.

    Raises:
        TypeError: it cannot be said which value is which input.
        ValueError: an input is missing, or there is no input of some name.
    """
    if given is not None and named:
        raise TypeError("give inputs either by name or in one argument, not both")
    found = named if given is None else _by_name(signature, given)
    if missing := signature.inputs.keys() - found.keys():
        raise ValueError(f"{_shown(signature)}: {_listed(missing)} is missing")
    if unknown := found.keys() - signature.inputs.keys():
        raise ValueError(f"{_shown(signature)}: there is no input {_listed(unknown)}")
    return {name: found[name] for name in signature.inputs}


def tensor_of(signature: Signature, spec: TensorSpec, value: Any) -> Any:
    """Return *value* as a tensor that suits *spec*.

    Numbers are converted where nothing but precision can be lost: whole numbers to floating point,
    64 bits to 32. Tensors are taken as they are.

    Raises:
        TypeError: it is no tensor, array or nest of plain values, or has another kind of dtype.
        ValueError: it has another shape, or holds numbers that do not fit.
    """
    tensor = _checked_tensor(signature, spec, value)
    if tensor is None:
        tensor = _converted(signature, spec, _array(signature, spec, value))
    _require_shape(signature, spec, tuple(tensor.shape))
    return tensor


def array_of(signature: Signature, spec: TensorSpec, value: Any) -> Any:
    """Return *value*, which may be too long for one call, as something that can be sliced.

    Raises:
        TypeError, ValueError: as `tensor_of`, but for the shape.
    """
    tensor = _checked_tensor(signature, spec, value)
    return _array(signature, spec, value) if tensor is None else tensor


def batches(
    signature: Signature, arrays: Mapping[str, Any], batch_size: int | None
) -> Iterator[dict[str, Any]]:
    """Cut inputs into batches.

    Args:
        signature: what the function takes.
        arrays: the inputs by name, all with the same number of rows.
        batch_size: rows at a time; None for as many as the signature fixes, or 32.

    Raises:
        ValueError: an input has no rows, or they have different numbers of rows, or the last batch
            does not suit the signature: the function, which may keep a state, would have run.
    """
    if not arrays:
        yield {}
        return
    rows = _rows(arrays)
    size = batch_size or _fixed_rows(signature) or DEFAULT_BATCH_SIZE
    for name, array in arrays.items():
        last = (rows - (rows - 1) // size * size, *array.shape[1:])
        _require_shape(signature, signature.inputs[name], last)
    for start in range(0, rows, size):
        yield {name: array[start : start + size] for name, array in arrays.items()}


def joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Join the outputs of batches, by name."""
    return {name: _join([np.asarray(part[name]) for part in parts]) for name in parts[0]}


def _by_name(signature: Signature, given: Any) -> Mapping[str, Any]:
    if isinstance(given, Mapping):
        return given
    if len(signature.inputs) == 1:
        ((name, spec),) = signature.inputs.items()
        return {name: _unpacked(spec, given)}
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"{_shown(signature)}: give a dict with a value for each")
    if signature.order is None:
        raise TypeError(f"{_shown(signature)}, in an unknown order: give a dict")
    if len(given) != len(signature.order):
        raise ValueError(f"{_shown(signature)}; it was given {len(given)} values")
    return dict(zip(signature.order, given, strict=True))


def _unpacked(spec: TensorSpec, given: Any) -> Any:
    """Return the one value of a list of one, as Keras does; a list may be the value itself."""
    if isinstance(given, (list, tuple)) and len(given) == 1 and hasattr(given[0], "shape"):
        one = given[0]
        if spec.shape is not None and len(one.shape) == len(spec.shape):
            return one
    return given


def _checked_tensor(signature: Signature, spec: TensorSpec, value: Any) -> Any:
    """Return *value* if it is a tensor or variable, None if it is anything else."""
    if eager.is_variable(value):
        value = value.read_value()
    if not eager.is_tensor(value):
        return None
    if not hasattr(value, "numpy"):
        raise TypeError(
            "a predictor cannot be called inside a tf.function: use fastload.load_saved_model there"
        )
    if value.dtype.name != spec.dtype:
        raise TypeError(f"{_takes(signature, spec)}; it was given a tensor of {value.dtype.name}")
    return value


def _array(signature: Signature, spec: TensorSpec, value: Any) -> np.ndarray[Any, Any]:
    # Text as objects: numpy would make text of bytes that stand beside text.
    plain = isinstance(value, (list, tuple, str, bytes)) and spec.dtype == "string"
    try:
        array = np.asarray(value, dtype=object if plain else None)
    except Exception as error:  # what an object's own conversion raises is anybody's guess
        raise TypeError(
            f"{_takes(signature, spec)}; this cannot become an array: {error}"
        ) from error
    if spec.dtype == "string":
        return _strings(signature, spec, array)
    if not _can_cast(array.dtype, spec.dtype):
        raise TypeError(f"{_takes(signature, spec)}; it was given {array.dtype}")
    return array


def _strings(
    signature: Signature, spec: TensorSpec, array: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    if array.dtype.kind in "US" or (
        array.dtype.kind == "O" and all(isinstance(each, (str, bytes)) for each in array.flat)
    ):
        return array
    raise TypeError(f"{_takes(signature, spec)}; it was given {array.dtype}")


def _can_cast(given: np.dtype[Any], wanted: str) -> bool:
    if given.name == wanted:
        return True
    target = dtype_of(wanted)
    if target.kind == "V" or target.isbuiltin != 1:  # a type of ml_dtypes: all are floating point
        return given.kind in "iuf"
    return (
        given.isbuiltin == 1 and given.kind in "iufcb" and np.can_cast(given, target, "same_kind")
    )


def _converted(signature: Signature, spec: TensorSpec, array: np.ndarray[Any, Any]) -> Any:
    if spec.dtype not in {"string", array.dtype.name}:
        cast = array.astype(dtype_of(spec.dtype))
        if array.dtype.kind in "iu" and cast.dtype.kind in "iu" and not np.array_equal(cast, array):
            raise ValueError(f"{_takes(signature, spec)}; it was given numbers that do not fit")
        array = cast
    try:
        return eager.tensor_of(array, spec.dtype)
    except Exception as error:
        raise TypeError(f"{_takes(signature, spec)}: {error}") from error


def _require_shape(signature: Signature, spec: TensorSpec, shape: tuple[Any, ...]) -> None:
    if not _suits(shape, spec.shape):
        raise ValueError(f"{_takes(signature, spec)}; it was given {shown_shape(shape)}")


def _suits(shape: Any, wanted: tuple[int | None, ...] | None) -> bool:
    if wanted is None:
        return True
    return len(shape) == len(wanted) and all(
        size is None or size == found for found, size in zip(shape, wanted, strict=True)
    )


def _takes(signature: Signature, spec: TensorSpec) -> str:
    return f"input {spec.name!r} of {signature.name!r} takes {spec}"


def _shown(signature: Signature) -> str:
    return f"{signature.name!r} takes {_listed(signature.inputs)}"


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in sorted(names, key=str)) or "no inputs"


def _join(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    if len(arrays) == 1:  # of a tensor, which nobody may write to
        return arrays[0] if arrays[0].flags.writeable else arrays[0].copy()
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
