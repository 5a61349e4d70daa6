"""The first `predict` of a loaded model, without a trace where an earlier one left its own.

A model that was restored from a twin is watched. When its predict function is about to be traced,
with the same trace key as once before, what came of it then takes the place of the trace. Where
nothing is stored, TensorFlow traces, and what comes of it is kept beside the twin.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastload.cache.entry import CacheEntry
from fastload.errors import BypassError
from fastload.imports.collector import paused_collector
from fastload.runtime.core.keras import TENSORFLOW, Keras
from fastload.runtime.core.restore_request import uses_only_builtins
from fastload.traces.tf_model_state import ModelState, NotKeptError, is_covered
from fastload.traces.tf_tracing import Tracing, watch
from fastload.twin.reader import Twin

_logger: Final = logging.getLogger(__name__)
#: How often a model is loaded and predicts until all is kept.
LEARNING_ROUNDS: Final = 2


def remember_predict(model: Any, entry: CacheEntry, twin: Twin, keras: Keras) -> bool:
    """Have the first `predict` of *model* use what an earlier one left, or leave something.

    Args:
        model: what was just made of *twin*, with no custom objects of the caller's, its weights
            mapped, on the default device.
        entry: whose twin it is.
        twin: the twin.
        keras: its Keras.

    Returns:
        Whether it may.
    """
    try:
        _require_covered(model, twin, keras)
        with paused_collector():
            state = ModelState.of(model, keras)
        watch(model, WatchedModel(entry=entry, twin=twin.path, keras=keras, state=state))
    except (NotKeptError, BypassError) as error:
        _logger.debug("%s: no stored trace for predict: %s", twin.path, error)
        return False
    return True


def _require_covered(model: Any, twin: Twin, keras: Keras) -> None:
    """Check that *model* is what its twin says, and nothing else.

    Raises:
        NotKeptError: it may not be.
    """
    if keras.backend != TENSORFLOW:
        raise NotKeptError(f"Keras runs on {keras.backend}, and traces nothing that can be kept")
    if not is_covered(model, keras):
        raise NotKeptError("it is not a functional or sequential model of Keras's own class")
    if any("call" in vars(layer) for layer in model._flatten_layers()):
        raise NotKeptError("a layer calls a function of the SavedModel")
    if not uses_only_builtins(twin, keras):
        raise NotKeptError("it has custom classes or functions, which may change")


def learn_predict(model: Any, entry: CacheEntry, twin: Twin, keras: Keras) -> bool:
    """Have *model* predict one row, so that what makes a first `predict` fast is kept.

    The first model leaves its trace, the second what TensorFlow's optimizer made of that: call this
    for `LEARNING_ROUNDS` models.

    Args:
        model: as in `remember_predict`.
        entry: whose twin it is.
        twin: the twin.
        keras: its Keras.

    Returns:
        Whether it predicted.
    """
    batch = _blank_batch(model)
    if batch is None or not remember_predict(model, entry, twin, keras):
        return False
    model.predict(batch, verbose=0)
    return True


def _blank_batch(model: Any) -> Any:
    """Return one row of zeros for *model*; None where it takes any size, or strings."""
    # Imported here: a load does without.
    from fastload.runtime.core.sample_inputs import UnknownInputsError, as_taken, blank, input_specs

    try:
        specs = input_specs(model)
    except UnknownInputsError:
        return None
    if any(None in (spec.shape or ())[1:] or spec.dtype == "string" for spec in specs):
        return None
    return as_taken(model, [blank(spec) for spec in specs])


@dataclass(frozen=True, kw_only=True)
class WatchedModel:
    """A loaded model that has not predicted yet.

    Attributes:
        entry: where its traces are kept.
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
        # Imported here: a load does without.
        from fastload.traces.stored_predict import predict_function

        return predict_function(self, model, tracing)
