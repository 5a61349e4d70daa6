"""Variable handles that share one kernel.

TensorFlow makes a kernel for every distinct set of attributes of an operation, and the operation
that makes a variable's handle has the variable's name among them, for debugging: 0.6 ms for each
variable of a Keras 3 model, a third of a whole load. While a restore runs, handles are made under
one such name. The variable's own name is kept in Python and is what every message and every saver
uses.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fastload.runtime.rebuild import Tap, current_rebuild
from fastload.runtime.tensorflow import import_module
from fastload.runtime.transplant import require


def tap_handles() -> Tap:
    """Return the tap on the operation that makes handles."""
    operations = import_module("tensorflow.python.ops.gen_resource_variable_ops")
    require(operations, ["var_handle_op"])
    return Tap(operations, "var_handle_op", _tap)


def _tap(stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def var_handle_op(*args: Any, **kwargs: Any) -> Any:
        if current_rebuild() is not None and "debug_name" in kwargs:
            kwargs["debug_name"] = "fastload"
        return stock(*args, **kwargs)

    return var_handle_op
