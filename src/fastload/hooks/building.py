"""Functions that build a model and load its weights at once: built blank, where that is asked for.

In come calls of Keras's applications and of KerasHub's presets, out goes what they return.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

from fastload.flags import BLANK, flag


def build(stock: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Call *stock*, in a block of `fastload.blank` if it loads weights and `FASTLOAD_BLANK` is on.

    Raises:
        ValueError: the value of `FASTLOAD_BLANK` is not understood.
        Exception: whatever *stock* raises.
    """
    if not (flag(os.environ, BLANK) and loads_weights(stock, args, kwargs)):
        return stock(*args, **kwargs)
    from fastload.api.blank import blank

    with blank():
        return stock(*args, **kwargs)


def loads_weights(
    stock: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool:
    """Say whether a call asks for weights: `weights=` of applications, `load_weights=` of presets.

    Example:
        >>> def network(classes, weights="imagenet"): ...
        >>> loads_weights(network, (10,), {}), loads_weights(network, (10, None), {})
        (True, False)
    """
    try:
        bound = inspect.signature(stock).bind(*args, **kwargs)
    except TypeError:
        return False
    bound.apply_defaults()
    given = bound.arguments
    return given.get("weights") is not None or bool(given.get("load_weights"))
