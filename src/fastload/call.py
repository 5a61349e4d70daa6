"""One call of a public function: what the caller asked, and what the environment asks for."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from fastload.settings import Settings, WeightsMode

KerasChoice = Literal["auto", "keras", "tf_keras"]
_logger: Final = logging.getLogger("fastload")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of `load_model`.

    Attributes:
        filepath: as the caller gave it.
        custom_objects: as in the stock loader.
        compile: as in the stock loader.
        safe_mode: as in the stock loader.
        stock_only: further arguments, which only the stock loader understands.
        keras: which Keras is to make the model.
        weights: how the twin's weights are read.
        strict: raise the reason instead of going to the stock loader.
        settings: what the environment asks for.
    """

    filepath: Any
    custom_objects: Mapping[str, Any] | None = None
    compile: bool = True
    safe_mode: bool = True
    stock_only: Mapping[str, Any]
    keras: KerasChoice = "auto"
    weights: WeightsMode = "auto"
    strict: bool = False
    settings: Settings


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
