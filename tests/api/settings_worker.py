"""Under each global setting of TensorFlow and Keras, a kept trace gives what stock gives.

`python settings_worker.py MODEL PACKAGE STEP` imports everything once, and tries each setting in a
process of its own, forked from that one; it prints a line for each: what was set, and what came of
it. It takes each setting that it finds, or one in STEP.
"""

from __future__ import annotations

import importlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

#: Where settings are looked for, and how they are called.
PLACES = (
    *("tensorflow.config", "tensorflow.config.experimental", "tensorflow.config.optimizer"),
    *("tensorflow.config.threading", "tensorflow.debugging", "tensorflow.debugging.experimental"),
    *("tensorflow.experimental.numpy", "tensorflow.compat.v1", "tensorflow.autograph"),
    *("keras.config", "keras.backend", "keras.mixed_precision", "keras.utils"),
)
VERBS = ("set_", "enable_", "disable_", "experimental_enable_", "experimental_run", "run_functions")
#: What they may take.
ARGUMENTS: tuple[tuple[Any, ...], ...] = (
    *((), (True,), (False,), (1,), (3,), (0.5,), ("float16",), ("mixed_float16",)),
    *(("mixed_bfloat16",), ("bfloat16",), ("float64",), ("channels_first",), ("autoclustering",)),
    *(("silent",), ("explicit",), ({"constant_folding": False, "remapping": False},)),
)
#: They change files, or what later programs are told, or end TensorFlow's 2 behaviour altogether.
LEFT_OUT = {"set_backend", "set_image_dim_ordering", "set_logical_device_configuration"}
INPUTS = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)


def settings(package: str) -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
    for place in PLACES:
        name = place.replace("keras", package, 1) if place.startswith("keras") else place
        try:
            holder: Any = importlib.import_module(name.partition(".")[0])
            for part in name.split(".")[1:]:
                holder = getattr(holder, part)
        except (ImportError, AttributeError):
            continue
        for each in sorted(dir(holder)):
            if each.startswith(VERBS) and each not in LEFT_OUT:
                for arguments in ARGUMENTS:
                    yield f"{name}.{each}", getattr(holder, each), arguments


def outcome(load: Callable[[], Any]) -> str:
    """Return what first `predict`s give: values and dtype, or the class of the error."""
    found = []
    for inputs in (INPUTS, np.full_like(INPUTS, np.nan)):
        try:
            result = np.asarray(load().predict(inputs, verbose=0))
        except Exception as error:
            found.append(type(error).__name__)
        else:
            found.append(f"{result.dtype}:{result.tobytes().hex()}")
    return " ".join(found)


def tried(
    path: str, package: str, apply: Callable[..., Any], arguments: tuple[Any, ...]
) -> str | None:
    """Return what came of one setting; None if it does not take these arguments."""
    import fastload

    try:
        apply(*arguments)
    except Exception:
        return None
    keras = importlib.import_module(package)
    ours = outcome(lambda: fastload.load_model(path, keras=package))  # type: ignore[arg-type]
    stock = outcome(lambda: keras.models.load_model(path))
    return "same" if ours == stock else f"OTHER {ours} THAN STOCK {stock}"


def main() -> None:
    path, package, step = sys.argv[1], sys.argv[2], int(sys.argv[3])
    importlib.import_module("tensorflow")
    importlib.import_module(package)
    importlib.import_module("fastload")
    for name, apply, arguments in itertools.islice(settings(package), 0, None, step):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            told = tried(path, package, apply, arguments)
            os.write(writing, (told or "not taken").encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            told = answer.read()
        os.waitpid(child, 0)
        if told != "not taken":
            sys.stdout.write(f"{name}{arguments}: {told or 'ENDED'}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
