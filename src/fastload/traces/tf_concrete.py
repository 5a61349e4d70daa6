"""The concrete function of a stored trace, which is called as any other.

Its Python graph is made, by tracing after all, on first access: for a gradient, or for the text of
an error.
"""

from __future__ import annotations

import functools
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fastload import unfinished
from fastload.errors import UnsupportedRuntimeError
from fastload.runtime.core import eager
from fastload.runtime.core.materialize import materialized_on_access
from fastload.runtime.core.spec_codec import decode
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.functions.flat_function import NotFlatError, without_optimizers
from fastload.runtime.functions.inlining import rename_calls
from fastload.runtime.requirements import FIRST_PREDICT
from fastload.traces.tf_trace import Trace
from fastload.traces.tf_tracing import Tracing
from fastload.traces.trace_file import TraceFile

_logger: Final = logging.getLogger(__name__)


def concrete_function(
    trace: Trace, variables: Sequence[Any], tracing: Tracing, file: TraceFile
) -> Any:
    """Return the concrete function that *tracing* would make, without making it.

    Args:
        trace: what it would make.
        variables: those of the model, in the order that `trace_of` was given.
        tracing: how it would be made; done when its graph is accessed.
        file: gets the same trace after the first call, as TensorFlow's optimizer leaves it.
    """
    stock = FIRST_PREDICT.part("concrete_function")
    captured = [_captured(each, variables) for each in trace.captures]
    function_type = _function_type(trace, captured, tracing)
    runtime = _TraceRuntime(trace, tracing, file)
    definitions = _renamed(trace.definitions, stock._inference_name(tracing.options.name))
    children = [_registered(each, runtime, None, []) for each in definitions[:-1]]
    attributes = {
        "_inference_function": _registered(definitions[-1], runtime, function_type, children),
        "_function_type": function_type,
        "_captured_inputs": captured,
        "_garbage_collector": stock.ConcreteFunctionGarbageCollector(None),
    }
    materialize = functools.partial(_materialize, runtime, tuple(attributes))
    return materialized_on_access(stock.ConcreteFunction, materialize, attributes)


def _materialize(runtime: _TraceRuntime, attributes: Iterable[str], function: Any) -> None:
    made = vars(runtime.traced())
    state = vars(function)
    for attribute in attributes:
        del state[attribute]
    state.update(made)


def _captured(capture: int | np.ndarray[Any, Any], variables: Sequence[Any]) -> Any:
    if isinstance(capture, int):
        return variables[capture].handle
    return tensorflow().constant(capture)


def _function_type(trace: Trace, captured: Sequence[Any], tracing: Tracing) -> Any:
    parts = FIRST_PREDICT.part("tracing_compilation")
    types = OrderedDict((id(each), parts.trace_type.from_value(each)) for each in captured)
    return parts.function_type_lib.FunctionType(
        tracing.function_type.parameters.values(),
        types,
        return_annotation=parts.trace_type.from_value(decode(trace.outputs, lambda value: value)),
    )


def _renamed(definitions: Iterable[bytes], name: str) -> list[Any]:
    """Return the definitions with names that no other function of the process has."""
    parsed = [eager.runtime().function_pb2.FunctionDef.FromString(each) for each in definitions]
    new = {each.signature.name: f"{name}_{index}" for index, each in enumerate(parsed[:-1])}
    new[parsed[-1].signature.name] = name
    for definition in parsed:
        definition.signature.name = new[definition.signature.name]
        if len(new) > 1:
            rename_calls(definition.node_def, new)
    return parsed


def _registered(definition: Any, runtime: Any, function_type: Any, children: list[Any]) -> Any:
    runtime.add_function_def(definition)
    kind = FIRST_PREDICT.part("atomic_function").AtomicFunction
    return kind(definition.signature.name, runtime, function_type, children)


class _TraceRuntime:
    """TensorFlow's eager context, but for how the functions of one trace are called.

    Args:
        trace: the trace.
        tracing: makes the trace after all.
        file: gets the trace as the optimizer leaves it, after the first call.
    """

    def __init__(self, trace: Trace, tracing: Tracing, file: TraceFile) -> None:
        self._context = eager.context()
        #: What the trace is prepared for.
        self._config = _config_of(self._context)
        self._trace = trace
        self._tracing = tracing
        self._file: TraceFile | None = None if trace.is_prepared else file
        self._traced: Any = None
        self._lock = unfinished.lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def traced(self) -> Any:
        """Make the trace after all, once; return the concrete function."""
        with self._lock:
            if self._traced is None:
                self._traced = self._tracing.make_later()
            return self._traced

    def get_graph_debug_info(self, name: bytes) -> Any:
        """Return which line of the program made which node: to be had by tracing alone."""
        return self.traced()._inference_function.graph_debug_info

    def call_function(self, name: bytes, tensor_inputs: list[Any], num_outputs: int) -> Any:
        """Call the function called *name*."""
        if self._trace.is_prepared:
            if _config_of(self._context) != self._config:  # the program has set other options since
                return self._call_traced(tensor_inputs, num_outputs)
            with _without_optimizer(self._context):
                return self._context.call_function(name, tensor_inputs, num_outputs)
        file, self._file = self._file, None
        outputs = self._context.call_function(name, tensor_inputs, num_outputs)
        if file is not None:
            self._prepare(name, tensor_inputs, file)
        return outputs

    def _call_traced(self, tensors: list[Any], num_outputs: int) -> Any:
        name = self.traced()._inference_function.name
        return self._context.call_function(name, tensors, num_outputs)

    def _prepare(self, name: bytes, tensors: list[Any], file: TraceFile) -> None:
        """Keep the trace as the optimizer leaves it, for later processes."""
        # Imported here: it is done once for each trace.
        from fastload.runtime.functions.optimizing import optimized_definition

        definition = self._context.get_function_def(name)
        try:
            made = optimized_definition(definition, tensors, _config_of(self._context))
        except (NotFlatError, UnsupportedRuntimeError) as error:
            _logger.info("a function is prepared in each process: %s", error)
        except Exception:  # the call itself is done
            _logger.warning("a function is not kept prepared; please report this", exc_info=True)
        else:
            definitions = (made.SerializeToString(),)
            file.write(replace(self._trace, definitions=definitions, is_prepared=True))


def _config_of(context: Any) -> bytes:
    """Return how functions are called: a serialized `ConfigProto`."""
    config: bytes = context.function_call_options.config_proto_serialized or b""
    return config


@contextmanager
def _without_optimizer(context: Any) -> Iterator[None]:
    """Have functions called as they are, in this thread."""
    stock = context.function_call_options
    messages = eager.runtime().config_pb2
    config = messages.ConfigProto.FromString(without_optimizers(_config_of(context)))
    context.function_call_options = type(stock)(
        executor_type=stock.executor_type, config_proto=config
    )
    try:
        yield
    finally:
        context.function_call_options = stock
