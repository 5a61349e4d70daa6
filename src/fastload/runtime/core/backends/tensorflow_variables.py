"""Variables of Keras 3 on TensorFlow: they start blank, and get their weights without a copy."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fastload.runtime.core.bookkeeping import kernel_patches
from fastload.runtime.core.eager import require_plain_tensorflow
from fastload.runtime.core.rebuild import Patch, Rebuild, can_come_later, current_rebuild
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.core.zero_copy import BlankSheet, assign
from fastload.runtime.requirements import KERAS3_TENSORFLOW

_MAKES = "_initialize_with_initializer"
_ASSIGNS = "_direct_assign"


def require_plain() -> None:
    """Check that a variable created now would be an ordinary one.

    Raises:
        UnsupportedRequestError: eager execution is off, or a distribution is active.
    """
    require_plain_tensorflow()


def patches(variable: type[Any], initializer: type[Any]) -> list[Patch]:
    """Return the patches of Keras's class of variables, and of the operations that it uses.

    Raises:
        UnsupportedRuntimeError: the class lacks a method.
    """
    KERAS3_TENSORFLOW.part("core")
    return [
        Patch(variable, _MAKES, functools.partial(_patched_initialize, initializer)),
        Patch(variable, _ASSIGNS, _patched_direct_assign),
        *kernel_patches(),
    ]


def _patched_direct_assign(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Note which variables have their weights; assign without a copy."""

    @functools.wraps(stock)
    def direct_assign(self: Any, value: Any) -> None:
        rebuild = current_rebuild()
        if rebuild is None or value.dtype != self._value.dtype:
            stock(self, value)
        else:
            assign(self._value, value)
            rebuild.filled.add(id(self._value))

    return direct_assign


def _patched_initialize(base: type[Any], stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def initialize(self: Any, initializer: Any) -> None:
        rebuild = current_rebuild()
        if rebuild is None or not can_come_later(initializer, base) or not _can_wait(self):
            stock(self, initializer)
            return
        stock(self, functools.partial(_blank, rebuild))
        # Keras's own initial value, for a variable without weights in the file.
        rebuild.blanks.append((self._value, lambda: initializer(self._shape, dtype=self._dtype)))

    return initialize


def _can_wait(variable: Any) -> bool:
    tf = tensorflow()
    return all(variable._shape) and BlankSheet.fits(tf.as_dtype(variable._dtype))


def _blank(rebuild: Rebuild, shape: Any, dtype: Any = None) -> Any:
    return rebuild.sheet.tensor(tuple(shape), tensorflow().as_dtype(dtype))
