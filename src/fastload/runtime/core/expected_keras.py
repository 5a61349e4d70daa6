"""What Keras will be like when somebody imports it.

The stored function of a Keras model is for one Keras with its settings. Those can be told before
Keras is imported, where nothing but the environment and `keras.json` has a say.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from fastload.runtime.core.keras import KerasChoice, expected_generation, predicted_package

#: Of each Keras (https://keras.io/api/utils/config_utils/); `keras.json` may have others.
_DEFAULTS: Final[Mapping[str, Any]] = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedKeras:
    """A Keras that is not imported yet.

    Attributes:
        name: `keras2` or `keras3`.
        choices: what `tracing_choices` will return for it.
    """

    name: str
    choices: tuple[str, ...]


def expected_keras(choice: KerasChoice) -> ExpectedKeras | None:
    """Return what the Keras of *choice* will be like; None if that cannot be told, or it is there.

    Raises:
        ValueError: *choice* is none of the three.
    """
    package = predicted_package(choice, os.environ)
    settings = _settings()
    if package in sys.modules or settings is None:
        return None
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
    told = (settings["floatx"], settings["epsilon"], settings["image_data_format"])
    return ExpectedKeras(
        name=expected_generation(choice, os.environ),
        choices=(package, version, *map(str, told)),
    )


def _settings() -> Mapping[str, Any] | None:
    """Return the settings that Keras starts with; None if it is not for TensorFlow, or fails."""
    home = os.environ.get("KERAS_HOME") or str(Path("~", ".keras"))
    try:
        content = json.loads(Path(home, "keras.json").expanduser().read_bytes())
    except (OSError, RuntimeError):
        content = {}
    except ValueError:
        return None
    if not isinstance(content, dict) or not isinstance(content.get("epsilon", 1.0), float):
        return None
    backend = os.environ.get("KERAS_BACKEND") or content.get("backend", "tensorflow")
    return {**_DEFAULTS, **content} if backend == "tensorflow" else None
