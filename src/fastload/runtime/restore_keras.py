"""Twin to Keras model: the stock loader of the source's format, run over the twin.

Modules that only a restore needs are imported in it: predictors ask here what stock opens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastload.cache.entry import KERAS3, CacheEntry
from fastload.errors import (
    BypassError,
    RestoreError,
    TwinCorruptError,
    UnconvertibleModelError,
    UnresolvedObjectError,
)
from fastload.imports.collector import paused_collector
from fastload.runtime.core.keras import Keras
from fastload.runtime.core.restore_request import (
    RestoreRequest,
    missing_layer_class,
    runs_only_keras,
)
from fastload.source.detect import SourceKind
from fastload.twin.format import FUNCTION_SECTION, KERAS_SECTION, SAVED_METADATA
from fastload.twin.reader import Twin


def restore_keras_model(
    twin: Twin, keras: Keras, request: RestoreRequest, entry: CacheEntry
) -> Any:
    """Return the model that the stock loader would return for the twin's source.

    Args:
        twin: the model's twin.
        keras: the Keras to restore with.
        request: the stock loader's arguments.
        entry: of the twin; the output-spec cache of a Keras 2 model is beside it.

    Raises:
        TwinCorruptError: a document of the twin is not what was written.
        RestoreError: Keras raised an error that stock may not have raised.
        BypassError: Keras cannot be driven as expected, or a custom class is missing.
    """
    reason = _reason_to_revive(twin, keras, request)
    if reason is None:
        try:
            with _restoring(twin, keras):
                return _restored(twin, keras, request, entry)
        except UnresolvedObjectError as error:  # Keras made a layer of functions
            reason = error
    if not _may_revive(twin, request):
        raise reason
    with _restoring(twin, keras):
        return _model_of_keras2(twin, keras, request, entry, revived=True)


@contextmanager
def _restoring(twin: Twin, keras: Keras) -> Iterator[None]:
    """Have the block leave nothing of a model that it failed to make, and say so in our own terms.

    Raises:
        RestoreError: the block raised what is no error of fastload's.
    """
    from fastload.runtime.core.global_state import undone_on_failure

    try:
        with paused_collector(), undone_on_failure(keras):
            yield
    except (BypassError, TwinCorruptError, MemoryError):
        raise
    except Exception as error:
        raise RestoreError(twin.path, f"{type(error).__name__}: {error}") from error


def require_loader(keras: Keras, kind: SourceKind) -> None:
    """Check that *keras* has what a restore of twins of *kind* drives.

    Raises:
        UnsupportedRuntimeError: it lacks a module or a name.
    """
    if keras.generation == KERAS3:
        from fastload.runtime.keras3.keras3_loaders import keras3

        keras3()
    else:
        from fastload.runtime.keras2.keras2_loaders import require_keras2_loader

        require_keras2_loader(keras.package, kind)


def _reason_to_revive(twin: Twin, keras: Keras, request: RestoreRequest) -> BypassError | None:
    """Return why the model, or a layer of it, cannot be made of its configuration."""
    if KERAS_SECTION in twin.refusals:
        return UnconvertibleModelError(twin.refusals[KERAS_SECTION][1])
    return missing_layer_class(twin, keras, request.custom_objects)


def _may_revive(twin: Twin, request: RestoreRequest) -> bool:
    """Say whether the functions of a SavedModel are at hand; old twins lack what Keras reads."""
    is_there = SAVED_METADATA in twin.manifest.documents
    return request.may_revive and is_there and FUNCTION_SECTION not in twin.refusals


def _restored(twin: Twin, keras: Keras, request: RestoreRequest, entry: CacheEntry) -> Any:
    """Return the model made of its configuration alone."""
    if keras.generation != KERAS3:
        return _model_of_keras2(twin, keras, request, entry, revived=False)
    from fastload.runtime.keras3.keras3_loaders import restore_keras3

    kind = SourceKind(twin.manifest.source_kind)
    return restore_keras3(
        kind, twin, request, may_be_read=not runs_only_keras(twin, keras, request)
    )


def _model_of_keras2(
    twin: Twin, keras: Keras, request: RestoreRequest, entry: CacheEntry, *, revived: bool
) -> Any:
    from fastload.runtime.keras2.recorded_specs import RecordedSpecs

    recorded = RecordedSpecs.of(entry, keras)
    spec_cache = recorded.read()
    if revived:
        from fastload.runtime.keras2.revived import restore_revived

        model = restore_revived(keras.package, twin, request, spec_cache)
    else:
        from fastload.runtime.keras2.keras2_loaders import restore_keras2

        kind = SourceKind(twin.manifest.source_kind)
        model = restore_keras2(keras.package, kind, twin, request, spec_cache)
    recorded.write(spec_cache)
    return model
