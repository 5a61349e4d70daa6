"""A model as a function of arrays, one an input, to arrays, one an output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastload.runtime.backends.choice import TENSORFLOW
from fastload.runtime.flavour import Flavour
from fastload.runtime.serving_function import Function
from fastload.runtime.tensorflow import tensorflow


def array_call(model: Any, of: Flavour) -> Function:
    """Return *model*, of the Keras *of*, as a function of its flat inputs to its flat outputs.

    It is run as a graph on TensorFlow, as `predict` does, and operation by operation elsewhere.
    """
    structure = getattr(model, "_inputs_struct", None)
    structure = model.input if structure is None and hasattr(model, "input") else structure
    make = _as_graph if of.backend == TENSORFLOW else _by_operations
    return make(model, structure, of.keras)


def _as_graph(model: Any, structure: Any, _: Any) -> Function:
    tf = tensorflow()

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def run(values: Any) -> Any:
        inputs = tf.nest.pack_sequence_as(structure, values) if structure is not None else values[0]
        return tf.nest.flatten(model(inputs, training=False))

    return lambda values: [np.asarray(each) for each in run([tf.constant(v) for v in values])]


def _by_operations(model: Any, structure: Any, keras: Any) -> Function:
    def run(values: Sequence[Any]) -> list[Any]:
        tensors = [keras.ops.convert_to_tensor(value) for value in values]
        packed = keras.tree.pack_sequence_as(structure, tensors) if structure is not None else None
        outputs = model(tensors[0] if packed is None else packed, training=False)
        return [keras.ops.convert_to_numpy(each) for each in keras.tree.flatten(outputs)]

    return run
