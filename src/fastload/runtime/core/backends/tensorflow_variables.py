"""Variables of Keras 3 on TensorFlow: they start blank, and get their weights without a copy."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

from fastload.runtime.core.blank_variables import (
    assign,
    can_be_blank,
    require_assignment,
    require_blanks,
    require_no_tape,
)
from fastload.runtime.core.bookkeeping import kernel_patches
from fastload.runtime.core.eager import (
    OF_ONE_REPLICA,
    executing_eagerly,
    require_plain_tensorflow,
)
from fastload.runtime.core.rebuild import (
    Patch,
    Rebuild,
    available,
    can_come_later,
    current_rebuild,
)
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.core.zero_copy import BlankSheet, MappedArray, tensor_over
from fastload.runtime.requirements import KERAS3_TENSORFLOW

_MAKES = "_initialize_with_initializer"
_ASSIGNS = "_direct_assign"
_CONVERTS = "_convert_to_tensor"


def require_plain(*, may_be_scoped: bool = False) -> None:
    """Check that a variable created now would be an ordinary one.

    Args:
        may_be_scoped: a distribution strategy with one device may be active.

    Raises:
        UnsupportedRequestError: eager execution is off, or a distribution is active.
    """
    require_plain_tensorflow(OF_ONE_REPLICA if may_be_scoped else ())


def patches(variable: type[Any], initializer: type[Any]) -> list[Patch]:
    """Return the patches of Keras's class of variables, and of the operations that it uses."""
    return available(
        functools.partial(_blank_patches, variable, initializer),
        functools.partial(_assignment_patches, variable),
        kernel_patches,
    )


def weight_patches(variable: type[Any]) -> list[Patch]:
    """Return the patches for variables of a model that exists.

    Raises:
        UnsupportedRuntimeError: a private name is missing.
        UnsupportedRequestError: a tape of a program's records.
    """
    require_no_tape()
    return _assignment_patches(variable)


def _blank_patches(variable: type[Any], initializer: type[Any]) -> list[Patch]:
    KERAS3_TENSORFLOW.part("creation")
    require_blanks()
    return [_creation_patch(variable, initializer)]


def _assignment_patches(variable: type[Any]) -> list[Patch]:
    KERAS3_TENSORFLOW.part("assignment")
    require_assignment()
    return [
        Patch(variable, _ASSIGNS, _patched_direct_assign),
        Patch(variable, _CONVERTS, _patched_convert),
    ]


def _creation_patch(variable: type[Any], base: type[Any]) -> Patch:
    """Return the patch of the method that calls a variable's initializer.

    Before Keras 3.5 that is `__init__` itself.
    """
    if _MAKES in vars(variable):
        return Patch(variable, _MAKES, functools.partial(_patched_initialize, base))
    holder = next(each for each in variable.__mro__ if "__init__" in vars(each))
    return Patch(holder, "__init__", functools.partial(_patched_init, base))


def _patched_direct_assign(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Assign without a copy."""

    @functools.wraps(stock)
    def direct_assign(self: Any, value: Any) -> None:
        rebuild = current_rebuild()
        if rebuild is not None and rebuild.put_off is not None and executing_eagerly():
            if rebuild.put_off.takes(self._value, value):
                return
            rebuild.put_off.remember(self._value)
        # A tape of a program notices which of its variables are assigned.
        if rebuild is None or rebuild.lingers or value.dtype != self._value.dtype:
            stock(self, value)
        else:
            assign(self._value, value)

    return direct_assign


def _patched_convert(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Convert an array of the twin by what TensorFlow comes to in the end."""

    @functools.wraps(stock)
    def convert(self: Any, value: Any, dtype: Any = None) -> Any:
        is_ours = type(value) is MappedArray and current_rebuild() is not None
        if is_ours and value.can_be_shared and value.dtype.name == dtype:
            return tensor_over(value)
        return stock(self, value, dtype=dtype)

    return convert


def _patched_initialize(base: type[Any], stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def initialize(self: Any, initializer: Any) -> None:
        rebuild = current_rebuild()
        if rebuild is None:
            stock(self, initializer)
            return
        late = _LateInitializer(initializer, base, rebuild)
        stock(self, late)
        late.settle(self)

    return initialize


def _patched_init(base: type[Any], stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def init(self: Any, initializer: Any, *args: Any, **kwargs: Any) -> None:
        rebuild = current_rebuild()
        if rebuild is None or not isinstance(initializer, base):
            stock(self, initializer, *args, **kwargs)
            return
        late = _LateInitializer(initializer, base, rebuild)
        stock(self, late, *args, **kwargs)
        late.settle(self)

    return init


class _LateInitializer:
    """An initializer that gives a variable a blank value first, where that cannot be noticed."""

    def __init__(self, initializer: Any, base: type[Any], rebuild: Rebuild) -> None:
        self._initializer = initializer
        self._base = base
        self._rebuild = rebuild
        self._put_off: Callable[[], Any] | None = None

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Return a blank value, or what the initializer returns."""
        initializer = self._initializer
        if not can_come_later(initializer, self._base, shape, dtype):
            return initializer(shape, dtype=dtype)
        as_dtype = tensorflow().as_dtype(dtype)
        if not (all(shape) and BlankSheet.fits(as_dtype) and can_be_blank()):
            return initializer(shape, dtype=dtype)
        if self._rebuild.lingers:  # a program may change its own until then
            initializer = copy.copy(initializer)
        self._put_off = functools.partial(initializer, shape, dtype=dtype)
        return self._rebuild.sheet.tensor(tuple(shape), as_dtype)

    def settle(self, variable: Any) -> None:
        """Make *variable* blank if it got a blank value; it keeps the initializer that it had."""
        if variable._initializer is self:  # it waits for the end of a stateless scope
            variable._initializer = self._initializer
        if self._put_off is not None:
            self._rebuild.make_blank(variable._value, self._put_off)
