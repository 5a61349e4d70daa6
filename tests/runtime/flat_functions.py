"""Flat functions for tests, made of Python ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from fastload.runtime.core import eager
from fastload.runtime.functions.executed_graphs import executed_graph
from fastload.runtime.functions.flat_function import FlatFunction


def flat_of(function: Callable[..., Any], *specs: Any, name: str) -> FlatFunction:
    """Return *function*, which takes tensors of *specs*, as a flat function called *name*."""
    made = tf.function(function, input_signature=specs, autograph=False).get_concrete_function()
    definition = type(made.function_def).FromString(made.function_def.SerializeToString())
    definition.signature.name = name
    return FlatFunction(
        name=name,
        arguments=tuple(f"input_{index}" for index in range(len(specs))),
        results=tuple(definition.ret),
        captures=(),
        definitions=(definition.SerializeToString(),),
        varies=False,
    )


def executed_of(function: FlatFunction, *tensors: Any) -> Any:
    """Return what would be executed for *function* as it is."""
    config = eager.context().function_call_options.config_proto_serialized
    return executed_graph(function, tensors, config)
