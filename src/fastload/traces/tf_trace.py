"""A trace: what TensorFlow made of a Python function.

It is the graph's own definition, to the byte but for its name, and which variables it uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fastload.runtime.core.spec_codec import NotPlainError, encode
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.functions.inlining import IMPLEMENTS
from fastload.runtime.requirements import FIRST_PREDICT
from fastload.traces.tf_model_state import Mark, NotKeptError

#: Operations with an effect that is on what the function is given: variables, iterators.
_PLAIN_EFFECTS: Final = frozenset(
    {
        "Assert",
        "AssignAddVariableOp",
        "If",
        "IteratorGetNext",
        "ReadVariableOp",
        "ResourceGather",
        "StatefulPartitionedCall",
        "While",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What tracing gave.

    Attributes:
        definitions: the functions that it calls and, last, its own: serialized `FunctionDef`s.
        captures: what it uses, in its order: the places of variables among the model's, and the
            values of plain tensors.
        outputs: the nest of its results, as `spec_codec` encodes it.
        marks: what tracing left on the model's layers.
        is_prepared: its definition is what TensorFlow's optimizer left.
    """

    definitions: tuple[bytes, ...]
    captures: tuple[int | np.ndarray[Any, Any], ...]
    outputs: Any
    marks: tuple[Mark, ...] = ()
    is_prepared: bool = False


def trace_of(concrete: Any, variables: Sequence[Any], marks: Sequence[Mark]) -> Trace:
    """Return the trace that *concrete* was made by.

    Args:
        concrete: a concrete function that TensorFlow just traced.
        variables: what it may use.
        marks: what tracing left on the model's layers.

    Raises:
        NotKeptError: it uses something else, or has an effect of another kind.
    """
    graph = concrete.graph
    FIRST_PREDICT.check(graph, "FuncGraph()")
    own = concrete.function_def
    called = [_definition(each) for each in graph._functions.values()]
    for definition in (*called, own):
        _require_plain(definition)
    places = {id(variable.handle): place for place, variable in enumerate(variables)}
    captures = tuple(_capture(tensor, places) for tensor in concrete.captured_inputs)
    try:
        outputs = encode(graph.structured_outputs, _output)
    except NotPlainError as error:
        raise NotKeptError(str(error)) from error
    return Trace(
        definitions=tuple(each.SerializeToString() for each in (*called, own)),
        captures=captures,
        outputs=outputs,
        marks=tuple(marks),
    )


def _capture(tensor: Any, places: Mapping[int, int]) -> int | np.ndarray[Any, Any]:
    if id(tensor) in places:
        return places[id(tensor)]
    if not (hasattr(tensor, "numpy") and (tensor.dtype.is_floating or tensor.dtype.is_integer)):
        raise NotKeptError("it uses something besides the model's variables and plain tensors")
    value: np.ndarray[Any, Any] = np.asarray(tensor.numpy())
    return value


def _definition(function: Any) -> Any:
    return function.definition if hasattr(function, "definition") else function.function_def


def _output(leaf: Any) -> Any:
    tf = tensorflow()
    if not isinstance(leaf, tf.Tensor):
        raise NotPlainError(f"it gives a {type(leaf).__name__}")
    return encode(tf.TensorSpec(leaf.shape, leaf.dtype), _output)


def _require_plain(definition: Any) -> None:
    """Check that a function does the same in any process.

    Raises:
        NotKeptError: it does not.
    """
    registry = FIRST_PREDICT.part("op_def_registry")
    for name in {node.op for node in definition.node_def}:
        operation = registry.get(name)
        if operation is None or "PyFunc" in name:
            raise NotKeptError(f"it calls {name}")
        if operation.is_stateful and name not in _PLAIN_EFFECTS:
            raise NotKeptError(f"{name} has state of its own, or an effect")
    if IMPLEMENTS in definition.attr:
        raise NotKeptError("what it computes depends on the device")
