"""From an open twin to what the request asks for: a model, a SavedModel's objects, a predictor."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastload.errors import BypassError, CacheError, RestoreError, UnresolvedObjectError
from fastload.loading.plan import migration_record
from fastload.loading.predictors import predictor_over
from fastload.loading.request import ObjectsRequest, PredictorRequest
from fastload.loading.stock import load_stock
from fastload.loading.store import Opened, dropping_corrupt
from fastload.predictor.functions import SavedFunctions, kept_keras_function, keras_function
from fastload.predictor.predictor import Run
from fastload.report import Outcome, PhaseClock
from fastload.runtime.core.collector import paused_collector
from fastload.runtime.core.custom_objects import custom_objects, require_resolved
from fastload.runtime.core.eager import placed
from fastload.runtime.core.keras import Keras, require_tensorflow
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
    request, reason = opened.plan.request, _unproved(opened)
    with clock.phase("restore"), dropping_corrupt(opened.plan.identity.entry):
        if isinstance(request, ObjectsRequest):
            model = _objects(opened, request)
        elif isinstance(request, PredictorRequest):
            with paused_collector():
                return _predictor(opened, request, reason)
        else:
            model = _model(opened)
    return Loaded(model=model, outcome=opened.outcome, twin=opened.twin, reason=reason)


def rebuild(opened: Opened, *, compiled: bool) -> Any:
    """Make the Keras model of a twin.

    Args:
        opened: a plan for a Keras that is imported.
        compiled: whether to compile it, as `compile=` of the stock loader.

    Raises:
        CacheError: Keras cannot make it of this twin.
        BypassError: a custom class is missing, or Keras is not as expected.
    """
    # Imported here: a predictor whose function is kept makes no model.
    from fastload.runtime.core.restore_request import RestoreRequest
    from fastload.runtime.restore_keras import restore_keras_model

    plan, twin = opened.plan, opened.twin
    request, keras = plan.request, keras_in(opened)
    order = RestoreRequest(
        filepath=os.fspath(request.filepath),
        custom_objects=custom_objects(twin, keras, plan.custom_objects),
        compile=compiled,
        safe_mode=request.safe_mode,
    )
    version = keras.version.replace(".", "_")
    specs = plan.identity.entry.side_path(f"calls-{keras.package}-{version}")
    # Lazy weights are made on the host, and lent to the device.
    device = None if request.weights == "lazy" else request.device
    try:
        with placed(device):
            return restore_keras_model(twin, keras, order, specs)
    except (RestoreError, UnresolvedObjectError):
        require_resolved(twin, keras, order.custom_objects)  # a missing class explains the rest
        raise


def keras_in(opened: Opened) -> Keras:
    """Return the Keras of a plan that makes a model."""
    keras = opened.plan.keras
    assert isinstance(keras, Keras)  # noqa: S101 - `loading.plan` imports it for such plans
    return keras


def _model(opened: Opened) -> Any:
    request = opened.plan.request
    if request.weights == "lazy":
        return _lazy_model(opened)
    model = rebuild(opened, compiled=request.compile)
    if request.device is None and not request.custom_objects:
        # Imported here: what makes no model does without.
        from fastload.traces.remember import remember_predict

        remember_predict(model, opened.plan.identity.entry, opened.twin, keras_in(opened))
    return model


def _lazy_model(opened: Opened) -> Any:
    """Make the model with weights that are lent."""
    from fastload.lazy_weights.residency import Terms, lend_weights_of, require_budget

    request = opened.plan.request
    require_tensorflow(keras_in(opened), "lending weights")
    terms = Terms.of(request.memory_budget, request.device, progress=request.settings.progress)
    require_budget(opened.twin, terms)
    model = rebuild(opened, compiled=request.compile)
    lend_weights_of(model, opened.twin, terms)
    return model


def _objects(opened: Opened, request: ObjectsRequest) -> Any:
    # Imported here: other loads do without.
    from fastload.runtime.saved_model.restore_objects import restore_saved_model

    return restore_saved_model(opened.twin, os.fspath(request.filepath), request.tags)


def _predictor(opened: Opened, request: PredictorRequest, reason: str | None) -> Loaded | None:
    if opened.plan.keras is None:
        return _predictor_of_saved_model(opened, request)
    weights = _Weights.of(request, opened.twin)
    entry, digest = opened.plan.identity.entry, opened.plan.identity.content.digest
    if not isinstance(opened.plan.keras, Keras):
        choices = opened.plan.keras.choices
        found = kept_keras_function(entry, opened.twin, choices, request.device)
        if found is None:
            return None
        signature, run = found
    else:
        signature, run, not_flat = keras_function(
            entry,
            opened.twin,
            opened.plan.keras,
            lambda: rebuild(opened, compiled=False),
            request.device,
            weights.lender,
        )
        reason = reason or not_flat
    predictor = predictor_over(request, {signature.name: signature}, lambda _: run, digest)
    weights.remember(predictor)
    return Loaded(model=predictor, outcome=opened.outcome, twin=opened.twin, reason=reason)


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
    predictor = predictor_over(request, functions.signatures, get_ready, identity.content.digest)
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
