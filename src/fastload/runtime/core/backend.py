"""Which backend Keras 3 runs on, or would run on, found without importing anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

TENSORFLOW: Final = "tensorflow"
TORCH: Final = "torch"


#: The supported ones; each has a module in `backends`.
SERVED: Final = frozenset({TENSORFLOW, "jax", TORCH})


def backend_of(name: str) -> ModuleType:
    """Return the adapter module of the backend called *name*, one of `SERVED`.

    Its `patches(variable, initializer)` takes Keras's classes of both and returns the patches that
    make variables wait for their weights; its `require_plain()` raises an error where a variable
    created now would not be an ordinary one.
    """
    return import_module(f"{__package__}.backends.{name}_variables")


def configured_backend(environ: Mapping[str, str]) -> str:
    """Return the backend of this process's Keras 3, or the one it would have if imported now.

    Args:
        environ: the environment, which overrides Keras's settings file.

    Example:
        >>> configured_backend({"KERAS_BACKEND": "openvino"}) if "keras" not in sys.modules else ""
        'openvino'
    """
    config: Any = sys.modules.get("keras.src.backend.config")
    if config is not None and hasattr(config, "backend"):
        return str(config.backend())
    return environ.get("KERAS_BACKEND") or _backend_in_settings_file(environ)


def needs_no_tensorflow(environ: Mapping[str, str]) -> bool:
    """Say whether the Keras of this process works without TensorFlow."""
    return TENSORFLOW not in sys.modules and configured_backend(environ) != TENSORFLOW


def _backend_in_settings_file(environ: Mapping[str, str]) -> str:
    folder = environ.get("KERAS_HOME")
    path = (Path(folder) if folder else Path("~/.keras").expanduser()) / "keras.json"
    try:
        settings = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return TENSORFLOW
    named = settings.get("backend") if isinstance(settings, dict) else None
    return named if isinstance(named, str) else TENSORFLOW
