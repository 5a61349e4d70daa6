"""The trace key: what a trace of a Keras model depends on besides the model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any, Final

from fastload.runtime.core.eager import execution
from fastload.runtime.core.keras import Keras, tracing_choices
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import CODE_OF_LAYERS, FIRST_PREDICT
from fastload.traces.tf_model_state import NotKeptError
from fastload.traces.tf_tracing import Tracing
from fastload.traces.trace_file import TRACE_VERSION

#: What TensorFlow says where there is no graph, strategy, device scope or XLA.
_PLAIN_MOMENT: Final = (None, (), (), False, None, 0)


def trace_key(model: Any, keras: Keras, tracing: Tracing) -> str:
    """Return 24 hexadecimal digits for the settings, devices and code that a trace depends on.

    Raises:
        NotKeptError: a trace made here and now is of no use to others.
        UnsupportedRuntimeError: TensorFlow is not as expected.
    """
    _require_plain_moment(tracing)
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
        *_modes(),
        execution(),
        _digest_of(_code_of(model, keras)),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _require_plain_moment(tracing: Tracing) -> None:
    module, contexts = FIRST_PREDICT.part("function_context"), FIRST_PREDICT.part("context")
    found = module.make_function_context(tracing.options.scope_type).context
    if tuple(found) != _PLAIN_MOMENT or tensorflow().distribute.has_strategy():
        raise NotKeptError("it is traced inside a graph, a strategy, a device scope or XLA")
    summaries = FIRST_PREDICT.part("summary_ops_v2")
    if summaries._current_trace_context is not None:
        raise NotKeptError("the program records the graphs")
    if contexts.context().device_name:
        raise NotKeptError("it is traced for a device")
    if getattr(tracing.options.function_captures, "capture_types", None):
        raise NotKeptError("it captures by reference")


def _modes() -> Iterator[str]:
    """Yield what a program may have switched in TensorFlow for all that it traces."""
    ops, control_flow = FIRST_PREDICT.part("ops"), FIRST_PREDICT.optional("control_flow_util")
    yield str(FIRST_PREDICT.part("config").is_op_determinism_enabled())
    yield str(getattr(control_flow, "ENABLE_CONTROL_FLOW_V2", None))
    for name in ("is_auto_dtype_conversion_enabled", "is_numpy_style_type_promotion"):
        yield str(getattr(ops, name, bool)())
    yield str(
        hasattr(tensorflow().Tensor, "reshape")
    )  # numpy's methods, which a program may switch on


def _code_of(model: Any, keras: Keras) -> Iterator[tuple[Any, ...]]:
    """Yield what identifies the classes of a model's layers, in case the program changed one.

    Raises:
        NotKeptError: one is not Keras's own.
    """
    kinds: set[type] = set()
    for layer in model._flatten_layers():
        kinds.update(type(layer).__mro__)
        if type(layer).__module__.partition(".")[0] != keras.package:
            raise NotKeptError(f"{type(layer).__name__} is not Keras's own")
        yield (type(layer).__qualname__, str(getattr(layer, "compute_dtype", "")))
    for kind in sorted(kinds, key=lambda kind: (kind.__module__, kind.__qualname__)):
        yield from _functions_in(kind)
    for module in _backend_modules(keras):
        yield from _functions_in(module)


def _functions_in(holder: Any) -> Iterator[tuple[Any, ...]]:
    for name, value in vars(holder).items():
        function = getattr(value, "__func__", value)
        if isinstance(function, property):
            function = function.fget
        if isinstance(function, FunctionType):
            code = function.__code__
            yield (name, code.co_filename, code.co_firstlineno, code.co_code)


def _backend_modules(keras: Keras) -> list[Any]:
    """Return the modules with what layers call."""
    code = CODE_OF_LAYERS[keras.generation]
    found = (code.optional(name, keras.package) for name in code.parts)
    return [module for module in found if module is not None]


def _digest_of(parts: Iterable[tuple[Any, ...]]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode())
    return digest.hexdigest()
