"""What a restore hands to Keras's loaders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """What the caller asked of the stock loader.

    Attributes:
        filepath: the path as the caller gave it; some stock messages name it.
        custom_objects: by name, registries merged in.
        compile, safe_mode: as in `load_model`.
    """

    filepath: str
    custom_objects: Mapping[str, Any]
    compile: bool
    safe_mode: bool
