"""The stock loader, for a load that fastload cannot serve: the one fallback."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from fastload.errors import CacheError, FastloadError, MigrationError, UnresolvedObjectError
from fastload.loading.account import account_bypass
from fastload.loading.request import Call
from fastload.report import PhaseClock

_logger: Final = logging.getLogger("fastload")
_warned: Final[set[tuple[str, str]]] = set()


def load_stock(
    call: Call,
    clock: PhaseClock,
    error: FastloadError,
    rescue: Callable[[Exception], Any] = lambda _: None,
) -> Any:
    """Load with the stock loader, for the reason that *error* gives.

    Args:
        call: the call.
        clock: its phases.
        error: why stock is asked.
        rescue: is given what the stock loader raises; what it returns, if anything, is returned
            and accounted for by the caller.

    Raises:
        MigrationError: it is *error*: it says more than stock does of such a file.
        MissingTensorFlowError: TensorFlow, or the Keras asked for, is not installed.
        Exception: whatever the stock loader raises, as it raises it; where a custom object is
            missing, with a note that names the line to add (Python 3.11 and later), unless the
            caller called stock and may not know of fastload.
    """
    try:
        with clock.phase("stock"):
            model = call.load_stock()
    except Exception as stock_error:
        rescued = rescue(stock_error)
        if rescued is not None:
            return rescued
        account_bypass(call, clock, error)
        if isinstance(error, MigrationError):
            raise error from stock_error
        is_told = isinstance(error, UnresolvedObjectError) and not call.is_of_stock
        if is_told and hasattr(stock_error, "add_note"):
            stock_error.add_note(f"fastload: {error.explanation()}")
        raise
    account_bypass(call, clock, error)
    _tell(call, error)
    return model


def _tell(call: Call, error: FastloadError) -> None:
    """Log a fault of the cache as a warning, once; the report tells of what is in order.

    Where the stock loader fails as well, the file is at fault, and its error says all.
    """
    key = (str(call.filepath), error.code)
    if isinstance(error, CacheError) and key not in _warned:
        _logger.warning("%s is loaded by the stock loader: %s", call.filepath, error)
        _warned.add(key)
