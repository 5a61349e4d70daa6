"""Twin to the object that TensorFlow's own loader returns."""

from __future__ import annotations

from typing import Any

from fastload.errors import BypassError, RestoreError, TwinCorruptError
from fastload.imports.collector import paused_collector
from fastload.runtime.saved_model.objects import load_objects
from fastload.twin.reader import Twin


def restore_saved_model(twin: Twin, path: str, tags: Any) -> Any:
    """Return the object that `tf.saved_model.load` would return for the twin's source.

    Args:
        twin: a twin with a function section.
        path: the SavedModel's folder.
        tags: as in the stock loader.

    Raises:
        TwinCorruptError: a document of the twin is not what was written.
        RestoreError: TensorFlow raised where stock may not have.
        BypassError: TensorFlow cannot be driven as expected, or lacks an operation.
    """
    try:
        with paused_collector():
            return load_objects(twin, path, tags)
    except (BypassError, TwinCorruptError, MemoryError):
        raise
    except Exception as error:
        raise RestoreError(twin.path, f"{type(error).__name__}: {error}") from error
