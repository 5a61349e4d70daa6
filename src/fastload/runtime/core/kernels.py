"""Variables without a kernel of their own for each of them.

TensorFlow makes a kernel for every distinct set of attributes of an operation, and keeps it: for
the operation that makes a variable's handle, one for every name (which is there for debugging) and
shape, and for the one that assigns to it, one for every shape. TensorFlow 2.12 and later (2.8 does
not) wrap each such kernel in a function of its own, which takes 0.5 ms; a network has hundreds. In
a rebuild, handles are made under one name, and both kernels without the wrapping, which leaves 0.05
ms. The variable's own name is kept in Python and is what every message and every saver uses.

Whether kernels are wrapped is a switch of the whole process. It is thrown for single operations
only, and only while no other Python thread is there that could notice.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from fastload.runtime.core.rebuild import Tap, current_rebuild
from fastload.runtime.requirements import KERNELS


def tap_kernels() -> list[Tap]:
    """Return the taps on the operations that make handles and assign to them."""
    operations = KERNELS.part("operations")
    return [Tap(operations, name, _tap) for name in ("var_handle_op", "assign_variable_op")]


def _tap(stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def operation(*args: Any, **kwargs: Any) -> Any:
        rebuild = current_rebuild()
        if rebuild is None:
            return stock(*args, **kwargs)
        if "debug_name" in kwargs:
            kwargs["debug_name"] = "fastload"
        if rebuild.wrapping is None:
            rebuild.wrapping = _wrapping_switch() or _nothing
        switch = rebuild.wrapping
        if switch is _nothing or _others_run():
            return stock(*args, **kwargs)
        switch(False)
        try:
            return stock(*args, **kwargs)
        finally:
            switch(True)

    return operation


def _others_run() -> bool:
    """Say whether there is a thread besides this one that could run an operation of its own."""
    # Those of fastload run operations that no wrapping concerns.
    return sum(not each.name.startswith("fastload ") for each in threading.enumerate()) > 1


def _nothing(position: bool) -> None:  # noqa: FBT001
    """Stand for a switch where there is none."""


def _wrapping_switch() -> Callable[[bool], None] | None:
    """Return what switches the wrapping of kernels off and on, or None where it is not on."""
    module = KERNELS.part("context")
    context = module.context()
    context.ensure_initialized()  # as the operation that is about to run would
    switch = getattr(KERNELS.optional("pywrap_tfe"), "TFE_ContextSetRunEagerOpAsFunction", None)
    is_on = getattr(module, "run_eager_op_as_function_enabled", lambda: False)
    if switch is None or not is_on():
        return None
    return functools.partial(switch, context._context_handle)
