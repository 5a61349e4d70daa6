"""What a function captures, while the function itself is not made.

A function of TensorFlow's keeps handles of variables, and no variable: where the model is gone, so
are its variables, which some calls miss. A function that waits to be made holds no more of them;
tables it keeps until it is made.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import OBJECTS


class PendingTensor:
    """A tensor inside a function, for functions that capture it.

    The loader sets attributes on it, as on every node.
    """

    def __init__(self, make: Callable[[], tuple[Any, Any]]) -> None:
        self._make = make

    def make(self) -> Any:
        """Return the tensor."""
        return self._make()[0]


def capture_of(node: Any) -> Callable[[], Any]:
    """Return what gives a function *node* to capture once it is made.

    Args:
        node: a variable, tensor, resource or other object of the loader.
    """
    if isinstance(node, PendingTensor):
        return node.make
    if not isinstance(node, tensorflow().Variable):
        return lambda: node
    return functools.partial(_variable, weakref.ref(node), node.handle)


def _variable(found: Callable[[], Any], handle: Any) -> Any:
    """Return a variable; where it is gone, another over its *handle*, which goes in its turn."""
    variable = found()
    if variable is None:
        variable = OBJECTS.part("variables").UninitializedVariable(shape=(), dtype="float32")
        variable._handle = handle
    return variable
