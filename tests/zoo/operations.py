"""What the zoo uses of TensorFlow, for a Keras 3 on another backend: the same names, by Keras."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def operations(keras: Any) -> SimpleNamespace:
    """Return a namespace that serves the zoo as TensorFlow does; what is not in it is left out."""
    ops = keras.ops
    return SimpleNamespace(
        zeros=ops.zeros,
        constant=lambda value: value,
        abs=ops.abs,
        square=ops.square,
        cast=ops.cast,
        reduce_mean=ops.mean,
        reduce_sum=ops.sum,
        float32="float32",
        nn=SimpleNamespace(relu=ops.relu, tanh=ops.tanh),
        nest=SimpleNamespace(pack_sequence_as=keras.tree.pack_sequence_as),
        random=SimpleNamespace(uniform=_of_the_backend(keras)),
        Variable=lambda value, name=None: keras.Variable(value, name=name),
        executing_eagerly=lambda: True,
        config=SimpleNamespace(functions_run_eagerly=lambda: False),
        distribute=SimpleNamespace(get_strategy=lambda: None),
    )


def _of_the_backend(keras: Any) -> Any:
    """Return what draws from the generator of the backend itself; JAX has none."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.rand
    return keras.random.uniform
