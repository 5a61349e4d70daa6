"""A function of a SavedModel with all that it calls written into it, by TensorFlow's own optimizer.

The functions stay messages (`FunctionDef`) from the file to the result: no Python graph is made of
any of them, which is what a stock load spends its time on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from fastload.runtime.functions.flat_function import NotFlatError
from fastload.runtime.requirements import FLAT

#: Says that a loop or a branch may be taken apart when it is run. TensorFlow's optimizer would do
#: so at once, and loops could not be rewritten any more; so it does not get to see this.
_LOWERED: Final = "_lower_using_switch_merge"
_HIDDEN: Final = "_fastload_lower"
#: What was once inferred, for another place in another graph.
_SHAPES: Final = "_output_shapes"
#: Functions with this attribute stand for one another; which one is run depends on the device.
IMPLEMENTS: Final = "api_implements"


def inlined(definitions: Sequence[Any], name: str, arguments: int, results: int) -> Any:
    """Return a `GraphDef` that computes what the function called *name* computes.

    Args:
        definitions: its `FunctionDef` and those of all functions that it calls; they are changed.
        name: which of them.
        arguments: how many arguments it is believed to have.
        results: how many results.

    Returns:
        The graph. Its placeholders are called `argument_0`, ... in the order of the function's
        arguments, its results are the first outputs of `result_0`, ...

    Raises:
        NotFlatError: it is not there, or has other arguments or results.
        UnsupportedRuntimeError: TensorFlow's optimizer is not as expected.
    """
    _require_complete(definitions, name, (arguments, results))
    graph = _calling(definitions, name)
    ends = (node.name for node in graph.node if node.op in ("Placeholder", "Identity"))
    return in_line(graph, ends)


def in_line(graph: Any, ends: Iterable[str]) -> Any:
    """Return *graph* with all calls of functions written into it, and without inferred shapes.

    Args:
        graph: a `GraphDef`; it is changed.
        ends: names of nodes that are kept.

    Raises:
        UnsupportedRuntimeError: TensorFlow's optimizer is not as expected.
    """
    for node in nodes_of(graph):
        _rename_attribute(node, _LOWERED, _HIDDEN)
    graph = _optimized(graph, ends)
    for node in nodes_of(graph):
        _rename_attribute(node, _HIDDEN, _LOWERED)
        node.attr.pop(_SHAPES, None)
    return graph


def _require_complete(definitions: Sequence[Any], name: str, counts: tuple[int, int]) -> None:
    found = [each.signature for each in definitions if each.signature.name == name]
    if not found:
        raise NotFlatError(f"its function {name!r} is not in the file")
    if (len(found[0].input_arg), len(found[0].output_arg)) != counts:
        raise NotFlatError("its arguments are not those of its signature")


def reached(
    definition: Callable[[str], Any], names: Iterable[str], start: Iterable[str]
) -> list[Any]:
    """Return the `FunctionDef`s called *start* and of all that they call, each a copy of its own.

    Args:
        definition: returns a new message for a name.
        names: all names.
        start: where to begin.
    """
    known = frozenset(names)
    found: dict[str, Any] = {}
    waiting = [name for name in start if name in known]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = definition(name)
            nodes = found[name].node_def
            waiting += [c for node in nodes for c in called_by(node) if c in known]
    return list(found.values())


def nodes_of(graph: Any) -> Iterator[Any]:
    """Yield every node of a `GraphDef` and of the functions in its library."""
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def function_names(attribute: Any) -> Iterator[Any]:
    """Yield the `NameAttrList`s of a node's attribute: what names functions."""
    kind = attribute.WhichOneof("value")
    if kind == "func":
        yield attribute.func
    elif kind == "list":
        yield from attribute.list.func


def operation_called(name: str) -> Any:
    """Return the `OpDef` of an operation; None if TensorFlow has none."""
    operation: Any = FLAT.part("op_def_registry").get(name)
    return operation


def has_state(operation: str) -> bool:
    """Say whether an operation is stateful to TensorFlow; what nobody knows may be."""
    definition = operation_called(operation)
    return definition is None or bool(definition.is_stateful)


def has_implementations(graph: Any) -> bool:
    """Say whether what a function of *graph* computes depends on the device that it runs on."""
    return any(IMPLEMENTS in function.attr for function in graph.library.function)


def rename_functions(graph: Any, stem: str) -> dict[str, str]:
    """Give the functions that *graph* calls names that no other model's functions have.

    Args:
        graph: a `GraphDef`; it is changed.
        stem: what the names start with.

    Returns:
        The new names by the old ones.
    """
    new = {
        function.signature.name: f"{stem}_{index}"
        for index, function in enumerate(graph.library.function)
    }
    for function in graph.library.function:
        function.signature.name = new[function.signature.name]
    rename_calls(nodes_of(graph), new)
    return new


def rename_calls(nodes: Iterable[Any], new: Mapping[str, str]) -> None:
    """Have *nodes* call functions by their *new* names, by the old ones."""
    for node in nodes:
        node.op = new.get(node.op, node.op)
        for attribute in node.attr.values():
            for called in function_names(attribute):
                called.name = new.get(called.name, called.name)


def called_by(node: Any) -> Iterator[str]:
    """Yield the names of functions that *node* calls; a node may be a call itself, by its name."""
    yield node.op
    for attribute in node.attr.values():
        yield from (called.name for called in function_names(attribute))


def _calling(definitions: Iterable[Any], name: str) -> Any:
    """Return a graph of one call of the function called *name*."""
    from tensorflow.core.framework import graph_pb2

    graph = graph_pb2.GraphDef()
    graph.library.function.extend(definitions)
    function = next(each for each in graph.library.function if each.signature.name == name)
    call = graph.node.add(name="call", op="StatefulPartitionedCall")
    call.attr["f"].func.name = name
    for index, argument in enumerate(function.signature.input_arg):
        placeholder = graph.node.add(name=f"argument_{index}", op="Placeholder")
        placeholder.attr["dtype"].type = argument.type
        placeholder.attr["shape"].shape.CopyFrom(shape_of_argument(function, index))
        call.input.append(placeholder.name)
        call.attr["Tin"].list.type.append(argument.type)
    call.attr["Tin"].list.SetInParent()
    for index, result in enumerate(function.signature.output_arg):
        call.attr["Tout"].list.type.append(result.type)
        identity = graph.node.add(name=f"result_{index}", op="Identity")
        identity.input.append(f"call:{index}")
        identity.attr["T"].type = result.type
    call.attr["Tout"].list.SetInParent()
    graph.versions.producer = FLAT.part("versions").GRAPH_DEF_VERSION
    return graph


def shape_of_argument(function: Any, index: int) -> Any:
    """Return the shape of an argument as the function was made for it.

    What TensorFlow makes of a graph when it runs it depends on what it knows of shapes.
    """
    shapes = function.arg_attr[index].attr[_SHAPES].list.shape
    if shapes:
        return shapes[0]
    from tensorflow.core.framework import tensor_shape_pb2

    return tensor_shape_pb2.TensorShapeProto(unknown_rank=True)


def _optimized(graph: Any, ends: Iterable[str]) -> Any:
    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2

    optimizer = FLAT.part("tf_optimizer")
    config = config_pb2.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.min_graph_nodes = -1  # or small graphs are left as they are
    rewriting.optimizers.append("function")
    rewriting.function_optimization = rewriter_config_pb2.RewriterConfig.AGGRESSIVE
    meta_graph = meta_graph_pb2.MetaGraphDef()
    meta_graph.graph_def.CopyFrom(graph)
    # What is in this collection is kept.
    meta_graph.collection_def["train_op"].node_list.value.extend(ends)
    return optimizer.OptimizeGraph(config_proto=config, metagraph=meta_graph)


def _rename_attribute(node: Any, name: str, new: str) -> None:
    if name in node.attr:
        node.attr[new].CopyFrom(node.attr[name])
        del node.attr[name]
