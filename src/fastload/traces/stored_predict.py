"""The predict function of a model from a stored trace; or traced, and the trace stored."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastload.cache.entry import CacheEntry
from fastload.imports.collector import paused_collector
from fastload.runtime.core.keras import Keras
from fastload.traces.tf_concrete import concrete_function
from fastload.traces.tf_key import trace_key
from fastload.traces.tf_model_state import ModelState, NotKeptError, leave_marks
from fastload.traces.tf_trace import Trace, trace_of
from fastload.traces.tf_tracing import Tracing
from fastload.traces.trace_file import TraceFile

_logger: Final = logging.getLogger(__name__)
_KIND: Final = "predict"
#: How many traces of a model are kept: each is of other shapes, or has another trace key.
MOST_TRACES: Final = 16


@dataclass(frozen=True)
class StoredPredict:
    """The stored traces of a model's predict function.

    Attributes:
        entry: where they are kept.
        twin: the file of the model's twin.
        keras: its Keras.
        state: what it was made of when it was loaded.
    """

    entry: CacheEntry
    twin: Path
    keras: Keras
    state: ModelState

    def concrete(self, model: Any, tracing: Tracing) -> Any:
        """Return the concrete function of *tracing*, without making it where that can be."""
        try:
            with paused_collector():
                file = self._file(model, tracing)
                trace = file.read()
                if trace is not None:
                    return self._restored(model, trace, tracing, file)
        except NotKeptError as error:
            _logger.debug("%s: predict is traced: %s", self.twin, error)
            return tracing.make()
        except Exception:  # a predict must not fail because of what could make it faster
            _logger.warning("predict is traced; please report this", exc_info=True)
            return tracing.make()
        made = tracing.make()
        if sum(1 for _ in file.path.parent.glob(f"{self.entry.name}.{_KIND}-*")) < MOST_TRACES:
            self._keep(model, made, file)
        return made

    def _file(self, model: Any, tracing: Tracing) -> TraceFile:
        self.state.require_unchanged(model)
        key = trace_key(model, self.keras, tracing)
        return TraceFile(self.entry.flat_path(f"{_KIND}-{key}"))

    def _restored(self, model: Any, trace: Trace, tracing: Tracing, file: TraceFile) -> Any:
        function = concrete_function(trace, self.state.variables(model), tracing, file)
        leave_marks(model, trace.marks)
        return function

    def _keep(self, model: Any, made: Any, file: TraceFile) -> None:
        try:
            self.state.require_unchanged(model)
            marks = self.state.new_marks(model)
            file.write(trace_of(made, self.state.variables(model), marks))
        except NotKeptError as error:
            file.refuse(str(error))
        except Exception:  # the predict itself is fine
            _logger.warning("the trace is not kept; please report this", exc_info=True)
