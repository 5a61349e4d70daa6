"""What TensorFlow's graph optimizers make of a flat function, kept so that no load waits for it.

When a function first runs, Grappler rewrites its graph: half of the time to a network's first
prediction. The graph that TensorFlow then executes can be asked for. A function with that graph as
its body, run with Grappler off, executes the same graph, node by node: the same kernels on the same
values, so the same bits. That holds for as long as all that Grappler looks at is the same: see
`conditions`. docs/decisions/0019-optimized-functions.md has the measurements, and what is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fastload.runtime.core import eager
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.functions.executed_graphs import NOTES, difference, executed_graph
from fastload.runtime.functions.flat_call import without_optimizers
from fastload.runtime.functions.flat_function import FlatFunction, NotFlatError
from fastload.runtime.functions.flattening import function_of, rename_functions
from fastload.runtime.functions.inlining import called_by, nodes_of, reached, shape_of_argument
from fastload.runtime.requirements import FLAT
from fastload.signature import Signature, TensorSpec
from fastload.twin.format import dtype_of

#: Has state to TensorFlow, so that it is run for its error.
_CHECK: Final = "Assert"
#: What is no state to TensorFlow, which computes it in advance, though files may change.
_FILES: Final = frozenset({"GenerateVocabRemapping", "MatchingFiles", "ReadFile"})
#: Inferred for each graph anew, and refused where it was inferred otherwise.
_SHAPES: Final = "_output_shapes"
#: How many values an input may have, where dimensions that are not fixed are 1.
_MOST_VALUES: Final = 1 << 26


def optimized(
    flat: FlatFunction, signature: Signature, weights: Sequence[Any]
) -> FlatFunction | None:
    """Return *flat* as the optimizers leave it; nothing of it is run.

    Args:
        flat: the function.
        signature: what it takes.
        weights: its values after the inputs.

    Returns:
        The function; None if this is no time to find out.

    Raises:
        NotFlatError: what the optimizers leave cannot be kept.
        UnsupportedRuntimeError: TensorFlow is not as expected.
    """
    for content in flat.definitions:
        _require_computation(content)
    tensors = [*(_value(signature.inputs[name]) for name in flat.arguments), *weights]
    config = eager.context().function_call_options.config_proto_serialized
    wanted = executed_graph(flat, tensors, config)
    if wanted is None:
        return None
    graph = _as_body(wanted.optimized, flat)
    names = rename_functions(graph, f"{flat.name}_optimized")
    found = _function_of(graph, flat)
    executed = executed_graph(found, tensors, without_optimizers(config))
    if executed is None:
        return None
    where = difference(wanted, executed, names)
    if where is not None:
        raise NotFlatError(f"its graph would be executed otherwise: {where}")
    return found


def _require_computation(content: bytes) -> None:
    """Check that a function does nothing but to compute, with operations of TensorFlow's own."""
    function = eager.runtime().function_pb2.FunctionDef.FromString(content)
    for node in function.node_def:
        if _calls(node):
            continue  # those functions are looked at themselves
        if _has_state(node.op) or node.op in _FILES or "Dataset" in node.op:
            raise NotFlatError(f"it does more than to compute: {node.op}")
        if not hasattr(tensorflow().raw_ops, node.op):
            raise NotFlatError(f"{node.op} is of another library, which may change")


def _calls(node: Any) -> bool:
    return any(name != node.op for name in called_by(node))


def _has_state(operation: str) -> bool:
    """Say whether an operation does more than to compute; what nobody knows may."""
    registry = FLAT.part("op_def_registry")
    definition = registry.get(operation)
    return operation != _CHECK and (definition is None or bool(definition.is_stateful))


def _function_of(graph: Any, flat: FlatFunction) -> FlatFunction:
    """Return *flat* with *graph* for its body."""
    for node in nodes_of(graph):
        if not _calls(node) and _has_state(node.op):
            raise NotFlatError(f"it does more than to compute, once optimized: {node.op}")
    name = f"{flat.name}_optimized"
    counts = (len(flat.arguments) + len(flat.captures), len(flat.results))
    called = (each.SerializeToString() for each in graph.library.function)
    definitions = (*called, function_of(graph, name, counts, is_session=True))
    return replace(flat, name=name, definitions=definitions, is_optimized=True)


def _as_body(graph: Any, flat: FlatFunction) -> Any:
    """Return *graph* as `function_of` wants it."""
    function = eager.runtime().function_pb2.FunctionDef.FromString(flat.definitions[-1])
    plain = type(graph)(versions=graph.versions)
    plain.library.function.extend(_called(graph))
    for index, argument in enumerate(function.signature.input_arg):  # some may be used no more
        placeholder = plain.node.add(name=f"argument_{index}", op="Placeholder")
        placeholder.attr["dtype"].type = argument.type
        placeholder.attr["shape"].shape.CopyFrom(shape_of_argument(function, index))
    new = {node.name: _name(node) for node in graph.node}
    arguments = {f"^{node.name}" for node in graph.node if node.op == "_Arg"}
    for node in graph.node:
        if node.op == "_Arg":
            continue
        copy = plain.node.add(name=new[node.name], op=node.op)
        copy.input.extend(_renamed(each, new) for each in node.input if each not in arguments)
        if node.op == "_Retval":
            copy.op = "Identity"
            copy.attr["T"].type = node.attr["T"].type
        else:
            _copy_attributes(node, copy)
    return plain


def _called(graph: Any) -> list[Any]:
    """Return the functions that *graph* may call; those know more, such as their gradients."""
    known = {function.signature.name: function for function in graph.library.function}
    start = {name for node in graph.node for name in called_by(node)}
    return reached(known.__getitem__, known, sorted(start))


def _copy_attributes(node: Any, copy: Any) -> None:
    for name in node.attr:
        if name not in NOTES and name != _SHAPES:
            copy.attr[name].CopyFrom(node.attr[name])


def _name(node: Any) -> str:
    kinds = {"_Arg": "argument", "_Retval": "result"}
    kind = kinds.get(node.op)
    if kind is not None:
        return f"{kind}_{node.attr['index'].i}"
    is_taken = node.op == "Identity" and node.name.startswith(tuple(kinds.values()))
    return f"{node.name}_before" if is_taken else str(node.name)


def _renamed(wanted: str, new: Mapping[str, str]) -> str:
    mark = "^" if wanted.startswith("^") else ""
    name, colon, index = wanted.removeprefix("^").partition(":")
    return f"{mark}{new[name]}{colon}{index}"


def _value(spec: TensorSpec) -> Any:
    """Return something that the function may take; it is not looked at."""
    sizes = [1 if each is None else each for each in spec.shape or ()]
    if math.prod(sizes) > _MOST_VALUES:
        raise NotFlatError(f"its input {spec.name!r} is large")
    if spec.dtype == "string":
        return eager.tensor_of(np.full(sizes, b"", dtype=object))
    return eager.tensor_of(np.zeros(sizes, dtype_of(spec.dtype)), spec.dtype)
