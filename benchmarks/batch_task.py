"""`python -m benchmarks.batch_task WAY MODEL IMAGE`: what runs on a batch node, and tells its time.

A task imports what it needs, loads a model, predicts one image, and ends. Nothing is imported here
that no task needs: the whole process is measured too.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

#: The unit of `ru_maxrss`.
_RSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024
#: Of an image, where the model takes any.
SIDE: Final = 256


def _stock() -> Callable[[str], Any]:
    import tensorflow as tf

    return partial(tf.keras.models.load_model, compile=False)


def _load_model() -> Callable[[str], Any]:
    import tensorflow as tf

    import fastload

    tf.keras.models.load_model  # noqa: B018  # Keras is imported on first access
    return partial(fastload.load_model, compile=False)


def _load_predictor() -> Callable[[str], Any]:
    import fastload

    return fastload.load_predictor


WAYS: Final = {"stock": _stock, "load_model": _load_model, "load_predictor": _load_predictor}


def run(way: str, model_path: str, image_path: str) -> dict[str, Any]:
    """Do one task in this process, and return its seconds, outcome and a digest of the outputs."""
    begun = time.perf_counter()
    import numpy as np

    load = WAYS[way]()
    imported = time.perf_counter()
    image = np.load(image_path)
    started = time.perf_counter()
    model = load(model_path)
    loaded = time.perf_counter()
    outputs = model.predict(image) if way == "load_predictor" else model.predict(image, verbose=0)
    predicted = time.perf_counter()
    outcome, place, late_s = _report(way)
    return {
        "import_s": imported - begun + late_s,
        "prediction_model_load_time_s": loaded - started - late_s,
        "prediction_time_s": predicted - loaded,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT / 1e9,
        "outcome": outcome,
        "place": place,
        "digest": digest(outputs),
    }


def _report(way: str) -> tuple[str, str, float]:
    """Return how the load was served, whence, and the seconds of imports within it."""
    if way == "stock":
        return "stock", "", 0.0
    import fastload

    report = fastload.last_load()
    assert report is not None  # noqa: S101  # something was loaded
    place = "layer" if report.layer else "bucket" if report.store else ""
    return report.outcome.value, place, report.import_seconds


def digest(outputs: Any) -> str:
    """Return a digest of the bytes and shapes of *outputs*, however they are ordered or named.

    Example:
        >>> import numpy as np
        >>> one, two = np.zeros(2), np.ones(2)
        >>> digest([one, two]) == digest({"a": two, "b": one})
        True
    """
    each = sorted(f"{array.shape}{array.tobytes().hex()}" for array in _arrays(outputs))
    return hashlib.sha256("".join(each).encode()).hexdigest()


def _arrays(outputs: Any) -> Iterator[Any]:
    import numpy as np

    if isinstance(outputs, (dict, list, tuple)):
        for each in outputs.values() if isinstance(outputs, dict) else outputs:
            yield from _arrays(each)
    else:
        yield np.asarray(outputs)


def reference(model_path: str, image_path: str) -> dict[str, Any]:
    """Write an image of noise for the model, and return what its signature makes of it, digested.

    That is what a predictor of a SavedModel computes, to the bit; `predict` of Keras runs another
    function over the same weights.

    Raises:
        ValueError: the model takes something else than one image.
    """
    import numpy as np
    import tensorflow as tf

    loaded = tf.saved_model.load(model_path)
    signature = loaded.signatures["serving_default"]
    specs = signature.structured_input_signature[1]
    if len(specs) != 1:
        raise ValueError(f"a task predicts one image; {model_path} takes {sorted(specs)}")
    ((name, spec),) = specs.items()
    shape = [1, *(size or SIDE for size in spec.shape[1:])]
    noise = np.random.default_rng(7).random(shape)
    image = (noise if spec.dtype.is_floating else noise * 255).astype(spec.dtype.as_numpy_dtype)
    np.save(image_path, image)
    return {"digest": digest(signature(**{name: tf.constant(image)}))}


def warm(model_path: str, layer: str) -> dict[str, Any]:
    """Make a layer, or the cache where *layer* is empty, before anything imported TensorFlow.

    A store that the environment names gets the twin too.
    """
    import fastload

    publish = "FASTLOAD_REMOTE" in os.environ
    made = fastload.warm(model_path, into=layer or None, publish=publish)
    return {"outcome": made.outcome.value}


def main(way: str, model_path: str, other: str) -> None:
    """Do what *way* says, and print one line of JSON."""
    others = {"reference": reference, "warm": warm}
    found = others[way](model_path, other) if way in others else run(way, model_path, other)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
