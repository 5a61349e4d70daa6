"""A signature of a SavedModel, of either TensorFlow, as a function that can be made flat."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastload.convert.signature_specs import signature_nodes
from fastload.runtime.core.tensorflow import parse_saved_model, tensorflow
from fastload.runtime.functions.flat_function import NotFlatError
from fastload.runtime.functions.flattening import Capture, Capturing
from fastload.runtime.functions.inlining import inlined, reached
from fastload.runtime.functions.weight_readers import Weight
from fastload.runtime.saved_model.session_document import session_model
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
    captures = tuple(_captures(twin, meta_graph, graph.concrete_functions[name].bound_inputs))
    definitions = _definitions(twin, meta_graph, name)
    return Capturing(
        graph=inlined(definitions, name, len(arguments) + len(captures), len(results)),
        arguments=arguments,
        results=results,
        captures=captures,
    )


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
    return Capture(value=name, weight=Weight(dtype=variable.dtype, shape=twin.refs[name].shape))


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
    return Capturing(
        graph=graph,
        arguments=tuple(feeds(definition)),
        results=tuple(sorted(signature.outputs)),
        captures=tuple(_capture(twin, names[node], is_handle=variables[node]) for node in used),
        is_session=True,
    )


def _capture(twin: Twin, name: str, *, is_handle: bool) -> Capture:
    ref = twin.refs[name]
    dtype: int = tensorflow().as_dtype(ref.dtype).as_datatype_enum
    return Capture(value=name, weight=Weight(dtype=dtype, shape=ref.shape) if is_handle else None)
