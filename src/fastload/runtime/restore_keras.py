"""Twin to Keras model: the stock loader of the source's format, run over the twin."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fastload.cache.publish import replacing
from fastload.errors import BypassError, CacheUnwritableError, RestoreError, TwinCorruptError
from fastload.imports.collector import paused_collector
from fastload.runtime.core.custom_objects import require_layer_classes
from fastload.runtime.core.global_state import undone_on_failure
from fastload.runtime.core.keras import Keras
from fastload.runtime.core.restore_request import RestoreRequest
from fastload.runtime.loader_choice import new_tape, run_loader
from fastload.source.kinds import SourceKind
from fastload.twin.reader import Twin

_logger: Final = logging.getLogger(__name__)


def restore_keras_model(twin: Twin, keras: Keras, request: RestoreRequest, specs_path: Path) -> Any:
    """Return the model that the stock loader would return for the twin's source.

    Args:
        twin: the model's twin.
        keras: the Keras that makes it.
        request: what the caller asked for.
        specs_path: side entry with the output specs of an earlier rebuild; written if it is not
            there.

    Raises:
        TwinCorruptError: a document of the twin is not what was written.
        RestoreError: Keras raised where stock may not have.
        BypassError: Keras cannot be driven as expected, or a custom class is missing.
    """
    require_layer_classes(twin, keras, request.custom_objects)
    tape = new_tape(keras, _recorded(specs_path))
    with paused_collector():
        try:
            with undone_on_failure(keras):
                model = run_loader(
                    SourceKind(twin.manifest.source_kind), keras, twin, request, tape
                )
        except (BypassError, TwinCorruptError, MemoryError):
            raise
        except Exception as error:
            raise RestoreError(twin.path, f"{type(error).__name__}: {error}") from error
    if tape is not None and tape.grew:
        _keep(specs_path, tape.calls)
    return model


def _recorded(path: Path) -> Mapping[str, Any]:
    try:
        recorded = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return recorded if isinstance(recorded, dict) else {}


def _keep(path: Path, calls: Mapping[str, Any]) -> None:
    """Write the side entry, unless another rebuild has: it is never replaced."""
    if path.exists():
        return
    try:
        with replacing(path, durable=False) as partial:
            partial.write_text(json.dumps(calls, separators=(",", ":")), encoding="utf-8")
    except CacheUnwritableError as error:
        _logger.info("output specs are not kept: %s", error)
