"""From an open twin to what the request asks for: a model, its weights, objects, a predictor."""

from __future__ import annotations

import logging
from typing import Any, Final

from fastload.cache.entry import CacheEntry
from fastload.imports.collector import paused_collector
from fastload.lean_dataclass import dataclass
from fastload.loading.opening import Opened, dropping_corrupt, place_of, tried_once
from fastload.loading.plan import migration_record
from fastload.loading.request import ObjectsRequest, PredictorRequest, WeightsRequest
from fastload.report import Outcome, PhaseClock
from fastload.twin.reader import Twin

_logger: Final = logging.getLogger("fastload")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load returns, and what its report says.

    Attributes:
        model: the model, object or predictor; what `load_weights` returns.
        outcome: whether the twin was there.
        twin: the twin.
        entry: whose twin it is.
        reason: why it is not as fast as it could be, if it is not.
        store: the address of the shared store that the twin was fetched from; None for none.
    """

    model: Any
    outcome: Outcome
    twin: Twin
    entry: CacheEntry
    reason: str | None = None
    store: str | None = None


def restore(opened: Opened, clock: PhaseClock) -> Loaded | None:
    """Return what the request asks for; None for a predictor that the Keras model has to make.

    Raises:
        CacheError: the twin, or this TensorFlow or Keras run over it, fails.
        BypassError: TensorFlow or Keras is not as expected, or a custom class is missing.
        MemoryBudgetError: the budget is smaller than the model's largest layer.
    """
    request, model = opened.plan.request, None
    # It imports modules of ours too: a collection among them would go through all of TensorFlow's.
    with (
        clock.phase("restore"),
        paused_collector(settles=True),
        dropping_corrupt(opened.plan.identity.entry),
        tried_once(opened),
    ):
        reason = _unproved(opened)
        # Imported here, as below: each kind of load does without the modules of the others.
        if isinstance(request, ObjectsRequest):
            from fastload.runtime.saved_model.objects import restore_saved_model

            model = restore_saved_model(opened.twin, place_of(opened), request.tags)
            _hide_frames()
        elif isinstance(request, PredictorRequest):
            from fastload.loading.restore_predictor import restore_predictor

            found = restore_predictor(opened, request)
            if found is None:
                return None
            model, not_flat = found
            reason = reason or not_flat
        elif isinstance(request, WeightsRequest):
            from fastload.loading.restore_weights import restore_weights

            model = restore_weights(opened, request)
            _hide_frames()
        else:
            from fastload.loading.restore_model import restore_model

            model = restore_model(opened)
            _hide_frames()
    return Loaded(
        model=model,
        outcome=opened.outcome,
        twin=opened.twin,
        entry=opened.plan.identity.entry,
        reason=reason,
        store=opened.store,
    )


def _hide_frames() -> None:
    from fastload.runtime.core.tracebacks import hide_frames

    hide_frames()


def _unproved(opened: Opened) -> str | None:
    """Return why the outputs of a migrated model were not compared with the original's, or None."""
    if not opened.plan.identity.is_migrated:
        return None
    reason = migration_record(opened.twin)["proof"]["unproved"]
    return None if reason is None else f"migrated from Keras 2 and not proved: {reason}"
