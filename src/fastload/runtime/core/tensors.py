"""Values into tensors and back, on whatever Keras runs on."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastload.runtime.core.keras import TENSORFLOW, Keras
from fastload.runtime.core.tensorflow import tensorflow


def tensor_of(keras: Keras, array: np.ndarray[Any, Any]) -> Any:
    """Return *array* as a tensor for a model of *keras*."""
    if keras.backend == TENSORFLOW:
        return tensorflow().constant(array)
    return keras.module.ops.convert_to_tensor(array)


def flattened(keras: Keras, outputs: Any) -> list[Any]:
    """Return the tensors, or their parts where they have any, in what a model gave."""
    if keras.backend == TENSORFLOW:
        return list(tensorflow().nest.flatten(outputs, expand_composites=True))
    return list(keras.module.tree.flatten(outputs))


def value_of(tensor: Any) -> np.ndarray[Any, Any]:
    """Return the value of a tensor or variable; TensorFlow gives a single string as `bytes`."""
    detached = tensor.detach() if hasattr(tensor, "detach") else tensor
    found = detached.numpy() if hasattr(detached, "numpy") else np.asarray(detached)
    return np.asarray(found, dtype=object if isinstance(found, bytes) else None)
