"""The results of a layer's symbolic calls, in a form that a configuration can hold.

A functional model calls its layers before they have what their file keeps for them, so a layer of
functions has to say by its configuration alone what it returns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import keras

from fastload.runtime.requirements import MIGRATION

#: What distinguishes the parts of a nest that JSON does not.
_TENSOR: Final = "tensor"
_TUPLE: Final = "tuple"
_DICT: Final = "dict"
_FLAGS: Final = ("sparse", "ragged")


def call_form(args: Any, kwargs: Mapping[str, Any]) -> str | None:
    """Return the arguments of a call as text; None if they hold what has no such form.

    Keras's files have lists for tuples, so they are the same here.
    """
    given = {name: each for name, each in kwargs.items() if any(are_given(each))}
    try:
        return json.dumps(_without_tuples([form_of(args), form_of(given)]), sort_keys=True)
    except TypeError:
        return None


def _without_tuples(form: Any) -> Any:
    if isinstance(form, list):
        return [_without_tuples(each) for each in form]
    if not isinstance(form, Mapping):
        return form
    if _is_tuple(form):
        return _without_tuples(form[_TUPLE])
    return {name: _without_tuples(each) for name, each in form.items()}


def as_in(form: Any, nest: Any) -> Any:
    """Return *nest* with lists and tuples where *form* has them; itself, if it is another nest.

    Example:
        >>> as_in({"tuple": [None, [None]]}, [1, (2,)])
        (1, [2])
    """
    kind, parts = (tuple, form[_TUPLE]) if _is_tuple(form) else (list, form)
    if not isinstance(parts, list) or not isinstance(nest, (list, tuple)):
        return nest
    if len(parts) != len(nest):
        return nest
    return kind(as_in(part, each) for part, each in zip(parts, nest, strict=True))


def _is_tuple(form: Any) -> bool:
    return isinstance(form, Mapping) and form.keys() == {_TUPLE}


def are_given(nest: Any) -> list[bool]:
    """Return for each value in *nest*, in order, whether it is not None."""
    return [each is not None for each in MIGRATION.part("tree").flatten(nest)]


def form_of(nest: Any) -> Any:
    """Return a nest of symbolic tensors and plain values as JSON.

    Raises:
        TypeError: it holds something else.

    Example:
        >>> form_of((keras.KerasTensor((None, 2)), "same"))
        {'tuple': [{'tensor': [[None, 2], 'float32', False, False]}, 'same']}
    """
    if isinstance(nest, keras.KerasTensor) or (hasattr(nest, "shape") and hasattr(nest, "dtype")):
        flags = [bool(getattr(nest, name, False)) for name in _FLAGS]
        shape = [None if size is None else int(size) for size in nest.shape]
        return {_TENSOR: [shape, keras.backend.standardize_dtype(nest.dtype), *flags]}
    if isinstance(nest, Mapping):
        return {_DICT: {str(name): form_of(each) for name, each in nest.items()}}
    if isinstance(nest, tuple):
        return {_TUPLE: [form_of(each) for each in nest]}
    if isinstance(nest, list):
        return [form_of(each) for each in nest]
    if nest is None or isinstance(nest, (bool, int, float, str)):
        return nest
    raise TypeError(f"{type(nest).__name__} has no form")


def nest_of(form: Any) -> Any:
    """Return what `form_of` was given, with new symbolic tensors."""
    if isinstance(form, list):
        return [nest_of(each) for each in form]
    if not isinstance(form, Mapping):
        return form
    (kind, content), *_ = form.items()
    if kind == _TENSOR:
        shape, dtype, *flags = content
        given = {name: True for name, flag in zip(_FLAGS, flags, strict=True) if flag}
        return keras.KerasTensor(tuple(shape), dtype=dtype, **given)
    if kind == _TUPLE:
        return tuple(nest_of(each) for each in content)
    return {name: nest_of(each) for name, each in content.items()}
