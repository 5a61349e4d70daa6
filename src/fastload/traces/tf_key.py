"""The trace key: what a trace of a Keras model depends on besides the model and the code."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from fastload.errors import UnsupportedRequestError
from fastload.runtime.core.eager import execution, modes, require_plain_scope
from fastload.runtime.core.keras import Keras, tracing_choices
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import FIRST_PREDICT
from fastload.traces.tf_model_state import NotKeptError
from fastload.traces.tf_tracing import Tracing
from fastload.traces.trace_file import TRACE_VERSION

#: What TensorFlow says where there is no graph, strategy, device scope or XLA.
_PLAIN_MOMENT: Final = (None, (), (), False, None, 0)


def trace_key(model: Any, keras: Keras, tracing: Tracing) -> str:
    """Return 24 hexadecimal digits for the settings and devices that a trace depends on.

    Raises:
        NotKeptError: a trace made here and now is of no use to others.
        UnsupportedRuntimeError: TensorFlow is not as expected.
    """
    _require_plain_moment(tracing)
    _require_own(model, keras)
    kind = str(tracing.function_type)
    if " at 0x" in kind or "<weakref" in kind:
        raise NotKeptError("its arguments are identified by their addresses")
    options, devices = tracing.options, tensorflow().config.list_logical_devices()
    parts = (
        str(TRACE_VERSION),
        *tracing_choices(keras),
        kind,
        f"{options.name} {options.autograph} {options.reduce_retracing} {options.attributes}",
        " ".join(sorted({each.device_type for each in devices})),
        *modes(),
        execution(),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _require_plain_moment(tracing: Tracing) -> None:
    module = FIRST_PREDICT.part("function_context")
    found = module.make_function_context(tracing.options.scope_type).context
    if tuple(found) != _PLAIN_MOMENT or tensorflow().distribute.has_strategy():
        raise NotKeptError("it is traced inside a graph, a strategy, a device scope or XLA")
    summaries = FIRST_PREDICT.part("summary_ops_v2")
    if summaries._current_trace_context is not None:
        raise NotKeptError("the program records the graphs")
    try:
        require_plain_scope()
    except UnsupportedRequestError as error:
        raise NotKeptError(str(error)) from error
    if getattr(tracing.options.function_captures, "capture_types", None):
        raise NotKeptError("it captures by reference")


def _require_own(model: Any, keras: Keras) -> None:
    """Check that the classes of a model's layers are Keras's own.

    Raises:
        NotKeptError: one is not.
    """
    for layer in model._flatten_layers():
        if type(layer).__module__.partition(".")[0] != keras.package:
            raise NotKeptError(f"{type(layer).__name__} is not Keras's own")
