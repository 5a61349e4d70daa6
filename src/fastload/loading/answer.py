"""One call answered: from the twin, with the stock loader, or by what stock's refusal leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastload.errors import BypassError, CacheError, RestoreError, UnsupportedSourceError
from fastload.imports.collector import settle
from fastload.loading.account import account_served
from fastload.loading.request import Call
from fastload.loading.stock import load_stock
from fastload.report import Outcome, PhaseClock
from fastload.switch import loading
from fastload.twin.reader import Twin


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model from its twin, and what the report says of it.

    Attributes:
        model: the model, or the object.
        outcome: whether the twin was there.
        twin: the twin.
        reason: why it is not as fast as it could be, if it is not.
    """

    model: Any
    outcome: Outcome
    twin: Twin
    reason: str | None = None


def serve(
    call: Call,
    clock: PhaseClock,
    load: Callable[[], Served],
    rescue: Callable[[Exception], Served | None] = lambda _: None,
) -> Any:
    """Load from the twin, or with the stock loader for the reason why not.

    Args:
        call: the call.
        clock: its phases.
        load: loads from the twin.
        rescue: is given what the stock loader raises, and may load in a way of our own.
    """
    with loading():
        served = _served(call, load, rescue)
        if not isinstance(served, Served):
            served = load_stock(call, clock, served, rescue)
            if not isinstance(served, Served):
                return served
    account_served(call, clock, served.outcome, served.twin, served.reason)
    settle()
    return served.model


def _served(
    call: Call, load: Callable[[], Served], rescue: Callable[[Exception], Served | None]
) -> Served | CacheError | BypassError:
    """Load from the twin, or return the reason why not.

    It is returned, not handled here: what the stock loader raises would seem to follow from it.
    """
    try:
        return load()
    except (CacheError, BypassError) as error:
        if call.must_be_served and not call.settings.disabled:
            # That Keras refuses the twin of a file says that it would refuse the file.
            is_refused = isinstance(error, (RestoreError, UnsupportedSourceError))
            rescued = rescue(error) if is_refused else None
            if rescued is None:
                raise
            return rescued
        return error
