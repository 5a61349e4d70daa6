"""From a twin to the Keras model that a call asks for."""

from __future__ import annotations

import os
from typing import Any

from fastload.errors import RestoreError, UnresolvedObjectError
from fastload.loading.request import ModelCall
from fastload.loading.store import Identity
from fastload.runtime.core.custom_objects import custom_objects as objects_for
from fastload.runtime.core.custom_objects import require_resolved
from fastload.runtime.core.eager import placed
from fastload.runtime.core.keras import Keras, require_tensorflow
from fastload.runtime.core.restore_request import RestoreRequest
from fastload.runtime.restore_keras import restore_keras_model
from fastload.twin.reader import Twin


def rebuild(call: ModelCall, identity: Identity, twin: Twin, keras: Keras) -> Any:
    """Make the model that *call* asks for from its twin.

    Raises:
        CacheError: Keras cannot make it of this twin.
        BypassError: a custom class is missing, or Keras is not as expected.
    """
    request = RestoreRequest(
        filepath=os.fspath(call.filepath),
        custom_objects=objects_for(twin, keras, call.custom_objects),
        compile=call.compile,
        safe_mode=call.safe_mode,
    )
    version = keras.version.replace(".", "_")
    specs = identity.entry.side_path(f"calls-{keras.package}-{version}")
    # Lazy weights are made on the host, and lent to the device.
    device = None if call.weights == "lazy" else call.device
    try:
        with placed(device):
            return restore_keras_model(twin, keras, request, specs)
    except (RestoreError, UnresolvedObjectError):
        require_resolved(twin, keras, request.custom_objects)  # a missing class explains the rest
        raise


def rebuild_lazy(call: ModelCall, identity: Identity, twin: Twin, keras: Keras) -> Any:
    """Make the model that *call* asks for from its twin, with weights that are lent.

    Raises:
        MemoryBudgetError: the budget is smaller than the model's largest layer.
        CacheError: Keras cannot make it of this twin.
        BypassError: a custom class is missing, or Keras or TensorFlow is not as expected.
    """
    # Imported here: other loads do without.
    from fastload.lazy_weights.residency import Terms, lend_weights_of, require_budget

    require_tensorflow(keras, "lending weights")
    terms = Terms.of(call.memory_budget, call.device, progress=call.settings.progress)
    require_budget(twin, terms)
    model = rebuild(call, identity, twin, keras)
    lend_weights_of(model, twin, terms)
    return model


def may_remember_predict(call: ModelCall) -> bool:
    """Say whether the model that *call* asks for depends on its twin alone, as stored traces do."""
    return call.weights != "lazy" and call.device is None and not call.custom_objects
