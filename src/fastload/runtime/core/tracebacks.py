"""TensorFlow and Keras cut their own frames from tracebacks, and fastload's along with them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastload.runtime.requirements import TRACEBACKS

_OURS: Final = str(Path(__file__).parents[2])


def hide_frames() -> None:
    """Have the libraries that are imported cut frames of fastload's where they cut their own.

    Code of ours stands in for single functions of theirs, also for models that fastload did not
    load. Loads are no such functions: the frames of a load that fails are in its traceback.
    """
    for name in TRACEBACKS.parts:
        module = TRACEBACKS.loaded(name)
        paths = getattr(module, "_EXCLUDED_PATHS", None)
        if isinstance(paths, tuple) and _OURS not in paths:
            module._EXCLUDED_PATHS = (*paths, _OURS)
