"""Which backend Keras 3 runs on, or would run on: found out without importing anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from fastload.runtime.requirements import NAMES_OF_KERAS

TENSORFLOW: Final = "tensorflow"
TORCH: Final = "torch"


#: Those that fastload knows, each by a module in `backends`.
SERVED: Final = frozenset({TENSORFLOW, "jax", TORCH})


def backend_of(name: str) -> ModuleType:
    """Return the module about the backend called *name*, one of `SERVED`.

    Its `taps(variable, initializer)`, given Keras's classes of both, returns what makes variables
    wait for their weights; its `require_plain()` raises why a variable made now is no ordinary one.
    """
    return import_module(f"{__package__}.backends.{name}_variables")


def configured_backend(environ: Mapping[str, str]) -> str:
    """Say which backend the Keras 3 of this process has, or would have if it was imported now.

    Args:
        environ: the environment, which goes before Keras's own file of settings.

    Example:
        >>> configured_backend({"KERAS_BACKEND": "openvino"}) if "keras" not in sys.modules else ""
        'openvino'
    """
    config = NAMES_OF_KERAS.loaded("config")
    if config is not None and hasattr(config, "backend"):
        return str(config.backend())
    return environ.get("KERAS_BACKEND") or _written_down(environ)


def needs_no_tensorflow(environ: Mapping[str, str]) -> bool:
    """Say whether the Keras of this process makes models without TensorFlow."""
    return TENSORFLOW not in sys.modules and configured_backend(environ) != TENSORFLOW


def _written_down(environ: Mapping[str, str]) -> str:
    folder = environ.get("KERAS_HOME")
    path = (Path(folder) if folder else Path("~/.keras").expanduser()) / "keras.json"
    try:
        settings = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return TENSORFLOW
    named = settings.get("backend") if isinstance(settings, dict) else None
    return named if isinstance(named, str) else TENSORFLOW
