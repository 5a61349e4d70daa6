"""A short cut for plain lists and tuples in TensorFlow's nests.

TensorFlow packs every nest by asking of each sequence whether it is one of a dozen special kinds;
the last question is a `typing` protocol, which takes Python 3.11 longer than all else together. For
an exact `list` or `tuple` all answers are known. Keras 2 packs thousands while it rebuilds a model.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from fastload.runtime.core.rebuild import Tap, current_rebuild
from fastload.runtime.requirements import NESTS


def tap_nests() -> list[Tap]:
    """Return the tap on the packing of sequences, or none where TensorFlow packs them elsewhere."""
    module = NESTS.optional("nest_util")
    stock = getattr(module, "sequence_like", None)
    # Other threads pass through the tap: it may only take the place of what it takes for granted.
    if stock is None or list(inspect.signature(stock).parameters) != ["instance", "args"]:
        return []
    return [Tap(module, "sequence_like", _tap)]


def _tap(stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def sequence_like(instance: Any, args: Any) -> Any:
        kind = type(instance)
        if (kind is list or kind is tuple) and current_rebuild() is not None:
            return kind(args)
        return stock(instance, args)

    return sequence_like
