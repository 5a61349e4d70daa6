"""`python -m tests.published.keras2 MODEL INPUTS [--train] [SOURCE...]` runs a model in tf-keras.

Made-up inputs, what the model makes of them and, with `--train`, the losses of two steps of
training are written to INPUTS (`.npz`). Sources are modules of the model's package that define its
custom layers.
"""

from __future__ import annotations

import json
import logging
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
import tf_keras

from fastload.runtime.core.sample_inputs import probes
from tests.published.calling import called, input_specs
from tests.published.originals import custom_objects
from tests.published.training import steady_losses

_TRAIN: Final = "--train"


def main(path: str, target: str, *rest: str) -> None:
    """Write the inputs and outputs."""
    sources = [each for each in rest if each != _TRAIN]
    tf.get_logger().setLevel(logging.ERROR)
    objects = _of_first_keras(Path(path))
    for source in sources:
        objects |= custom_objects(Path(source))

    def load() -> Any:
        return tf_keras.models.load_model(path, custom_objects=objects, compile=False)

    inputs, outputs = _run(load(), _build_shape(Path(path)))
    arrays = {f"input_{place}": each for place, each in enumerate(inputs)}
    arrays |= {f"output_{place}": each for place, each in enumerate(outputs)}
    np.savez(target, **arrays, losses=_losses(load, inputs) if _TRAIN in rest else np.array([]))


def _losses(load: Callable[[], Any], inputs: list[np.ndarray]) -> np.ndarray:
    """Return what steps of training lose; nothing where that is chance, or Keras 2 cannot."""
    try:
        return np.array(steady_losses(tf_keras, load, inputs))
    except Exception as error:
        logging.getLogger("published").warning("%s", error)
        return np.array([])


def _run(model: Any, build_shape: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the first inputs that the model takes and has numbers for, and the outputs."""
    reason = "its outputs are no numbers"
    for values in probes(input_specs(model, build_shape)):
        try:
            outputs = called(model, values)
        except Exception as error:
            reason = str(error)
            continue
        if all(each.size and np.isfinite(each).all() for each in outputs):
            return values, outputs
    raise SystemExit(f"the model takes none of the inputs made up for it: {reason}")


def _of_first_keras(path: Path) -> dict[str, Any]:
    """Return the GRU of Keras 2.0, whose files tf-keras does not open: they lack `reset_after`."""
    is_old = path.is_file() and b"reset_after" not in path.read_bytes()
    return {"GRU": tf.compat.v1.keras.layers.GRU} if is_old else {}


def _build_shape(path: Path) -> Any:
    if path.suffix != ".keras":
        return None
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json")).get("build_config", {}).get("input_shape")


if __name__ == "__main__":
    main(*sys.argv[1:])
