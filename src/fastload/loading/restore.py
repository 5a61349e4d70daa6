"""From an open twin to what the request asks for: a model, a SavedModel's objects, a predictor."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastload.errors import BypassError, CacheError
from fastload.imports.collector import paused_collector
from fastload.loading.plan import migration_record
from fastload.loading.request import ObjectsRequest, PredictorRequest
from fastload.loading.store import Opened, dropping_corrupt
from fastload.predictor.functions import SavedFunctions
from fastload.predictor.predictor import Run, predictor_over
from fastload.report import Outcome, PhaseClock
from fastload.twin.reader import Twin

if TYPE_CHECKING:  # imported where they are used: most loads do without
    from fastload.lazy_weights.accounts import Residency
    from fastload.lazy_weights.lender import Lender

_logger: Final = logging.getLogger("fastload")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load returns, and what its report says.

    Attributes:
        model: the model, object or predictor.
        outcome: whether the twin was there.
        twin: the twin.
        reason: why it is not as fast as it could be, if it is not.
    """

    model: Any
    outcome: Outcome
    twin: Twin
    reason: str | None = None


def restore(opened: Opened, clock: PhaseClock) -> Loaded | None:
    """Return what the request asks for; None for a predictor that the Keras model has to make.

    Raises:
        CacheError: the twin, or this TensorFlow or Keras run over it, fails.
        BypassError: TensorFlow or Keras is not as expected, or a custom class is missing.
        MemoryBudgetError: the budget is smaller than the model's largest layer.
    """
    request = opened.plan.request
    with clock.phase("restore"), dropping_corrupt(opened.plan.identity.entry):
        reason = _unproved(opened)
        # Imported here, as below: each kind of load does without the modules of the others.
        if isinstance(request, ObjectsRequest):
            from fastload.runtime.saved_model.objects import restore_saved_model

            path = os.fspath(request.filepath)
            model: Any = restore_saved_model(opened.twin, path, request.tags)
        elif isinstance(request, PredictorRequest):
            with paused_collector():
                return _predictor(opened, request, reason)
        else:
            from fastload.loading.restore_model import restore_model

            model = restore_model(opened)
    return Loaded(model=model, outcome=opened.outcome, twin=opened.twin, reason=reason)


def _predictor(opened: Opened, request: PredictorRequest, reason: str | None) -> Loaded | None:
    if opened.plan.keras is None:
        return _predictor_of_saved_model(opened, request)
    from fastload.predictor.keras_functions import kept_keras_function, keras_function
    from fastload.runtime.core.keras import ExpectedKeras

    weights = _Weights.of(request, opened.twin)
    identity, twin = opened.plan.identity, opened.twin
    if isinstance(opened.plan.keras, ExpectedKeras):
        choices = opened.plan.keras.choices
        found = kept_keras_function(identity.entry, twin, choices, request.device)
        if found is None:
            return None
        signature, run = found
    else:
        from fastload.loading.restore_model import keras_in, rebuild

        signature, run, not_flat = keras_function(
            identity.entry,
            twin,
            keras_in(opened),
            lambda: rebuild(opened, compiled=False),
            request.device,
            weights.lender,
        )
        reason = reason or not_flat
    reference = request.reference(identity.content.digest)
    predictor = predictor_over(reference, {signature.name: signature}, lambda _: run)
    weights.remember(predictor)
    return Loaded(model=predictor, outcome=opened.outcome, twin=twin, reason=reason)


def _predictor_of_saved_model(opened: Opened, request: PredictorRequest) -> Loaded | None:
    identity = opened.plan.identity
    functions = SavedFunctions(
        entry=identity.entry,
        twin=opened.twin,
        path=os.fspath(request.filepath),
        device=request.device,
    )
    if not functions.signatures and request.signature is None:
        return None  # saved without any; the Keras model itself may have a function
    weights = _Weights.of(request, opened.twin)
    functions.lender = weights.lender
    get_ready = _TwinOrStock(request=request, functions=functions)
    reference = request.reference(identity.content.digest)
    predictor = predictor_over(reference, functions.signatures, get_ready)
    weights.remember(predictor)
    reason = functions.reasons.get(predictor.signature)
    return Loaded(model=predictor, outcome=opened.outcome, twin=opened.twin, reason=reason)


@dataclass(slots=True, kw_only=True)
class _TwinOrStock:
    """Gets functions ready: the twin's, and the stock loader's where one fails after the load."""

    request: PredictorRequest
    functions: SavedFunctions
    is_loaded: bool = False

    def __call__(self, name: str) -> Run:
        try:
            return self.functions.run(name)
        except (CacheError, BypassError) as error:
            if not self.is_loaded or self.request.must_be_served:
                raise
            path = self.request.filepath
            _logger.warning("%s: %r is loaded by the stock loader: %s", path, name, error)
            from fastload.loading.stock import load_stock

            ready: Run = load_stock(self.request).signatures.ready(name)
            return ready
        finally:
            self.is_loaded = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    """How a predictor gets its weights.

    Attributes:
        lender: lends them; None where they are mapped, or all of them fit.
        account: what `fastload.residency` reports; None where they are mapped.
    """

    lender: Lender | None = None
    account: Lender | Residency | None = None

    @classmethod
    def of(cls, request: PredictorRequest, twin: Twin) -> _Weights:
        """Return how *request* wants the weights of *twin*.

        Raises:
            MemoryBudgetError: the budget is smaller than the model's largest layer.
            BypassError: TensorFlow cannot be driven as expected.
        """
        if request.weights != "lazy":
            return cls()
        from fastload.lazy_weights.residency import Terms, lender_of, whole

        terms = Terms.of(request.memory_budget, request.device, progress=request.settings.progress)
        lender = lender_of(twin, terms)
        return cls(lender=lender, account=lender or whole(twin, terms))

    def remember(self, predictor: Any) -> None:
        """Have `fastload.residency` report on *predictor*."""
        if self.account is not None:
            from fastload.lazy_weights.residency import remember

            remember(predictor, self.account)


def _unproved(opened: Opened) -> str | None:
    """Return why the outputs of a migrated model were not compared with the original's, or None."""
    if not opened.plan.identity.is_migrated:
        return None
    reason = migration_record(opened.twin)["proof"]["unproved"]
    return None if reason is None else f"migrated from Keras 2 and not proved: {reason}"
