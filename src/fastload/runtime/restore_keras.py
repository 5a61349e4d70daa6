"""Twin to Keras model: the stock loader of the source's format, run over the twin.

Modules that only a restore needs are imported in it: predictors ask here what stock opens.
"""

from __future__ import annotations

from typing import Any

from fastload.cache.entry import KERAS3, CacheEntry
from fastload.errors import (
    BypassError,
    RestoreError,
    TwinCorruptError,
)
from fastload.imports.collector import paused_collector
from fastload.runtime.core.keras import Keras
from fastload.runtime.core.restore_request import (
    RestoreRequest,
    require_layer_classes,
    runs_only_keras,
)
from fastload.source.detect import SourceKind
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
    from fastload.runtime.core.global_state import undone_on_failure

    require_layer_classes(twin, keras, request.custom_objects)
    try:
        with paused_collector(), undone_on_failure(keras):
            return _restored(twin, keras, request, entry)
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


def _restored(twin: Twin, keras: Keras, request: RestoreRequest, entry: CacheEntry) -> Any:
    kind = SourceKind(twin.manifest.source_kind)
    if keras.generation == KERAS3:
        from fastload.runtime.keras3.keras3_loaders import restore_keras3

        return restore_keras3(
            kind, twin, request, may_be_read=not runs_only_keras(twin, keras, request)
        )
    from fastload.runtime.keras2.keras2_loaders import restore_keras2
    from fastload.runtime.keras2.recorded_specs import RecordedSpecs

    recorded = RecordedSpecs.of(entry, keras)
    spec_cache = recorded.read()
    model = restore_keras2(keras.package, kind, twin, request, spec_cache)
    recorded.write(spec_cache)
    return model
