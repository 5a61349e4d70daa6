"""The part of TensorFlow's runtime that a function sees which came without a Python graph."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from fastload.errors import UnsupportedRuntimeError
from fastload.runtime.functions.flat_call import without_optimizers
from fastload.traces.tf_prepared import NotPreparedError, prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastload.traces.tf_trace import Trace

_logger: Final = logging.getLogger(__name__)


class TraceRuntime:
    """TensorFlow's eager context, but for how the functions of one trace are called.

    Args:
        context: the context.
        trace: the trace.
        traced: makes the trace after all, and returns the concrete function.
        on_prepared: given the trace as the optimizer leaves it, after the first call.
    """

    def __init__(
        self,
        context: Any,
        trace: Trace,
        traced: Callable[[], Any],
        on_prepared: Callable[[Trace], None] | None,
    ) -> None:
        self.traced = traced
        self._context = context
        self._trace = trace
        self._on_prepared = on_prepared

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def get_graph_debug_info(self, name: bytes) -> Any:
        """Return which line of the program made which node: to be had by tracing alone."""
        return self.traced()._inference_function.graph_debug_info

    def call_function(self, name: bytes, tensor_inputs: list[Any], num_outputs: int) -> Any:
        """Call the function called *name*."""
        if self._trace.is_prepared:
            with _without_optimizer(self._context):
                return self._context.call_function(name, tensor_inputs, num_outputs)
        on_prepared, self._on_prepared = self._on_prepared, None
        if on_prepared is None:
            return self._context.call_function(name, tensor_inputs, num_outputs)
        outputs = self._context.call_function(name, tensor_inputs, num_outputs)
        try:
            on_prepared(self._prepared(name, tensor_inputs))
        except (NotPreparedError, UnsupportedRuntimeError) as error:
            _logger.info("a function is prepared in each process: %s", error)
        except Exception:  # the call itself is done
            _logger.warning("a function is not kept prepared; please report this", exc_info=True)
        return outputs

    def _prepared(self, name: bytes, tensors: list[Any]) -> Trace:
        """Return the trace as the optimizer leaves it."""
        definition = self._context.get_function_def(name)
        made = prepared(definition, tensors, _config_of(self._context))
        return replace(self._trace, definitions=(made.SerializeToString(),), is_prepared=True)


def _config_of(context: Any) -> bytes:
    """Return how functions are called: a serialized `ConfigProto`."""
    config: bytes = context.function_call_options.config_proto_serialized or b""
    return config


@contextmanager
def _without_optimizer(context: Any) -> Iterator[None]:
    """Have functions called as they are, in this thread."""
    from tensorflow.core.protobuf import config_pb2

    stock = context.function_call_options
    config = config_pb2.ConfigProto.FromString(without_optimizers(_config_of(context)))
    context.function_call_options = type(stock)(
        executor_type=stock.executor_type, config_proto=config
    )
    try:
        yield
    finally:
        context.function_call_options = stock
