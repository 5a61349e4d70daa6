"""A signature of a graph of TensorFlow 1, from its twin, as a function that can be made flat."""

from __future__ import annotations

import json
from collections.abc import Mapping

from fastload.runtime.core.tensorflow import parse_meta_graph, tensorflow
from fastload.runtime.functions.flattening import Capture, Capturing
from fastload.runtime.functions.weight_readers import Weight
from fastload.runtime.saved_model.session_graph import cut_out, feeds, variables_of
from fastload.signature import Signature
from fastload.twin.format import SESSION_GRAPH, SESSION_VARIABLES
from fastload.twin.reader import Twin


def session_function(twin: Twin, signature: Signature) -> Capturing:
    """Return the graph of *signature* with the variables that it uses.

    Args:
        twin: a twin of a SavedModel that TensorFlow 1 wrote.
        signature: which of its signatures.

    Raises:
        NotFlatError: the graph lacks a node.
    """
    meta_graph = parse_meta_graph(twin.document(SESSION_GRAPH))
    names: Mapping[str, str] = json.loads(twin.document(SESSION_VARIABLES))
    definition = meta_graph.signature_def[signature.name]
    variables = variables_of(meta_graph.graph_def.node)
    graph, used = cut_out(meta_graph.graph_def, definition, variables)
    return Capturing(
        graph=graph,
        arguments=tuple(feeds(definition)),
        results=tuple(sorted(signature.outputs)),
        captures=tuple(
            _capture(twin, names[node], is_handle=variables[node].is_handle) for node in used
        ),
        is_session=True,
    )


def _capture(twin: Twin, name: str, *, is_handle: bool) -> Capture:
    ref = twin.refs[name]
    dtype: int = tensorflow().as_dtype(ref.dtype).as_datatype_enum
    return Capture(value=name, weight=Weight(dtype=dtype, shape=ref.shape) if is_handle else None)
