"""Tensor specs, and nests of them, to JSON values and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fastload.runtime.core.tensorflow import tensorflow

_PLAIN: Final = (type(None), bool, int, float, str)


class NotPlainError(ValueError):
    """A nest cannot be recorded: it holds neither a dense spec nor a plain value."""


def encode(nest: Any, leaf: Callable[[Any], Any]) -> Any:
    """Return *nest* as a JSON value.

    Args:
        nest: plain values and tensor specs in lists, tuples and dicts with string keys.
        leaf: encodes any other leaf, or raises `NotPlainError`.

    Raises:
        NotPlainError: something in it cannot be recorded.
    """
    if type(nest) in _PLAIN:  # a subclass would come back as its base
        return nest
    if type(nest) in (list, tuple):
        return {type(nest).__name__: [encode(item, leaf) for item in nest]}
    if type(nest) is dict and all(isinstance(key, str) for key in nest):
        return {"dict": {key: encode(value, leaf) for key, value in nest.items()}}
    if type(nest) is tensorflow().TensorSpec:
        return {"spec": encode_spec(nest)}
    return leaf(nest)


def decode(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """Return the nest that `encode` made *value* from; *leaf* decodes what its counterpart
    encoded.
    """
    if isinstance(value, _PLAIN):
        return value
    ((kind, inner),) = value.items()
    if kind in ("list", "tuple"):
        items = [decode(item, leaf) for item in inner]
        return tuple(items) if kind == "tuple" else items
    if kind == "dict":
        return {key: decode(item, leaf) for key, item in inner.items()}
    return decode_spec(inner) if kind == "spec" else leaf(value)


def encode_spec(spec: Any) -> list[Any]:
    """Return [dtype, shape, name] of a dense spec; the shape is None where the rank is unknown."""
    return [spec.dtype.name, None if spec.shape.rank is None else spec.shape.as_list(), spec.name]


def decode_spec(value: list[Any]) -> Any:
    """Return the dense spec that *value* describes."""
    dtype, shape, name = value
    return tensorflow().TensorSpec(shape, dtype, name)
