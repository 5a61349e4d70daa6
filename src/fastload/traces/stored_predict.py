"""The predict function of a model from a stored trace; or traced, and the trace stored."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastload.errors import CacheError
from fastload.imports.collector import paused_collector
from fastload.runtime.core.code_files import CodeFiles
from fastload.runtime.core.code_record import CodeRecord, OtherCodeError, Ran, recording
from fastload.runtime.core.told import Told, hearing
from fastload.traces.tf_concrete import concrete_function
from fastload.traces.tf_key import trace_key
from fastload.traces.tf_model_state import NO_STATE, NotKeptError, leave_marks
from fastload.traces.tf_trace import trace_of
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
            place = _Place.of(watched, model, tracing)
            record = place.matching()
            found = None if record is None else place.restored(record)
    except NotKeptError as error:
        _logger.debug("%s: no stored trace for predict: %s", watched.twin, error)
        return tracing.make()
    except Exception:  # a predict must not fail because of what could make it faster
        _logger.warning("predict is traced; please report this", exc_info=True)
        return tracing.make()
    return place.traced(record) if found is None else found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the traces of one model under one key are kept.

    Attributes:
        watched: the model when it was loaded.
        model: the model.
        tracing: what TensorFlow is about to trace.
        code: by which code they were made.
        refusal: says why there is none.
    """

    watched: WatchedModel
    model: Any
    tracing: Tracing
    code: CodeFiles
    refusal: TraceFile

    @classmethod
    def of(cls, watched: WatchedModel, model: Any, tracing: Tracing) -> _Place:
        watched.state.require_unchanged(model)
        kind = f"{_KIND}-{trace_key(model, watched.keras, tracing)}"
        code = CodeFiles(entry=watched.entry, key=kind)
        refusal = TraceFile(watched.entry.flat(kind))
        return cls(watched=watched, model=model, tracing=tracing, code=code, refusal=refusal)

    def matching(self) -> CodeRecord | None:
        """Return the record of a trace that the code of this process would make; None if none is.

        Raises:
            NotKeptError: the trace cannot be kept.
        """
        self.refusal.read()
        return self.code.matching(self._parts, NO_STATE)

    def restored(self, record: CodeRecord) -> Any:
        """Return the concrete function of the trace of *record*; None if its file is broken."""
        file = self._file(record)
        trace = file.read()
        if trace is None:
            return None
        variables = self.watched.state.variables(self.model)
        function = concrete_function(trace, variables, self.tracing, file)
        leave_marks(self.model, trace.marks)
        return function

    def traced(self, record: CodeRecord | None) -> Any:
        """Have TensorFlow trace, and keep what comes of it where there is room.

        Args:
            record: what `matching` returned: the code that runs is on record, and its trace is not.
        """
        if not self._has_room(record):
            return self.tracing.make()
        told = Told()
        with hearing(told), nullcontext(Ran()) if record else recording() as ran:
            made = self.tracing.make()
        with paused_collector():
            if told.heard:  # as in stock in each process
                self.refusal.refuse("it warns of something while it is traced")
            else:
                self._keep(made, record, ran)
        return made

    def _has_room(self, record: CodeRecord | None) -> bool:
        try:
            kept = self.watched.entry.count_flat(_KIND)
        except CacheError as error:
            _logger.info("the trace is not kept: %s", error)
            return False
        return kept < MOST_TRACES and (record is not None or self.code.free is not None)

    def _keep(self, made: Any, record: CodeRecord | None, ran: Ran) -> None:
        state = self.watched.state
        try:
            state.require_unchanged(self.model)
            marks = state.new_marks(self.model)
            trace = trace_of(made, state.variables(self.model), marks)
            if record is None:
                record = CodeRecord.of(ran, self._parts, NO_STATE)
                if not self.code.add(record):
                    return
            self._file(record).write(trace)
        except NotKeptError as error:
            self.refusal.refuse(str(error))
        except (OtherCodeError, CacheError) as error:
            _logger.info("%s: the trace is not kept: %s", self.watched.twin, error)
        except Exception:  # the predict itself is fine
            _logger.warning("the trace is not kept; please report this", exc_info=True)

    def _file(self, record: CodeRecord) -> TraceFile:
        return TraceFile(self.watched.entry.flat(f"{self.code.key}-{record.name}"))

    @property
    def _parts(self) -> list[Any]:
        return self.watched.state.parts(self.model)
