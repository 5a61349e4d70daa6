"""Variables of Keras 3 on JAX: they start blank; Keras itself assigns weights without a copy.

JAX arrays never change: a variable that is updated gets another one. On a CPU, `jnp.asarray` of
memory at a multiple of 64 bytes, with a dtype, is an array over that memory, and JAX copies before
it donates memory that is not its own; `tests/backends/test_jax_memory.py` shows both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from fastload.errors import UnsupportedRequestError, UnsupportedRuntimeError
from fastload.runtime.core.rebuild import Patch, Rebuild, can_come_later, current_rebuild
from fastload.runtime.importing import import_module
from fastload.runtime.requirements import KERAS3_JAX, NAMES_OF_KERAS

_MAKES = "_initialize_with_initializer"
_ASSIGNS = "_direct_assign"


def require_plain(*, may_be_scoped: bool = False) -> None:
    """Check that a variable created now would be a plain one that holds an array.

    Raises:
        UnsupportedRuntimeError: Keras's variables are Flax's.
        UnsupportedRequestError: the load is inside a JAX transformation.
    """
    config = NAMES_OF_KERAS.loaded("config")
    if getattr(config, "is_nnx_enabled", lambda: False)():
        raise UnsupportedRuntimeError("Keras's variables are Flax's (NNX)")
    if not KERAS3_JAX.part("jax").trace_state_clean():
        raise UnsupportedRequestError("the load is inside a JAX transformation")


def patches(variable: type[Any], initializer: type[Any]) -> list[Patch]:
    """Return the patch of Keras's class of variables; none before Keras 3.13."""
    if _MAKES not in vars(variable):
        return []
    return [Patch(variable, _MAKES, functools.partial(_patched_initialize, initializer))]


def weight_patches(variable: type[Any]) -> list[Patch]:
    """Return the patch for variables of a model that exists.

    Raises:
        UnsupportedRuntimeError: a private name is missing.
    """
    KERAS3_JAX.part("core")
    return [Patch(variable, _ASSIGNS, _patched_direct_assign)]


def _patched_direct_assign(stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def direct_assign(self: Any, value: Any) -> None:
        rebuild = current_rebuild()
        # One that is being made has no value before.
        before = getattr(self, "_value", None)
        if rebuild is not None and rebuild.undo is not None and before is not None:
            rebuild.undo.append(_undo_of(self, before))
        stock(self, value)

    return direct_assign


def _undo_of(variable: Any, before: Any) -> Callable[[], None]:
    """Return what gives a variable the value *before* back.

    A device has no room for all values twice: what is kept of one is kept on the host.
    """
    if all(device.platform == "cpu" for device in before.devices()):
        return functools.partial(setattr, variable, "_value", before)
    kept, placement = np.asarray(before), before.sharding

    def undo() -> None:
        variable._value = import_module("jax").device_put(kept, placement)

    return undo


def _patched_initialize(base: type[Any], stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def initialize(self: Any, initializer: Any) -> None:
        rebuild = current_rebuild()
        can_wait = can_come_later(initializer, base, self._shape, self._dtype) and _can_wait(self)
        if rebuild is None or rebuild.may_be_read or not can_wait:
            stock(self, initializer)
            return
        blank = _blank(rebuild, self._shape, self._dtype)
        stock(self, lambda *_, **__: blank)
        if self._value is blank:
            rebuild.unfilled.append(functools.partial(_fill, stock, self, initializer, blank))

    return initialize


def _fill(stock: Callable[..., Any], variable: Any, initializer: Any, blank: Any) -> None:
    """Give *variable* its stock initial value, if it got no weights."""
    if variable._value is blank:
        stock(variable, initializer)


def _can_wait(variable: Any) -> bool:
    """Say whether *variable* is an ordinary one, of a dtype that JAX has enabled."""
    if variable._layout is not None or not all(variable._shape):
        return False
    dtype = import_module("jax.numpy").dtype(variable._dtype)
    return bool(import_module("jax").dtypes.canonicalize_dtype(dtype) == dtype)


def _blank(rebuild: Rebuild, shape: tuple[int, ...], dtype: str) -> Any:
    """Return an array of zeros over the blank sheet, the same one for each shape and dtype."""
    key = (shape, dtype)
    if key not in rebuild.zeros:
        numpy_dtype = np.dtype(import_module("jax.numpy").dtype(dtype))
        rebuild.zeros[key] = import_module("jax").device_put(rebuild.sheet.cut(shape, numpy_dtype))
    return rebuild.zeros[key]
