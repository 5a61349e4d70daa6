"""Loads that are stopped at a step: by a fork of another thread, or by an interrupt.

A step is the first call of one of fastload's functions, so steps are found by running a load.
"""

from __future__ import annotations

import gc
import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import fastload
from tests.small_models import INPUTS

SRC = str(Path(fastload.__file__).parent)


def is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(SRC)


def name_of(frame: FrameType) -> str:
    """Return the name of a step: file, line and function."""
    code = frame.f_code
    return f"{code.co_filename[len(SRC) + 1 :]}:{code.co_firstlineno} {code.co_name}"


@contextmanager
def calling_at_steps(act: Callable[[str], None]) -> Iterator[None]:
    """Have *act* called with the name of each step of this thread, as it begins."""
    seen = set()

    def profile(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and is_ours(frame) and frame.f_code not in seen:
            seen.add(frame.f_code)
            act(name_of(frame))

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def steps_of(load: Callable[[], Any]) -> list[str]:
    """Return the steps of a load in their order."""
    found: list[str] = []
    with calling_at_steps(found.append):
        load()
    return found


def loaders(package: str) -> dict[str, Callable[[Path], Any]]:
    """Return the kinds of loads, under names."""
    return {
        "model": lambda path: fastload.load_model(path, keras=package),
        "predictor": lambda path: fastload.load_predictor(path, keras=package),
        "objects": fastload.load_saved_model,
    }


def digest(loaded: Any, *, may_run: bool) -> str:
    """Return a digest of what was loaded: variables, and outputs where functions may be run."""
    arrays = [np.asarray(each) for each in getattr(loaded, "variables", [])]
    if hasattr(loaded, "layers"):  # eagerly
        arrays.append(np.asarray(loaded(INPUTS)))
    elif may_run:
        arrays += _outputs(loaded)
    content = [(str(each.dtype), each.shape, each.tobytes()) for each in arrays]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _outputs(loaded: Any) -> list[Any]:
    import tensorflow as tf

    if hasattr(loaded, "signatures") and not isinstance(loaded, fastload.Predictor):
        loaded = loaded.signatures["serving_default"]
        return [each.numpy() for each in loaded(tf.constant(INPUTS)).values()]
    return [np.asarray(each) for each in tf.nest.flatten(loaded.predict(INPUTS))]


def stock_digest(kind: str, package: str, path: Path, *, may_run: bool) -> str:
    with fastload.disabled():
        return digest(loaders(package)[kind](path), may_run=may_run)


def left_over() -> list[str]:
    """Return what of a load is left in this process, where there should be nothing."""
    from fastload import switch, unfinished
    from fastload.runtime.core import rebuild

    found = {
        "patches": bool(rebuild._replaced) or any(rebuild._users.values()),
        "rebuild": rebuild.current_rebuild() is not None,
        "collector": not gc.isenabled(),
        "loading": switch.is_loading(),
        "changes": bool(unfinished._begun),
    }
    return [name for name, is_left in found.items() if is_left]
