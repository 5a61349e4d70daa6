"""The stock loader, for a load that fastload cannot serve: the one fallback."""

from __future__ import annotations

import logging
from typing import Any, Final

from fastload import registry
from fastload.accounting import account_bypass
from fastload.call import Call
from fastload.errors import CacheError, FastloadError, UnresolvedObjectError
from fastload.report import PhaseClock
from fastload.runtime.flavour import flavour

_logger: Final = logging.getLogger("fastload")
_warned: Final[set[tuple[str, str]]] = set()


def load_stock(call: Call, clock: PhaseClock, error: FastloadError) -> Any:
    """Load with the stock loader, for the reason that *error* gives.

    Raises:
        MissingTensorFlowError: TensorFlow, or the Keras asked for, is not installed.
        Exception: whatever the stock loader raises, as it raises it; where a custom object is
            missing, with a note that names the line to add (Python 3.11 and later).
    """
    _tell(call, error)
    chosen = flavour(call.keras)
    try:
        with clock.phase("stock"):
            return chosen.load_model(call.filepath, **_arguments(call))
    except Exception as stock_error:
        if isinstance(error, UnresolvedObjectError) and hasattr(stock_error, "add_note"):
            stock_error.add_note(f"fastload: {error.explanation()}")
        raise
    finally:
        account_bypass(call, clock, error)


def _arguments(call: Call) -> dict[str, Any]:
    arguments = {"custom_objects": call.custom_objects, "compile": call.compile, **call.stock_only}
    if registry.custom_objects:
        arguments["custom_objects"] = registry.custom_objects | dict(call.custom_objects or {})
    if not call.safe_mode:  # Keras before 2.13 has no such argument
        arguments["safe_mode"] = False
    return arguments


def _tell(call: Call, error: FastloadError) -> None:
    """Log the reason: a fault of the cache as a warning, once; what is in order, for who asks."""
    key = (str(call.filepath), error.code)
    is_fault = isinstance(error, CacheError) and key not in _warned
    _warned.add(key)
    level = logging.WARNING if is_fault else logging.INFO
    _logger.log(level, "%s is loaded by the stock loader: %s", call.filepath, error)
