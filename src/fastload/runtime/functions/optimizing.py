"""What TensorFlow's graph optimizers make of a function, kept so that no load waits for it.

When a function first runs, Grappler rewrites its graph: half of the time to a network's first
prediction. The graph that TensorFlow then executes can be asked for. A function with that graph as
its body, run with Grappler off, executes the same graph, node by node: the same kernels on the same
values, so the same bits. That holds for as long as all that Grappler depends on is the same: see
`conditions`. docs/decisions/0019-optimized-functions.md has the measurements, and what is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from fastload.runtime.core import eager
from fastload.runtime.core.sample_inputs import blank
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.functions.executed_graphs import NOTES, difference, executed_graph
from fastload.runtime.functions.flat_function import (
    FlatFunction,
    NotFlatError,
    parsed,
    without_optimizers,
)
from fastload.runtime.functions.inlining import (
    called_by,
    has_state,
    operation_called,
    reached,
    rename_functions,
)
from fastload.signature import Signature, TensorSpec

#: Has state to TensorFlow, so that it is run for its error.
_CHECK: Final = "Assert"
#: What is no state to TensorFlow, which computes it in advance, though files and memory may change.
_OUTSIDE: Final = frozenset(
    {
        *("GenerateVocabRemapping", "MatchingFiles", "ReadFile"),
        *("DecodeProtoV2", "ImmutableConst"),
    }
)
#: A call without effects, which TensorFlow writes into the graph before it optimizes that.
_PLAIN_CALL: Final = "PartitionedCall"
#: What a loop or a branch becomes when it is taken apart.
_TAKEN_APART: Final = frozenset({"Enter", "Exit", "Merge", "NextIteration", "RefMerge", "Switch"})
_DEVICE: Final = "/device:CPU:0"
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
        The function; None if TensorFlow cannot be asked now.

    Raises:
        NotFlatError: what the optimizers leave cannot be kept.
        UnsupportedRuntimeError: TensorFlow is not as expected.
    """
    for content in flat.definitions:
        _require_computation(content)
    tensors = [*(_value(signature.inputs[name]) for name in flat.arguments), *weights]
    config = eager.context().function_call_options.config_proto_serialized
    found = _optimized(flat, tensors, config)
    for content in found.definitions if found is not None else ():
        _require_no_state(content)
    return found


def optimized_definition(definition: Any, tensors: Sequence[Any], config: bytes) -> Any:
    """Return the function that is executed without the optimizers as *definition* is with them.

    It has the effects of *definition*, by the same nodes.

    Args:
        definition: a `FunctionDef`; nothing of it is run.
        tensors: all its arguments.
        config: how it is run: a serialized `ConfigProto`.

    Raises:
        NotFlatError: there is none without loops and calls, or TensorFlow cannot be asked now.
        UnsupportedRuntimeError: TensorFlow is not as expected.
    """
    if any(_calls(node) and node.op != _PLAIN_CALL for node in definition.node_def):
        raise NotFlatError("it has loops or branches, or calls functions")
    found = _optimized(FlatFunction.of_definition(definition), tensors, config)
    if found is None:
        raise NotFlatError("TensorFlow cannot be asked for its graph now")
    *called, own = map(parsed, found.definitions)
    if called or any(node.op in _TAKEN_APART for node in own.node_def):
        raise NotFlatError("what it calls has loops or branches")
    if _effects(own.node_def) != _effects(definition.node_def):
        raise NotFlatError("the optimized graph has other effects")
    return own


def _optimized(
    function: FlatFunction, tensors: Sequence[Any], config: bytes
) -> FlatFunction | None:
    """Return what is executed without the optimizers as *function* is with them; it is proved."""
    wanted = executed_graph(function, tensors, config)
    if wanted is None:
        return None
    graph, name = wanted.post_optimization_graph, f"{function.name}_optimized"
    called = _called(graph)
    del graph.library.function[:]
    graph.library.function.extend(called)
    names = rename_functions(graph, name)
    definitions = (*graph.library.function, _with_body(function.definitions[-1], graph, name))
    found = replace(
        function,
        name=name,
        definitions=tuple(each.SerializeToString() for each in definitions),
        is_optimized=True,
    )
    executed = executed_graph(found, tensors, without_optimizers(config))
    if executed is None:
        return None
    where = difference(wanted, executed, names)
    if where is not None:
        raise NotFlatError(f"its graph would be executed otherwise: {where}")
    return found


def _require_computation(content: bytes) -> None:
    """Check that a function does nothing but to compute, with operations of TensorFlow's own."""
    for node in parsed(content).node_def:
        if _calls(node):
            continue  # those functions are looked at themselves
        if _has_state(node.op) or node.op in _OUTSIDE or "Dataset" in node.op:
            raise NotFlatError(f"it does more than to compute: {node.op}")
        if not hasattr(tensorflow().raw_ops, node.op):
            raise NotFlatError(f"{node.op} is of another library, which may change")


def _require_no_state(content: bytes) -> None:
    """Check that a function that the optimizers left does nothing but to compute."""
    for node in parsed(content).node_def:
        if not _calls(node) and _has_state(node.op):
            raise NotFlatError(f"it does more than to compute, once optimized: {node.op}")


def _calls(node: Any) -> bool:
    return any(name != node.op for name in called_by(node))


def _has_state(operation: str) -> bool:
    """Say whether an operation does more than to compute."""
    return operation != _CHECK and has_state(operation)


def _effects(nodes: Iterable[Any]) -> list[tuple[str, str]]:
    """Return the nodes that do more than to compute and to read."""
    return sorted(
        (node.op, node.name)
        for node in nodes
        if node.op == _CHECK or (node.op != "ReadVariableOp" and _has_state(node.op))
    )


def _called(graph: Any) -> list[Any]:
    """Return the functions that *graph* may call; those know more, such as their gradients."""
    known = {function.signature.name: function for function in graph.library.function}
    start = {name for node in graph.node for name in called_by(node)}
    return reached(known.__getitem__, known, sorted(start))


def _with_body(content: bytes, graph: Any, name: str) -> Any:
    """Return the `FunctionDef` that does what *graph* does, with the signature of another.

    Args:
        content: the function that *graph* was made of.
        graph: a `GraphDef` of nodes on the first CPU.
        name: what to call it.

    Raises:
        NotFlatError: *graph* is not so.
    """
    plain, made = parsed(content), parsed(content)
    made.signature.name = name
    for field in ("node_def", "ret", "control_ret"):
        made.ClearField(field)
    made.signature.ClearField("control_output")
    outputs = _Outputs(graph, made.signature)
    for node in graph.node:
        if node.op == "_Retval":
            result = made.signature.output_arg[node.attr["index"].i]
            made.ret[result.name] = outputs.named(node.input[0])
        elif node.op != "_Arg":
            _add(made, node, outputs)
    kept = {node.name for node in made.node_def}
    for output in plain.signature.control_output:  # what is run for its effect alone
        if plain.control_ret[output] in kept:
            made.signature.control_output.append(output)
            made.control_ret[output] = plain.control_ret[output]
    return made


def _add(made: Any, node: Any, outputs: _Outputs) -> None:
    if not node.device.endswith(_DEVICE):
        raise NotFlatError(f"{node.op} is on {node.device!r}")
    added = made.node_def.add(name=node.name, op=node.op, device=_DEVICE)
    added.input.extend(outputs.named(each) for each in node.input if not outputs.is_wait(each))
    for name in node.attr:
        if name not in NOTES:
            added.attr[name].CopyFrom(node.attr[name])


class _Outputs:
    """The outputs of a graph's nodes, as a function names them.

    Args:
        graph: the graph.
        signature: of the function.
    """

    def __init__(self, graph: Any, signature: Any) -> None:
        self._nodes = {node.name: node for node in graph.node}
        self._arguments = [each.name for each in signature.input_arg]

    def is_wait(self, reference: str) -> bool:
        """Say whether *reference* is a control dependency on an argument."""
        return reference.startswith("^") and self._nodes[reference[1:]].op == "_Arg"

    def named(self, reference: str) -> str:
        """Return what a function calls the tensor that a graph calls *reference*."""
        if reference.startswith("^"):
            return reference
        name, _, place = reference.partition(":")
        node = self._nodes[name]
        if node.op == "_Arg":
            return str(self._arguments[node.attr["index"].i])
        return f"{name}:{_output(node, int(place or 0))}"


def _output(node: Any, place: int) -> str:
    """Return the name of an output of *node*, and its place among those of that name."""
    operation = operation_called(node.op)
    for output in operation.output_arg if operation is not None else ():
        count = 1
        if output.number_attr:
            count = node.attr[output.number_attr].i
        elif output.type_list_attr:
            count = len(node.attr[output.type_list_attr].list.type)
        if place < count:
            return f"{output.name}:{place}"
        place -= count
    raise NotFlatError(f"{node.op} has no such output")


def _value(spec: TensorSpec) -> Any:
    """Return something that the function accepts; its values are not read."""
    if spec.shape is not None and math.prod(size or 1 for size in spec.shape) > _MOST_VALUES:
        raise NotFlatError(f"its input {spec.name!r} is large")
    return eager.tensor_of(blank(spec), spec.dtype)
