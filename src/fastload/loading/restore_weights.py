"""From an open twin to a model's weights: Keras's own `load_weights`, run over the twin."""

from __future__ import annotations

from typing import Any

from fastload.loading.opening import Opened
from fastload.loading.request import WeightsRequest
from fastload.runtime.core.keras import Keras
from fastload.runtime.core.restore_request import WeightsOrder
from fastload.runtime.restore_weights import load_weights_from


def restore_weights(opened: Opened, request: WeightsRequest) -> Any:
    """Give the weights to the model, and return what `load_weights` returns.

    Raises:
        CacheError: Keras cannot load them from this twin. The model is as it was.
        BypassError: Keras is not as expected.
    """
    filepath = request.filepath
    if request.at_address is not None:
        # Imported here: few weights are at an address, which Keras would look at.
        from fastload.loading.referred import no_place

        filepath = no_place(request.at_address.name)
    order = WeightsOrder(model=request.model, filepath=filepath, arguments=request.arguments)
    keras = opened.plan.keras
    assert isinstance(keras, Keras)  # noqa: S101 - `loading.plan_weights` imports it
    return load_weights_from(opened.twin, keras, order)
