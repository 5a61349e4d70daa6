"""Flat functions whose weights are lent: each is requested when the function gets to it."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from fastload.lazy_weights.lender import Lender
from fastload.lazy_weights.places import Wait
from fastload.lazy_weights.tf_graph_reads import delivered, took_turn, turn_in
from fastload.lazy_weights.tf_lent_tensors import lent_tensor
from fastload.runtime.core.eager import placed
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.functions.flat_function import FlatFunction, parsed, registered
from fastload.runtime.functions.inlining import shape_of_argument
from fastload.runtime.requirements import LAZY


class LazyFlatCall:
    """A flat function with weights that are lent out of a budget.

    The function is inlined into a graph, so that each kernel waits for its own weight only.

    Args:
        function: the function.
        lender: lends the weights that are not kept.
        weights: the values of the arguments after the inputs, by position; None for lent ones.
        device: where it runs; None for TensorFlow's choice.
    """

    def __init__(
        self, function: FlatFunction, lender: Lender, weights: Sequence[Any], device: str | None
    ) -> None:
        registered(function, self)
        self._function, self._lender, self._device = function, lender, device
        self._weights = weights
        # TensorFlow never frees what graphs call, so that must not hold the lender.
        self._run = _traced(function, weights, weakref.ref(lender))

    def __call__(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run the function on tensors by name; their shapes must have been checked."""
        function = self._function
        with placed(self._device):
            tensors = self._run(*(inputs[name] for name in function.arguments))
        return dict(zip(function.results, tensors, strict=True))


def _traced(function: FlatFunction, weights: Sequence[Any], lender: weakref.ref[Lender]) -> Any:
    tf = tensorflow()
    definition = parsed(function.definitions[-1])
    _remove_waits(definition, len(function.arguments))
    specs = [
        tf.TensorSpec(tf.TensorShape(shape_of_argument(definition, index)), argument.type)
        for index, argument in enumerate(definition.signature.input_arg)
    ]
    graph, names = LAZY.part("function_def_to_graph").function_def_to_graph_def(definition)
    graph.library.function.extend(map(parsed, function.definitions[:-1]))
    arguments = [each.name for each in definition.signature.input_arg]
    results = [names[definition.ret[each.name]] for each in definition.signature.output_arg]
    count = len(function.arguments)

    def run(*inputs: Any) -> Any:
        values = list(weights)
        for index in _needs(definition, count):
            if values[index] is None:
                spec = specs[count + index]
                values[index] = _requested(lender, str(function.captures[index]), spec)
        around = tf.compat.v1.get_default_graph()
        given = dict(zip(arguments, map(around.capture, [*inputs, *values]), strict=True))
        # Not called: a call would wait for all arguments at once.
        return tf.import_graph_def(graph, given, results, name="")

    traced = tf.function(run, input_signature=specs[:count], autograph=False)
    return traced.get_concrete_function()


def _requested(lender: weakref.ref[Lender], name: str, spec: Any) -> Any:
    """Return the weight called *name* as a tensor of the current graph."""

    def read(wait: Wait) -> Any:
        found = lender()
        if found is None:
            raise ValueError("the predictor is closed")
        return lent_tensor(found, name, wait)

    tf = tensorflow()
    graph = tf.compat.v1.get_default_graph()
    turn = turn_in(graph)
    with tf.control_dependencies(turn.after):
        values = delivered(read, turn.data, spec.dtype, spec.shape)
    took_turn(graph, values.op)
    return values


def _remove_waits(definition: Any, count: int) -> None:
    """Remove control edges from weights, the arguments after the first *count*.

    Where TensorFlow inlined a call, nodes without inputs wait for all arguments, so that they do
    not run before the call would have.
    """
    weights = {argument.name for argument in definition.signature.input_arg[count:]}
    nodes = {node.name: node for node in definition.node_def}
    for node in definition.node_def:
        if node.op == "NoOp":
            kept = [each for each in node.input if _origin(each, nodes) not in weights]
            node.input[:] = kept


def _origin(reference: str, nodes: Mapping[str, Any]) -> str:
    """Return the node or argument that an input comes from, past identities."""
    name = _source(reference)
    while name in nodes and nodes[name].op == "Identity":
        name = _source(nodes[name].input[0])
    return name


def _needs(definition: Any, count: int) -> list[int]:
    """Return which arguments after the first *count* are needed, in order of need.

    The order is topological: each node comes after those whose values it takes.
    """
    places = {
        argument.name: index - count
        for index, argument in enumerate(definition.signature.input_arg)
    }
    nodes = {node.name: node for node in definition.node_def}
    order: list[int] = []
    seen: set[str] = set()
    waiting = [_source(each) for each in reversed(list(definition.ret.values()))]
    while waiting:
        name = waiting[-1]
        node = nodes.get(name)
        sources = [] if node is None else [_source(each) for each in node.input]
        missing = [source for source in sources if source not in seen and source in nodes]
        if missing and name not in seen:
            waiting.extend(reversed(missing))
            continue
        waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        order.extend(places[each] for each in (*sources, name) if places.get(each, -1) >= 0)
    return list(dict.fromkeys(order))


def _source(reference: str) -> str:
    """Return the node or argument that a reference names."""
    return reference.removeprefix("^").partition(":")[0]
