"""The first `predict` of a loaded model, without a trace where an earlier one left its own.

A model that was restored from a twin is watched. When its predict function is about to be traced,
for the same arguments and in the same surroundings as once before, what came of it then is brought
back. Where nothing is there, TensorFlow traces, and what comes of it is kept beside the twin.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fastload.cache.publish import replacing
from fastload.errors import BypassError, CacheError
from fastload.loading.request import ModelCall
from fastload.loading.store import Identity
from fastload.runtime.core.collector import paused_collector
from fastload.runtime.core.keras import TENSORFLOW, Keras
from fastload.runtime.core.restore_request import uses_only_builtins
from fastload.traces.tf_key import surroundings
from fastload.traces.tf_model_state import PredictingModel, blank_batch, is_covered, leave_marks
from fastload.traces.tf_trace import NotKeptError, Trace, Tracing, brought_back, trace_of
from fastload.traces.tf_tracing import watch
from fastload.traces.trace_file import TRACE_VERSION, read_trace, write_not_kept, write_trace
from fastload.twin.reader import Twin

_logger: Final = logging.getLogger(__name__)
_KIND: Final = "predict"
#: How many traces of a model are kept: each is of other shapes, or of other surroundings.
MOST_TRACES: Final = 16


def remember_predict(
    model: Any, call: ModelCall, identity: Identity, twin: Twin, keras: Keras
) -> bool:
    """Have the first `predict` of *model* use what an earlier one left, or leave something.

    Args:
        model: what `rebuild` made for *call*.
        call: the call.
        identity: which model.
        twin: its twin.
        keras: its Keras.

    Returns:
        Whether it may.
    """
    try:
        _require_ours(model, call, twin, keras)
        with paused_collector():
            state = PredictingModel.of(model, keras)
        watch(model, _Traces(identity=identity, keras=keras, state=state))
    except (NotKeptError, BypassError) as error:
        _logger.debug("%s: predict is traced: %s", identity.source.path, error)
        return False
    return True


def _require_ours(model: Any, call: ModelCall, twin: Twin, keras: Keras) -> None:
    """Check that *model* is what its twin says, and nothing else.

    Raises:
        NotKeptError: it may not be.
    """
    if keras.backend != TENSORFLOW:
        raise NotKeptError(f"Keras runs on {keras.backend}, and traces nothing that can be kept")
    if call.weights == "lazy":
        raise NotKeptError("its weights are lent")
    if call.device is not None or call.custom_objects:
        raise NotKeptError("device= or custom_objects= was given")
    if not is_covered(model, keras):
        raise NotKeptError("it is no functional or sequential model of Keras's own class")
    if not uses_only_builtins(twin, keras):
        raise NotKeptError("it has custom classes or functions, which may change")


def learn_predict(make: Callable[[], Any], remember: Callable[[Any], bool]) -> None:
    """Have models predict until all is kept that makes the next first `predict` fast.

    Args:
        make: makes the model of its twin.
        remember: `remember_predict`, but for the model.
    """
    for _ in ("as it is traced", "as TensorFlow's optimizer leaves it"):
        model = make()
        batch = blank_batch(model)
        if batch is None or not remember(model):
            return
        model.predict(batch, verbose=0)


@dataclass(frozen=True, kw_only=True)
class _Traces:
    """The traces of a model's predict function that are kept.

    Attributes:
        identity: the model.
        keras: its Keras.
        state: what it was made of when it was loaded.
    """

    identity: Identity
    keras: Keras
    state: PredictingModel

    def concrete(self, model: Any, tracing: Tracing) -> Any:
        """Return the concrete function of *tracing*, without making it where that can be."""
        try:
            with paused_collector():
                path = self._path(model, tracing)
                function = self._brought_back(model, tracing, path)
            if function is not None:
                return function
        except NotKeptError as error:
            _logger.debug("%s: predict is traced: %s", self.identity.source.path, error)
            return tracing.make()
        except Exception:  # a predict must not fail because of what could make it faster
            _logger.warning("predict is traced; please report this", exc_info=True)
            return tracing.make()
        made = tracing.make()
        self._keep(model, made, path)
        return made

    def _brought_back(self, model: Any, tracing: Tracing, path: Path) -> Any:
        trace = self._read(path)
        if trace is None:
            return None
        on_prepared = functools.partial(self._replace, path)
        function = brought_back(trace, self.state.variables(model), tracing, on_prepared)
        leave_marks(model, trace.marks)
        return function

    def _path(self, model: Any, tracing: Tracing) -> Path:
        self.state.require_unchanged(model)
        parts = surroundings(model, self.keras, tracing)
        key = "\n".join((self._digest, str(TRACE_VERSION), *parts))
        return self.identity.entry.flat_path(
            f"{_KIND}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"
        )

    def _read(self, path: Path) -> Trace | None:
        try:
            return read_trace(path)
        except FileNotFoundError:
            return None
        except (OSError, CacheError) as error:
            _logger.warning("a trace is kept anew: %s", error)
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None

    def _keep(self, model: Any, made: Any, path: Path) -> None:
        known = path.parent.glob(f"{self.identity.entry.name}.{_KIND}-*")
        if len(list(known)) >= MOST_TRACES:
            return
        try:
            self.state.require_unchanged(model)
            marks = tuple(self.state.new_marks(model))
            trace = replace(trace_of(made, self.state.variables(model)), marks=marks)
        except NotKeptError as error:
            reason = str(error)
            self._write(path, lambda partial: write_not_kept(partial, reason, self._digest))
        except Exception:  # the predict itself is fine
            _logger.warning("the trace is not kept; please report this", exc_info=True)
        else:
            self._replace(path, trace)

    def _replace(self, path: Path, trace: Trace) -> None:
        self._write(path, lambda partial: write_trace(partial, trace, self._digest))

    def _write(self, path: Path, write: Callable[[Path], None]) -> None:
        try:
            with replacing(path, durable=False) as partial:
                write(partial)
        except (CacheError, OSError) as error:
            _logger.debug("the trace is not kept: %s", error)

    @property
    def _digest(self) -> str:
        return self.identity.content.digest
