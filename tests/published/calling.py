"""How both processes call a model, and which inputs it is tried on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fastload.signature import TensorSpec


def called(model: Any, values: Sequence[Any]) -> list[np.ndarray]:
    """Return the outputs of *model* in a flat list; it is run as a graph, on the processor."""

    @tf.function
    def run(tensors: Any) -> Any:
        given = tuple(tensors) if len(tensors) > 1 else tensors[0]
        return tf.nest.flatten(model(given, training=False))

    with tf.device("/CPU:0"):
        return [np.asarray(each) for each in run([tf.constant(value) for value in values])]


def input_specs(model: Any, build_shape: Any) -> list[TensorSpec]:
    """Return what *model* takes; *build_shape* is what the file of a subclassed one says of it."""
    if getattr(model, "inputs", None):
        return [
            TensorSpec(
                name=str(place),
                dtype=getattr(each.dtype, "name", each.dtype),
                shape=tuple(each.shape),
            )
            for place, each in enumerate(model.inputs)
        ]
    if build_shape is None:  # a SavedModel without its class
        flat = tf.nest.flatten(model.save_spec())
        return [
            TensorSpec(name=str(place), dtype=each.dtype.name, shape=tuple(each.shape))
            for place, each in enumerate(each for each in flat if isinstance(each, tf.TensorSpec))
        ]
    shapes = build_shape if isinstance(build_shape[0], list) else [build_shape]
    return [
        TensorSpec(name=str(place), dtype="float32", shape=tuple(shape))
        for place, shape in enumerate(shapes)
    ]
