"""A function as TensorFlow's optimizer left it, so that no later process has to optimize it.

TensorFlow prepares a function when it is first called, for longer than a batch takes. What its
optimizer makes of the graph can be asked for, and be a function of its own, which is called with
the optimizer switched off and executed as the same graph, node by node. `optimizing` does so for
flat functions, which may call others and have no effects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from fastload.runtime.functions.executed_graphs import difference, executed_graph
from fastload.runtime.functions.flat_call import without_optimizers
from fastload.runtime.functions.flat_function import FlatFunction
from fastload.runtime.requirements import FIRST_PREDICT

#: What a loop or a branch becomes when it is taken apart; a function cannot hold that.
_TAKEN_APART: Final = frozenset({"Enter", "Exit", "Merge", "NextIteration", "RefMerge", "Switch"})
_PLACEHOLDERS: Final = frozenset({"_Arg", "_Retval"})
_DEVICE: Final = "/device:CPU:0"


class NotPreparedError(Exception):
    """What the optimizer made of a function cannot be a function."""


def prepared(definition: Any, tensors: Sequence[Any], config: bytes) -> Any:
    """Return the function that is executed without the optimizer as *definition* is with it.

    Args:
        definition: the function; nothing of it is run.
        tensors: all its arguments.
        config: how it is run: a serialized `ConfigProto`.

    Raises:
        NotPreparedError: there is none, or this is no time to find out.
        UnsupportedRuntimeError: TensorFlow is not as expected.
    """
    wanted = executed_graph(_as_flat(definition), tensors, config)
    if wanted is None:
        raise NotPreparedError("this is no time to ask for its graph")
    made = _with_body(definition, wanted.optimized)
    executed = executed_graph(_as_flat(made), tensors, without_optimizers(config))
    if executed is None:
        raise NotPreparedError("this is no time to compare it")
    where = difference(wanted, executed, {})
    if where is not None:
        raise NotPreparedError(f"its graph would be executed otherwise: {where}")
    return made


def _as_flat(definition: Any) -> FlatFunction:
    """Return *definition* as what `executed_graph` takes."""
    signature = definition.signature
    return FlatFunction(
        name=signature.name,
        arguments=tuple(each.name for each in signature.input_arg),
        results=tuple(each.name for each in signature.output_arg),
        captures=(),
        definitions=(definition.SerializeToString(),),
        varies=False,
    )


def _with_body(definition: Any, graph: Any) -> Any:
    """Return the `FunctionDef` that does what *graph* does, with the signature of another.

    Args:
        definition: the function that *graph* was made of.
        graph: a `GraphDef` of nodes on the first CPU, without functions.

    Raises:
        NotPreparedError: *graph* is not so, or lacks an effect of the function.
    """
    _require_same_effects(definition, graph)
    made = type(definition)()
    made.signature.CopyFrom(definition.signature)
    for name, value in definition.attr.items():
        made.attr[name].CopyFrom(value)
    for place, arguments in definition.arg_attr.items():
        made.arg_attr[place].CopyFrom(arguments)
    outputs = _Outputs(graph)
    results = {}
    for node in graph.node:
        if node.op == "_Retval":
            results[node.attr["index"].i] = outputs.named(node.input[0])
        elif node.op != "_Arg":
            _add(made, node, outputs)
    for place, result in enumerate(definition.signature.output_arg):
        made.ret[result.name] = results[place]
    _keep_effects(made, definition, graph)
    return made


def _add(made: Any, node: Any, outputs: _Outputs) -> None:
    if not node.device.endswith(_DEVICE) or node.op in _TAKEN_APART:
        raise NotPreparedError(f"{node.op} on {node.device!r} cannot be in a function")
    added = made.node_def.add()
    added.CopyFrom(node)
    added.device = _DEVICE
    added.attr.pop("_class", None)  # all are in one place
    added.input[:] = map(outputs.named, node.input)


class _Outputs:
    """The outputs of a graph's nodes, as a function names them.

    Args:
        graph: the graph.
    """

    def __init__(self, graph: Any) -> None:
        self._registry = FIRST_PREDICT.part("op_def_registry")
        self._nodes = {node.name: node for node in graph.node}
        if len(graph.library.function):
            raise NotPreparedError("it calls functions")

    def named(self, reference: str) -> str:
        """Return what a function calls the tensor that a graph calls *reference*."""
        if reference.startswith("^"):
            return reference
        name, _, place = reference.partition(":")
        node = self._nodes[name]
        if node.op == "_Arg":
            return name
        return f"{name}:{self._output(node, int(place or 0))}"

    def _output(self, node: Any, place: int) -> str:
        for output in self._registry.get(node.op).output_arg:
            count = 1
            if output.number_attr:
                count = node.attr[output.number_attr].i
            elif output.type_list_attr:
                count = len(node.attr[output.type_list_attr].list.type)
            if place < count:
                return f"{output.name}:{place}"
            place -= count
        raise NotPreparedError(f"{node.op} has no such output")


def _keep_effects(made: Any, definition: Any, graph: Any) -> None:
    """Have what is to be run for its effect alone be run."""
    there = {node.name for node in graph.node}
    del made.signature.control_output[:]
    for output in definition.signature.control_output:
        if definition.control_ret[output] in there:
            made.signature.control_output.append(output)
            made.control_ret[output] = definition.control_ret[output]


def _require_same_effects(definition: Any, graph: Any) -> None:
    if _effects(definition.node_def) != _effects(graph.node):
        raise NotPreparedError("the optimized graph has other effects")


def _effects(nodes: Iterable[Any]) -> list[tuple[str, str]]:
    registry = FIRST_PREDICT.part("op_def_registry")
    return sorted(
        (node.op, node.name)
        for node in nodes
        if node.op not in _PLACEHOLDERS and _has_effect(registry.get(node.op), node.op)
    )


def _has_effect(operation: Any, name: str) -> bool:
    return operation is None or (operation.is_stateful and name != "ReadVariableOp")
