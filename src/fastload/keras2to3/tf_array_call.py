"""A model as a function of arrays, one an input, to arrays, one an output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastload.keras2to3.tf_serving_function import Function
from fastload.runtime.core.backend import TENSORFLOW
from fastload.runtime.core.keras import Keras
from fastload.runtime.core.tensorflow import tensorflow


def array_call(model: Any, keras: Keras) -> Function:
    """Return *model*, of Keras 3, as a function of its flat inputs to its flat outputs."""
    return graph_call(model) if keras.backend == TENSORFLOW else _by_operations(model, keras)


def graph_call(model: Any) -> Function:
    """Return *model*, on TensorFlow, as a function that runs as a graph, as in `predict`."""
    tf, structure = tensorflow(), _structure(model)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def run(values: Any) -> Any:
        inputs = tf.nest.pack_sequence_as(structure, values) if structure is not None else values[0]
        return tf.nest.flatten(model(inputs, training=False))

    return lambda values: [np.asarray(each) for each in run([tf.constant(v) for v in values])]


def _by_operations(model: Any, in_use: Keras) -> Function:
    keras, structure = in_use.module, _structure(model)

    def run(values: Sequence[Any]) -> list[Any]:
        if any(value.dtype == object for value in values):
            raise ValueError(f"Keras on {in_use.backend} computes with no text")
        tensors = [keras.ops.convert_to_tensor(value) for value in values]
        packed = keras.tree.pack_sequence_as(structure, tensors) if structure is not None else None
        outputs = model(tensors[0] if packed is None else packed, training=False)
        return [keras.ops.convert_to_numpy(each) for each in keras.tree.flatten(outputs)]

    return run


def _structure(model: Any) -> Any:
    structure = getattr(model, "_inputs_struct", None)
    return model.input if structure is None and hasattr(model, "input") else structure
