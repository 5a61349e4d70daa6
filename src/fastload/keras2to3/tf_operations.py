"""TensorFlow's functions on symbolic tensors of Keras 3, by Keras's own operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fastload.keras2to3.rules.operations import Operation


@dataclass(frozen=True, slots=True)
class Length:
    """The length of an axis that is known only at run time; Keras 3 has no tensor for it."""

    tensor: Any
    axis: int


class Shape(tuple[Any, ...]):
    """The shape of a tensor: numbers, and a `Length` for each unknown axis."""

    __slots__ = ()


class Operations:
    """The operations of a Keras 3, by the names that `keras2to3.rules.operations` uses."""

    def __init__(self, keras: Any) -> None:
        self._keras = keras
        self._ops = keras.ops

    def call(self, operation: Operation, first: Any, others: Mapping[str, Any]) -> Any:
        """Call the equivalent of a TensorFlow function.

        Raises:
            ValueError: an argument has no counterpart; the message says which.
        """
        arguments = operation.bound(first, others)
        kind = _dtype_of(arguments)
        own = getattr(self, f"_{operation.target}", None)
        if own is None:
            arguments = {key: self._tensor(value, kind) for key, value in arguments.items()}
        function: Callable[..., Any] = own or getattr(self._ops, operation.target)
        return function(**{key: value for key, value in arguments.items() if value is not None})

    def _tensor(self, value: Any, kind: str | None) -> Any:
        """Return *value* as operations take it: lengths as tensors, nested numbers as arrays."""
        if isinstance(value, Length):
            return self._length(value, "int32")
        if isinstance(value, list) and value and isinstance(value[0], (list, float)):
            return np.array(value, kind) if _is_numbers(value) else value
        return value

    def _length(self, length: Length, dtype: str) -> Any:
        """Return a length as a tensor: the sum of a one for each element."""
        index = tuple(
            slice(None) if axis == length.axis else 0 for axis in range(len(length.tensor.shape))
        )
        # In float32, which is exact up to 2**24: TensorFlow sums integers on the host only.
        ones = self._ops.ones_like(length.tensor[index], dtype="float32")
        return self._ops.cast(self._ops.sum(ones), dtype)

    def _shape_of(self, x: Any) -> Shape:
        return Shape(Length(x, axis) if size is None else size for axis, size in enumerate(x.shape))

    def _cast(self, x: Any, dtype: str) -> Any:
        if isinstance(x, Length):
            return self._length(x, dtype)
        return self._ops.cast(x, dtype) if hasattr(x, "shape") else np.array(x, dtype)

    def _itself(self, x: Any) -> Any:
        return x

    def _item_of(self, x: Any, spec: Any) -> Any:
        index = _index(spec)
        if not isinstance(x, Shape):
            return x[index]
        part = x[index[0] if isinstance(index, tuple) else index]
        return Shape(part) if isinstance(part, tuple) else part

    def _reshape_to(self, x: Any, shape: Any) -> Any:
        sizes = list(shape)
        open_axes = [axis for axis, size in enumerate(sizes) if isinstance(size, Length)]
        for axis in open_axes:
            sizes[axis] = -1
        sizes = [int(size) for size in sizes]
        is_open = [size == -1 for size in sizes]
        if sum(is_open) > 2 or (sum(is_open) == 2 and not is_open[0]):  # noqa: PLR2004 - the batch, and one more
            raise ValueError("two axes of its result are known only at run time")
        if sum(is_open) == 2:  # noqa: PLR2004 - the layer keeps the batch axis
            return self._keras.layers.Reshape(tuple(sizes[1:]))(x)
        return self._ops.reshape(x, tuple(sizes))

    def _stack_of(self, xs: Sequence[Any], axis: int = 0) -> Any:
        if not any(hasattr(x, "shape") for x in xs):
            return Shape(xs)
        return self._ops.stack([self._tensor(x, None) for x in xs], axis=axis)

    def _flip_of(self, x: Any, axis: Any) -> Any:
        # One by one: Keras 3.0 to 3.12 fail at a list of axes when the model is called.
        for each in [axis] if isinstance(axis, int) else axis:
            x = self._ops.flip(x, axis=int(each))
        return x

    def _split_by(self, x: Any, sizes: Any, axis: int = 0, num: Any = None) -> Any:
        if isinstance(sizes, int):
            return self._ops.split(x, sizes, axis=axis)
        return self._ops.split(x, [int(end) for end in np.cumsum(sizes)[:-1]], axis=axis)

    def _pad_by(self, x: Any, widths: Any, mode: str = "CONSTANT", value: Any = 0) -> Any:
        pairs = tuple(tuple(int(width) for width in pair) for pair in widths)
        if mode.upper() == "CONSTANT":
            return self._ops.pad(x, pairs, mode="constant", constant_values=value)
        return self._ops.pad(x, pairs, mode=mode.lower())

    def _matmul_of(
        self, x: Any, y: Any, *, transpose_x: Any = False, transpose_y: Any = False
    ) -> Any:
        left, right = (self._tensor(each, _dtype_of({"x": x, "y": y})) for each in (x, y))
        left = self._swapped(left) if transpose_x else left
        return self._ops.matmul(left, self._swapped(right) if transpose_y else right)

    def _swapped(self, x: Any) -> Any:
        axes = list(range(len(x.shape)))
        return self._ops.transpose(x, axes=[*axes[:-2], axes[-1], axes[-2]])

    def _squared_difference(self, x1: Any, x2: Any) -> Any:
        return self._ops.square(self._ops.subtract(x1, x2))

    def _add_all(self, xs: Sequence[Any]) -> Any:
        total = xs[0]
        for x in xs[1:]:
            total = self._ops.add(total, x)
        return total

    def _l2_normalize(self, x: Any, axis: Any = None, epsilon: float = 1e-12) -> Any:
        ops = self._ops
        squares = ops.sum(ops.square(x), axis=axis, keepdims=True)
        return ops.multiply(x, ops.rsqrt(ops.maximum(squares, epsilon)))

    def _softmax_of(self, x: Any, axis: int = -1) -> Any:
        return self._ops.softmax(x, axis=axis)

    def _log_softmax_of(self, x: Any, axis: int = -1) -> Any:
        return self._ops.log_softmax(x, axis=axis)

    def _sum_as(self, x: Any, **others: Any) -> Any:
        return self._as_narrow(x, self._ops.sum(x, **others))

    def _prod_as(self, x: Any, **others: Any) -> Any:
        return self._as_narrow(x, self._ops.prod(x, **others))

    def _as_narrow(self, x: Any, result: Any) -> Any:
        """Return *result* in the dtype of *x*: Keras 3 has more bits where integers have few."""
        return result if result.dtype == x.dtype else self._ops.cast(result, x.dtype)

    def _argmax_as(self, x: Any, axis: int = 0, dtype: str = "int64") -> Any:
        return self._ops.cast(self._ops.argmax(x, axis=axis), dtype)

    def _argmin_as(self, x: Any, axis: int = 0, dtype: str = "int64") -> Any:
        return self._ops.cast(self._ops.argmin(x, axis=axis), dtype)

    def _one_hot_of(self, x: Any, classes: int, **others: Any) -> Any:
        if others.pop("on_value", 1) != 1 or others.pop("off_value", 0) != 0:
            raise ValueError("its two values are not 1 and 0")
        return self._ops.one_hot(x, classes, axis=others.get("axis", -1), dtype=others.get("dtype"))

    def _resize_images(
        self, images: Any, size: Any, method: str = "bilinear", *, antialias: bool = False
    ) -> Any:
        return self._ops.image.resize(
            images,
            tuple(int(each) for each in size),
            interpolation=method,
            antialias=antialias,
            data_format="channels_last",
        )

    def _depth_to_space(self, x: Any, block_size: int) -> Any:
        height, width, depth = _sizes(x)
        parts = (-1, height, width, block_size, block_size, depth // block_size**2)
        turned = self._ops.transpose(self._ops.reshape(x, parts), (0, 1, 3, 2, 4, 5))
        sizes = (-1, height * block_size, width * block_size, depth // block_size**2)
        return self._ops.reshape(turned, sizes)

    def _space_to_depth(self, x: Any, block_size: int) -> Any:
        height, width, depth = _sizes(x)
        parts = (-1, height // block_size, block_size, width // block_size, block_size, depth)
        turned = self._ops.transpose(self._ops.reshape(x, parts), (0, 1, 3, 2, 4, 5))
        sizes = (-1, height // block_size, width // block_size, depth * block_size**2)
        return self._ops.reshape(turned, sizes)


def _sizes(x: Any) -> tuple[int, int, int]:
    if None in x.shape[1:]:
        raise ValueError("the size of its images is known only at run time")
    height, width, depth = x.shape[1:]
    return height, width, depth


_SLICE: Final = frozenset({"start", "stop", "step"})


def _index(spec: Any) -> Any:
    """Return the index of `x[...]` that Keras 2 serialized as *spec*."""
    if isinstance(spec, Mapping):
        if spec.keys() != _SLICE:
            raise ValueError(f"its index {spec!r} is unknown")
        return slice(*(_bound(spec[key]) for key in ("start", "stop", "step")))
    if isinstance(spec, (list, tuple)):
        return tuple(_index(each) for each in spec)
    return _bound(spec)


def _bound(value: Any) -> Any:
    if isinstance(value, Length) or hasattr(value, "_keras_history"):
        raise ValueError("its bounds are known only at run time")
    return value


def _dtype_of(arguments: Mapping[str, Any]) -> str | None:
    found = (value for value in arguments.values() if hasattr(value, "_keras_history"))
    return next((str(value.dtype) for value in found), None)


def _is_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_numbers(each) for each in value)
    return isinstance(value, (bool, int, float))
