"""One call of a public function: what the caller asked, and what the environment asks for."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastload import registry
from fastload.runtime.flavour import KerasChoice, flavour
from fastload.runtime.tensorflow import tensorflow
from fastload.settings import Settings, WeightsMode

_logger: Final = logging.getLogger("fastload")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a loader.

    Attributes:
        filepath: as the caller gave it.
        weights: how the twin's weights are read.
        strict: raise the reason instead of going to the stock loader.
        settings: what the environment asks for.
    """

    filepath: Any
    weights: WeightsMode = "auto"
    strict: bool = False
    settings: Settings

    def load_stock(self) -> Any:
        """Do what the caller would have got without fastload."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall(Call):
    """One call of `load_model`.

    Attributes:
        custom_objects: as in the stock loader.
        compile: as in the stock loader.
        safe_mode: as in the stock loader.
        stock_only: further arguments, which only the stock loader understands.
        keras: which Keras is to make the model.
    """

    custom_objects: Mapping[str, Any] | None = None
    compile: bool = True
    safe_mode: bool = True
    stock_only: Mapping[str, Any]
    keras: KerasChoice = "auto"

    def load_stock(self) -> Any:
        """Call Keras's own `load_model`."""
        return flavour(self.keras).load_model(self.filepath, **self._stock_arguments())

    def _stock_arguments(self) -> dict[str, Any]:
        arguments = {
            "custom_objects": self.custom_objects,
            "compile": self.compile,
            **self.stock_only,
        }
        if registry.custom_objects:
            arguments["custom_objects"] = registry.custom_objects | dict(self.custom_objects or {})
        if not self.safe_mode:  # Keras before 2.13 has no such argument
            arguments["safe_mode"] = False
        return arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModelCall(Call):
    """One call of `load_saved_model`.

    Attributes:
        tags: as in the stock loader.
        options: as in the stock loader.
    """

    tags: Any = None
    options: Any = None

    def load_stock(self) -> Any:
        """Call TensorFlow's own `saved_model.load`."""
        return tensorflow().saved_model.load(self.filepath, self.tags, self.options)


def current_settings() -> Settings:
    """Read the environment, and let the log through if it asks for that.

    Raises:
        ValueError: a variable has a value that cannot be understood.
    """
    settings = Settings.from_env(os.environ)
    if settings.log_level and not _logger.handlers:
        _logger.addHandler(logging.StreamHandler())
        _logger.setLevel(settings.log_level)
    return settings
