"""Variables of Keras 3 on TensorFlow: they start blank, and share the memory of their weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fastload.runtime.core.backends.initial_values import can_come_later
from fastload.runtime.core.eager import require_plain_tensorflow
from fastload.runtime.core.kernels import tap_kernels
from fastload.runtime.core.rebuild import Rebuild, Tap, current_rebuild
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.core.zero_copy import BlankSheet, assign
from fastload.runtime.requirements import KERAS3_TENSORFLOW

_MAKES = "_initialize_with_initializer"
_ASSIGNS = "_direct_assign"


def require_plain() -> None:
    """Check that a variable made now is an ordinary one.

    Raises:
        UnsupportedRequestError: eager execution is off, or a distribution is active.
    """
    require_plain_tensorflow()


def taps(variable: type[Any], initializer: type[Any]) -> list[Tap]:
    """Return the taps on Keras's class of variables, and on TensorFlow's operations below it.

    Raises:
        UnsupportedRuntimeError: the class is not shaped as expected.
    """
    KERAS3_TENSORFLOW.part("core")
    return [
        Tap(variable, _MAKES, functools.partial(_tap_variables, initializer)),
        Tap(variable, _ASSIGNS, _tap_assignments),
        *tap_kernels(),
    ]


def _tap_assignments(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Note which variables have their weights; share the memory of what they are given."""

    @functools.wraps(stock)
    def direct_assign(self: Any, value: Any) -> None:
        rebuild = current_rebuild()
        if rebuild is None or value.dtype != self._value.dtype:
            stock(self, value)
        else:
            assign(self._value, value)
            rebuild.filled.add(id(self._value))

    return direct_assign


def _tap_variables(base: type[Any], stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def initialize(self: Any, initializer: Any) -> None:
        rebuild = current_rebuild()
        if rebuild is None or not can_come_later(initializer, base) or not _can_wait(self):
            stock(self, initializer)
            return
        stock(self, functools.partial(_blank, rebuild))
        # Keras's own way to the value, once the variable turns out to have no weights in the file.
        rebuild.blanks.append((self._value, lambda: initializer(self._shape, dtype=self._dtype)))

    return initialize


def _can_wait(variable: Any) -> bool:
    tf = tensorflow()
    return all(variable._shape) and BlankSheet.fits(tf.as_dtype(variable._dtype))


def _blank(rebuild: Rebuild, shape: Any, dtype: Any = None) -> Any:
    return rebuild.sheet.tensor(tuple(shape), tensorflow().as_dtype(dtype))
