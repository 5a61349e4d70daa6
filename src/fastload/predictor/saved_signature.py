"""A signature of a SavedModel, of either TensorFlow, as a function that can be made flat."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from fastload.convert.signature_specs import signature_nodes
from fastload.runtime.core.tensorflow import parse_saved_model, tensorflow
from fastload.runtime.functions.flat_function import NotFlatError
from fastload.runtime.functions.flattening import Capture, Capturing
from fastload.runtime.functions.inlining import called_by, inlined, reached
from fastload.runtime.functions.weight_readers import Weight, may_assign
from fastload.runtime.saved_model.session_document import SessionGraph, session_model
from fastload.runtime.saved_model.session_graph import (
    cut_out,
    feeds,
    serving_graph,
    variables_of,
)
from fastload.signature import Signature
from fastload.twin.format import (
    FUNCTION_INDEX,
    FUNCTIONS,
    SAVED_OBJECTS,
    SAVED_VARIABLES,
)
from fastload.twin.reader import Twin

_ASSIGNED: Final = "another signature may assign to a variable that it reads"


def saved_function(twin: Twin, signature: Signature) -> Capturing:
    """Return the function of *signature* with all that it calls and captures.

    Args:
        twin: a twin with a function section.
        signature: which of its signatures.

    Raises:
        NotFlatError: it captures something that is neither a variable nor a plain tensor.
    """
    meta_graph = parse_saved_model(twin.document(SAVED_OBJECTS)).meta_graphs[0]
    graph = meta_graph.object_graph_def
    node = dict(signature_nodes(graph))[signature.name]
    function = graph.nodes[node].bare_concrete_function
    name = function.concrete_function_name
    arguments, results = _arguments(function, signature), tuple(sorted(signature.outputs))
    bound = graph.concrete_functions[name].bound_inputs
    _require_unassigned(twin, meta_graph, name, bound)
    captures = tuple(_captures(twin, meta_graph, bound))
    definitions = _definitions(twin, meta_graph, name)
    return Capturing(
        graph=inlined(definitions, name, len(arguments) + len(captures), len(results)),
        arguments=arguments,
        results=results,
        captures=captures,
    )


def _require_unassigned(twin: Twin, meta_graph: Any, own: str, bound: Collection[int]) -> None:
    """Check that no signature but *own* may assign to a variable among the nodes *bound*.

    All signatures of a loaded model share its variables; a flat function has values.
    """
    graph = meta_graph.object_graph_def
    for _, node in signature_nodes(graph):
        name = graph.nodes[node].bare_concrete_function.concrete_function_name
        shared = set(bound).intersection(graph.concrete_functions[name].bound_inputs)
        if name != own and any(
            graph.nodes[each].WhichOneof("kind") == "variable" for each in shared
        ):
            definitions = _definitions(twin, meta_graph, name)
            if any(may_assign(each) for function in definitions for each in function.node_def):
                raise NotFlatError(_ASSIGNED)


def _definitions(twin: Twin, meta_graph: Any, name: str) -> list[Any]:
    index: Mapping[str, list[int]] = json.loads(twin.document(FUNCTION_INDEX))
    content = twin.document(FUNCTIONS)
    message = type(meta_graph.graph_def.library.function.add())

    def definition(each: str) -> Any:
        offset, nbytes = index[each]
        return message.FromString(content[offset : offset + nbytes])

    return reached(definition, index, [name])


def _arguments(function: Any, signature: Signature) -> tuple[str, ...]:
    names = tuple(function.argument_keywords)
    if set(names) != signature.inputs.keys() or len(names) != len(signature.inputs):
        raise NotFlatError("its arguments have other names than its inputs")
    return names


def _captures(twin: Twin, meta_graph: Any, bound: Any) -> Iterator[Capture]:
    graph = meta_graph.object_graph_def
    weights: Mapping[str, str] = json.loads(twin.document(SAVED_VARIABLES))
    constants = {node.name: node for node in meta_graph.graph_def.node}
    for node in bound:
        kind = graph.nodes[node].WhichOneof("kind")
        if kind == "variable":
            yield _variable(twin, weights[str(node)], graph.nodes[node].variable)
        elif kind == "constant":
            tensor = constants[graph.nodes[node].constant.operation].attr["value"].tensor
            yield Capture(value=tensorflow().make_ndarray(tensor), weight=None)
        else:
            raise NotFlatError(f"it captures {_article(kind)}")


def _variable(twin: Twin, name: str, variable: Any) -> Capture:
    _require_fixed(variable.shape)
    return Capture(value=name, weight=Weight(dtype=variable.dtype, shape=twin.refs[name].shape))


def _require_fixed(shape: Any) -> None:
    """Check that a variable was declared with the shape that it has.

    Optimizers that know a shape which they did not know in stock put a sum into another order.
    """
    if not tensorflow().TensorShape(shape).is_fully_defined():
        raise NotFlatError("it reads a variable that was declared without a fixed shape")


def _article(kind: str) -> str:
    return "a table or another resource" if kind == "resource" else f"an object ({kind})"


def session_function(twin: Twin, signature: Signature) -> Capturing:
    """Return the graph of *signature* with the variables that it uses.

    Args:
        twin: a twin of a SavedModel that TensorFlow 1 wrote.
        signature: which of its signatures.

    Raises:
        NotFlatError: the graph lacks a node.
    """
    saved_model, graphs = session_model(twin)
    serving = serving_graph(saved_model)
    facts = next(each for each in graphs if each.meta_graph is serving)
    names: Mapping[str, str] = facts.facts["values"]
    definition = serving.signature_def[signature.name]
    needed = facts.graph_def(facts.facts["signatures"][signature.name]["nodes"])
    variables = variables_of(needed.node)
    if missing := variables.keys() - names.keys():
        raise NotFlatError(f"the variable {min(missing)!r} has no value")
    graph, used = cut_out(needed, definition, variables)
    _require_nothing_assigned(facts, signature.name, frozenset(used))
    for node in needed.node:
        if variables.get(node.name):  # a handle
            _require_fixed(node.attr["shape"].shape)
    return Capturing(
        graph=graph,
        arguments=tuple(feeds(definition)),
        results=tuple(sorted(signature.outputs)),
        captures=tuple(_capture(twin, names[node], is_handle=variables[node]) for node in used),
        is_session=True,
    )


def _require_nothing_assigned(facts: SessionGraph, own: str, used: frozenset[str]) -> None:
    """Check that no signature but *own* may assign to a variable among the nodes *used*."""
    for name, each in facts.facts["signatures"].items():
        if name == own:
            continue
        graph = facts.graph_def(each["nodes"])
        functions = {function.signature.name: function for function in graph.library.function}
        called = [callee for node in graph.node for callee in called_by(node)]
        inner = reached(functions.__getitem__, functions, called)
        nodes = (*graph.node, *(node for function in inner for node in function.node_def))
        if not used.isdisjoint(variables_of(graph.node)) and any(map(may_assign, nodes)):
            raise NotFlatError(_ASSIGNED)


def _capture(twin: Twin, name: str, *, is_handle: bool) -> Capture:
    ref = twin.refs[name]
    dtype: int = tensorflow().as_dtype(ref.dtype).as_datatype_enum
    return Capture(value=name, weight=Weight(dtype=dtype, shape=ref.shape) if is_handle else None)
