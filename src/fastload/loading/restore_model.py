"""From an open twin to the Keras model: the stock loader of its format, run over the twin."""

from __future__ import annotations

from typing import Any

from fastload.errors import RestoreError, UnresolvedObjectError
from fastload.loading.opening import Opened, place_of
from fastload.loading.request import PredictorRequest, Request
from fastload.runtime.core.eager import placed
from fastload.runtime.core.keras import Keras, require_tensorflow
from fastload.runtime.core.restore_request import RestoreRequest, custom_objects, require_resolved
from fastload.runtime.restore_keras import restore_keras_model
from fastload.traces.remember import remember_predict


def restore_model(opened: Opened) -> Any:
    """Return the Keras model that the request asks for.

    Raises:
        CacheError: Keras cannot make it of this twin.
        BypassError: a custom class is missing, or Keras is not as expected.
        MemoryBudgetError: the budget is smaller than the model's largest layer.
    """
    request = opened.plan.request
    if request.weights == "lazy":
        return _lazy_model(opened)
    model = rebuild(opened, compiled=request.compile)
    if request.device is None and not request.custom_objects:
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


def rebuild(opened: Opened, *, compiled: bool) -> Any:
    """Make the Keras model of a twin.

    Args:
        opened: a plan for a Keras that is imported.
        compiled: whether to compile it, as `compile=` of the stock loader.

    Raises:
        CacheError: Keras cannot make it of this twin.
        BypassError: a custom class is missing, or Keras is not as expected.
    """
    plan, twin = opened.plan, opened.twin
    request, keras = plan.request, keras_in(opened)
    order = RestoreRequest(
        filepath=place_of(opened),
        custom_objects=custom_objects(twin, keras, plan.custom_objects),
        compile=compiled,
        safe_mode=request.safe_mode,
        allow_partial=request.allows_partial,
        may_revive=_may_revive(request),
    )
    # Lazy weights are made on the host, and lent to the device.
    device = None if request.weights == "lazy" else request.device
    try:
        with placed(device):
            return restore_keras_model(twin, keras, order, plan.identity.entry)
    except (RestoreError, UnresolvedObjectError) as error:
        require_resolved(twin, keras, order.custom_objects, str(error))
        raise


def _may_revive(request: Request) -> bool:
    """Say whether layers may be made of a SavedModel's functions.

    Those keep handles of their weights, which cannot be lent; and predictors are made of the
    functions themselves.
    """
    return request.weights != "lazy" and not isinstance(request, PredictorRequest)


def keras_in(opened: Opened) -> Keras:
    """Return the Keras of a plan that makes a model."""
    keras = opened.plan.keras
    assert isinstance(keras, Keras)  # noqa: S101 - `loading.plan` imports it for such plans
    return keras
