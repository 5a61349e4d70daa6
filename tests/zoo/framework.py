"""The one place of the zoo that imports TensorFlow and picks a Keras and its backend."""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any

from zoo.operations import operations

#: The Keras of this process, set by `select`; `zoo.objects` makes its classes for it.
keras: Any = None


def select(generation: str) -> Any:
    """Import the Keras of *generation*, on one thread (sums have one order), and return it."""
    global keras  # noqa: PLW0603 - one process, one Keras; `zoo.objects` makes classes for it
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if generation == "keras2":
        keras = _keras2()
    else:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        keras = importlib.import_module("keras")
        _on_one_thread()
    generation = keras.__version__.split(".")[0]
    if generation != generation[-1]:
        raise RuntimeError(f"{generation} asked for, but this is Keras {keras.__version__}")
    return keras


def _keras2() -> Any:
    """Return tf-keras where it is installed, else the Keras inside TensorFlow (up to 2.15)."""
    if importlib.util.find_spec("tf_keras") is None:
        # The package that `tf.keras` stands for has the version; TensorFlow's name for it has not.
        package = importlib.import_module("keras")
        # Up to 2.12 `tf.keras` has more: this in 2.8, and schedules of learning rates.
        schedules = getattr(package.optimizers, "schedules", None)
        is_whole = hasattr(package.utils, "set_random_seed")
        is_whole &= hasattr(schedules, "ExponentialDecay")
        return package if is_whole else importlib.import_module("keras.api._v2.keras")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    return importlib.import_module("tf_keras")


def backend() -> str:
    """Return what Keras 3 runs on in this process and in the workers that it starts."""
    return os.environ.get("KERAS_BACKEND") or "tensorflow"


def _on_one_thread() -> None:
    if backend() == "torch":
        importlib.import_module("torch").set_num_threads(1)


def tensorflow() -> Any:
    """Return TensorFlow; where Keras does without, what has the same names."""
    if keras.__version__[0] == "3" and backend() != "tensorflow":
        return operations(keras)
    return importlib.import_module("tensorflow")
