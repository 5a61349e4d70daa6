"""How a call of `load_weights` is served: by which Keras, and from which twin."""

from __future__ import annotations

import fastload
from fastload.cache.directory import CacheDir
from fastload.cache.entry import KERAS2
from fastload.cache.memo import recall
from fastload.errors import UnsupportedRequestError, UnsupportedSourceError
from fastload.loading.plan import Identity, Plan, identify
from fastload.loading.request import WeightsRequest
from fastload.report import PhaseClock
from fastload.runtime.core.keras import (
    Keras,
    keras_of,
    require_own_method,
    require_plain_moment,
)
from fastload.runtime.restore_weights import require_reads, require_takes_weights
from fastload.source.detect import ModelSource, SourceKind
from fastload.twin.format import WEIGHTS_SECTION


def plan_for_weights(request: WeightsRequest, source: ModelSource, clock: PhaseClock) -> Plan:
    """Say how the weights in *source* get into a model.

    Raises:
        CacheError: the cache cannot be used.
        BypassError: it is the stock function's; the message says why.
        MissingTensorFlowError: the Keras of the model is not installed.
    """
    with clock.phase("import"):
        keras = keras_of(request.keras)
        require_plain_moment(keras)
        require_takes_weights(keras, request.model, request.arguments)
        require_reads(keras, source, request.filepath)
        if request.stock is None:
            require_own_method(keras, request.model, "load_weights")
    with clock.phase("identify"):
        identity = identity_for_weights(request, source, keras)
    return Plan(request=request, identity=identity, keras=keras)


def identity_for_weights(request: WeightsRequest, source: ModelSource, keras: Keras) -> Identity:
    """Say which twin has the weights of *source*.

    Raises:
        CacheError: the cache cannot be used.
        BypassError: the stock function would not read it, or it was found unconvertible before.
    """
    cache = CacheDir.locate(request.settings)
    if not request.must_be_served:
        _require_settled(cache, source)
    return weights_identity(cache, source, keras.generation)


def weights_identity(
    cache: CacheDir, source: ModelSource, generation: str, *, remembers: bool = True
) -> Identity:
    """Say which twin has the weights of *source* for a Keras, whatever the age of the file.

    Args:
        cache: where the twin is.
        source: what is on disk.
        generation: of the Keras that reads it.
        remembers: as for `identify`.

    Raises:
        BypassError: no twin can have them, or this content was found unconvertible before.
        UnsupportedSourceError: the source is being written to.
    """
    if source.kind is SourceKind.SAVED_MODEL:
        raise UnsupportedSourceError("the weights of a SavedModel are in a checkpoint")
    if source.kind is SourceKind.KERAS_SHARDS and generation == KERAS2:
        raise UnsupportedSourceError("Keras 2 knows no weights in shards")
    return identify(cache, source, generation, WEIGHTS_SECTION, remembers=remembers)


def _require_settled(cache: CacheDir, source: ModelSource) -> None:
    """Check that *source* was there when this process began, or was found to be as it was.

    A program that trains writes one file of weights after the other, often to one path; each is
    read once or never. `docs/decisions/0037-twins-of-weights.md` has the figures.

    Raises:
        UnsupportedRequestError: it is newer than this process.
    """
    if all(file.mtime_ns < fastload.STARTED_NS for file in source.files):
        return
    memo = recall(cache, source.path, source.files, converter="")
    if memo is None or not memo.is_current:
        raise UnsupportedRequestError("the file was written after this process began")
