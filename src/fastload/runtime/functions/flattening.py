"""Make of a function that captures variables one that takes their values: a flat function.

A flat function is one `FunctionDef`, with all that was called written into it, whose weights are
plain tensor arguments. Calling it needs neither variables nor Python graphs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.functions.flat_function import FlatFunction, Value
from fastload.runtime.functions.fusions import require_no_fragile_fusion
from fastload.runtime.functions.inlining import has_implementations, rename_functions
from fastload.runtime.functions.weight_arguments import with_weights_as_arguments
from fastload.runtime.functions.weight_readers import Weight
from fastload.runtime.requirements import FLAT


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What a function captures.

    Attributes:
        value: where its value comes from.
        weight: dtype and shape of the variable that it is; None for a plain tensor.
    """

    value: Value
    weight: Weight | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capturing:
    """A function of TensorFlow that is to be made flat.

    Attributes:
        graph: a `GraphDef` that computes it, with placeholders `argument_0`, ... for its inputs and
            what it captures, and results as the first outputs of `result_0`, ...; it is changed.
        arguments: the names of its inputs, in its order; what it captures comes after them.
        results: the names of its outputs, in its order.
        captures: what it captures, in its order.
        is_session: it is of a graph for sessions, where nothing is run but what results need.
    """

    graph: Any
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    captures: tuple[Capture, ...]
    is_session: bool = False


def flatten(function: Capturing, name: str) -> FlatFunction:
    """Make *function* flat.

    Args:
        function: what to make flat.
        name: what to call it; a name that no other function of any model has.

    Raises:
        NotFlatError: it assigns to variables, has state of another kind, or an optimizer may take
            it for something else than stock's.
        UnsupportedRuntimeError: TensorFlow is not as expected.
    """
    first = len(function.arguments)
    weights = {
        f"argument_{first + index}": capture.weight
        for index, capture in enumerate(function.captures)
        if capture.weight is not None
    }
    graph = with_weights_as_arguments(function.graph, weights)
    require_no_fragile_fusion(graph)
    rename_functions(graph, name)
    return FlatFunction(
        name=name,
        arguments=function.arguments,
        results=function.results,
        captures=tuple(capture.value for capture in function.captures),
        definitions=(
            *(each.SerializeToString() for each in graph.library.function),
            _definition(graph, name, function),
        ),
        varies=has_implementations(graph),
    )


def _definition(graph: Any, name: str, function: Capturing) -> bytes:
    """Return the `FunctionDef` called *name* that *graph* is the body of, checked by TensorFlow."""
    tf = tensorflow()
    placeholders = {node.name: node for node in graph.node if node.op == "Placeholder"}
    count = len(function.arguments) + len(function.captures)
    specs = [_spec(placeholders[f"argument_{index}"]) for index in range(count)]

    def body(*tensors: Any) -> Any:
        return tf.graph_util.import_graph_def(
            graph,
            input_map={f"argument_{index}": tensor for index, tensor in enumerate(tensors)},
            return_elements=[f"result_{index}:0" for index in range(len(function.results))],
            name="",
        )

    if function.is_session:  # `tf.function` would order the old kind of loops, which breaks them
        made = tf.compat.v1.wrap_function(body, specs)
    else:
        made = tf.function(body, input_signature=specs, autograph=False).get_concrete_function()
    _forget(graph.library)
    definition = type(made.function_def).FromString(made.function_def.SerializeToString())
    definition.signature.name = name
    _drop_placeholders(definition)
    content: bytes = definition.SerializeToString()
    return content


def _drop_placeholders(function: Any) -> None:
    """Take out the placeholders that arguments replaced, with control dependencies on them."""
    placeholders = {node.name for node in function.node_def if node.op == "Placeholder"}
    waits = {f"^{name}" for name in placeholders}
    places = {f"loc:@{name}".encode() for name in placeholders}
    kept = [node for node in function.node_def if node.op != "Placeholder"]
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    for node in copies:
        if places.intersection(node.attr["_class"].list.s if "_class" in node.attr else ()):
            del node.attr["_class"]
        inputs = [each for each in node.input if each not in waits]
        del node.input[:]
        node.input.extend(inputs)
    del function.node_def[:]
    function.node_def.extend(copies)


def _forget(library: Any) -> None:
    """Have TensorFlow forget the functions that it met in the graph; they are registered later."""
    context = FLAT.part("forgetting").context()
    for function in library.function:
        if context.has_function(function.signature.name):
            context.remove_function(function.signature.name)


def _spec(placeholder: Any) -> Any:
    tf = tensorflow()
    return tf.TensorSpec(
        tf.TensorShape(placeholder.attr["shape"].shape), placeholder.attr["dtype"].type
    )
