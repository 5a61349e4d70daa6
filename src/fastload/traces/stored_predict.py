"""The predict function of a model from a stored trace; or traced, and the trace stored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from fastload.imports.collector import paused_collector
from fastload.traces.tf_concrete import concrete_function
from fastload.traces.tf_key import trace_key
from fastload.traces.tf_model_state import NotKeptError, leave_marks
from fastload.traces.tf_trace import Trace, trace_of
from fastload.traces.tf_tracing import Tracing
from fastload.traces.trace_file import TraceFile

if TYPE_CHECKING:
    from fastload.traces.remember import WatchedModel

_logger: Final = logging.getLogger(__name__)
_KIND: Final = "predict"
#: How many traces of a model are kept: each is of other shapes, or has another trace key.
MOST_TRACES: Final = 16


def predict_function(watched: WatchedModel, model: Any, tracing: Tracing) -> Any:
    """Return the concrete function of *tracing*, without making it where that can be.

    Args:
        watched: the model when it was loaded.
        model: the model itself, about to predict.
        tracing: what TensorFlow is about to trace.
    """
    try:
        with paused_collector():
            file = _file(watched, model, tracing)
            trace = file.read()
            if trace is not None:
                return _restored(watched, model, trace, tracing, file)
    except NotKeptError as error:
        _logger.debug("%s: predict is traced: %s", watched.twin, error)
        return tracing.make()
    except Exception:  # a predict must not fail because of what could make it faster
        _logger.warning("predict is traced; please report this", exc_info=True)
        return tracing.make()
    made = tracing.make()
    if sum(1 for _ in file.path.parent.glob(f"{watched.entry.name}.{_KIND}-*")) < MOST_TRACES:
        _keep(watched, model, made, file)
    return made


def _file(watched: WatchedModel, model: Any, tracing: Tracing) -> TraceFile:
    watched.state.require_unchanged(model)
    key = trace_key(model, watched.keras, tracing)
    return TraceFile(watched.entry.flat_path(f"{_KIND}-{key}"))


def _restored(
    watched: WatchedModel, model: Any, trace: Trace, tracing: Tracing, file: TraceFile
) -> Any:
    function = concrete_function(trace, watched.state.variables(model), tracing, file)
    leave_marks(model, trace.marks)
    return function


def _keep(watched: WatchedModel, model: Any, made: Any, file: TraceFile) -> None:
    try:
        watched.state.require_unchanged(model)
        marks = watched.state.new_marks(model)
        file.write(trace_of(made, watched.state.variables(model), marks))
    except NotKeptError as error:
        file.refuse(str(error))
    except Exception:  # the predict itself is fine
        _logger.warning("the trace is not kept; please report this", exc_info=True)
