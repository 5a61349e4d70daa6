"""Twin to Keras model: the stock loader of the source's format, run over the twin.

Modules that only a restore needs are imported in it: predictors ask here what stock opens.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastload.cache.entry import KERAS3
from fastload.cache.publish import replacing
from fastload.errors import (
    BypassError,
    CacheUnwritableError,
    RestoreError,
    TwinCorruptError,
)
from fastload.imports.collector import paused_collector
from fastload.runtime.core.keras import Keras
from fastload.runtime.core.restore_request import RestoreRequest, require_layer_classes
from fastload.source.detect import SourceKind
from fastload.twin.reader import Twin

if TYPE_CHECKING:
    from fastload.runtime.keras2.output_specs import SpecCache

_logger: Final = logging.getLogger(__name__)


def restore_keras_model(twin: Twin, keras: Keras, request: RestoreRequest, specs_path: Path) -> Any:
    """Return the model that the stock loader would return for the twin's source.

    Args:
        twin: the model's twin.
        keras: the Keras to restore with.
        request: the stock loader's arguments.
        specs_path: the output-spec cache of a Keras 2 model; written if it does not exist.

    Raises:
        TwinCorruptError: a document of the twin is not what was written.
        RestoreError: Keras raised an error that stock may not have raised.
        BypassError: Keras cannot be driven as expected, or a custom class is missing.
    """
    from fastload.runtime.core.global_state import undone_on_failure

    require_layer_classes(twin, keras, request.custom_objects)
    try:
        with paused_collector(), undone_on_failure(keras):
            return _restored(twin, keras, request, specs_path)
    except (BypassError, TwinCorruptError, MemoryError):
        raise
    except Exception as error:
        raise RestoreError(twin.path, f"{type(error).__name__}: {error}") from error


def _restored(twin: Twin, keras: Keras, request: RestoreRequest, specs_path: Path) -> Any:
    kind = SourceKind(twin.manifest.source_kind)
    if keras.generation == KERAS3:
        from fastload.runtime.keras3.keras3_loaders import restore_keras3

        return restore_keras3(kind, twin, request)
    from fastload.runtime.keras2.keras2_loaders import restore_keras2
    from fastload.runtime.keras2.output_specs import SpecCache

    spec_cache = SpecCache(_recorded_specs(specs_path))
    model = restore_keras2(keras.package, kind, twin, request, spec_cache)
    if spec_cache.grew:
        _write_specs(specs_path, spec_cache)
    return model


def _recorded_specs(path: Path) -> Mapping[str, Any]:
    try:
        recorded = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return recorded if isinstance(recorded, dict) else {}


def _write_specs(path: Path, spec_cache: SpecCache) -> None:
    """Write the output-spec cache, unless another restore has: it is never replaced."""
    if path.exists():
        return
    try:
        with replacing(path, durable=False) as partial:
            content = json.dumps(spec_cache.calls, separators=(",", ":"))
            partial.write_text(content, encoding="utf-8")
    except CacheUnwritableError as error:
        _logger.info("output specs are not kept: %s", error)
