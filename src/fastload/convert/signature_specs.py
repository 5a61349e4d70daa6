"""What a SavedModel's signatures take and give, in plain values for whoever only wants to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastload.runtime.tensorflow import tensorflow

#: dtype and shape; None for a size that is not fixed, and for a rank that is not.
Spec = tuple[str, "list[int | None] | None"]


def signature_specs(graph: Any) -> dict[str, dict[str, dict[str, Spec]]]:
    """Return `inputs` and `outputs` of each signature by name.

    Args:
        graph: a `SavedObjectGraph` message. A signature takes tensors by name only and gives a
            mapping, see `signature_serialization.py` in TensorFlow.
    """
    found = {}
    for child in _signatures(graph):
        name = graph.nodes[child.node_id].bare_concrete_function.concrete_function_name
        if name not in graph.concrete_functions:
            continue
        function = graph.concrete_functions[name]
        arguments = function.canonicalized_input_signature.tuple_value.values
        found[child.local_name] = {
            "inputs": _specs(arguments[1].dict_value.fields) if len(arguments) > 1 else {},
            "outputs": _specs(function.output_signature.dict_value.fields),
        }
    return found


def _signatures(graph: Any) -> Any:
    for child in graph.nodes[0].children:
        if child.local_name == "signatures":
            return graph.nodes[child.node_id].children
    return ()


def _specs(fields: Mapping[str, Any]) -> dict[str, Spec]:
    tensors = {
        name: value.tensor_spec_value
        for name, value in sorted(fields.items())
        if value.WhichOneof("kind") == "tensor_spec_value"
    }
    return {name: _spec(tensor) for name, tensor in tensors.items()}


def _spec(tensor: Any) -> Spec:
    dtype: str = tensorflow().dtypes.as_dtype(tensor.dtype).name
    if tensor.shape.unknown_rank:
        return dtype, None
    return dtype, [size.size if size.size >= 0 else None for size in tensor.shape.dim]
