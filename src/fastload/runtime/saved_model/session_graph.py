"""Signatures of a graph that was made for a session (TensorFlow 1), cut out of it.

Such a SavedModel has one graph with everything in it, and says of a signature which tensors to feed
and which to fetch. See `meta_graph.proto` in TensorFlow.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import Any, Final

from fastload.errors import UnconvertibleModelError
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.functions.flat_function import NotFlatError
from fastload.signature import Signature, TensorSpec

#: Variables as they were, whose nodes give the value, and those that give a handle.
_VALUES: Final = frozenset({"Variable", "VariableV2"})
_HANDLES: Final = frozenset({"VarHandleOp"})
#: A signature that initialises the graph; no user calls it.
_INIT: Final = "__saved_model_init_op"
#: The tag of the graph for serving.
SERVING: Final = "serve"
_OF_TPUS: Final = "TPUReplicateMetadata"


def feeds(definition: Any) -> dict[str, Any]:
    """Return the `TensorInfo` of what a `SignatureDef` takes, by argument.

    A sparse tensor is three arguments, named as TensorFlow's own loader names them.
    """
    found: dict[str, Any] = {}
    for name, info in sorted(definition.inputs.items()):
        kind = info.WhichOneof("encoding")
        if kind == "coo_sparse":
            found |= {f"{name}_{part}": each for part, each in _sparse_parts(info)}
        elif kind == "name":
            found[name] = info
        else:
            raise NotFlatError(f"its input {name!r} is a composite tensor")
    return found


def signature_of_graph(name: str, definition: Any) -> Signature:
    """Return what a `SignatureDef` takes and gives.

    Raises:
        NotFlatError: it takes or gives something that is not a plain tensor.
    """
    for output, info in definition.outputs.items():
        if info.WhichOneof("encoding") != "name":
            raise NotFlatError(f"its output {output!r} is not a plain tensor")
    return Signature(
        name=name,
        inputs=_specs(feeds(definition)),
        outputs=_specs(dict(sorted(definition.outputs.items()))),
    )


def _specs(described: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {n: spec_of(n, info.dtype, info.tensor_shape) for n, info in described.items()}


def serving_graph(saved_model: Any) -> Any:
    """Return the `MetaGraphDef` that `load_predictor` uses.

    Raises:
        UnconvertibleModelError: there are several, and not exactly one has the serving tag alone.
    """
    graphs = saved_model.meta_graphs
    if len(graphs) > 1:
        graphs = [each for each in graphs if list(each.meta_info_def.tags) == [SERVING]]
    if len(graphs) != 1:
        raise UnconvertibleModelError("the SavedModel has several meta-graphs")
    return graphs[0]


def served_signatures(meta_graph: Any) -> dict[str, Any]:
    """Return each `SignatureDef` that users call, by name."""
    return {name: each for name, each in meta_graph.signature_def.items() if name != _INIT}


def variables_of(nodes: Iterable[Any]) -> dict[str, bool]:
    """Return, for each variable among *nodes*, whether its node gives a handle or its value."""
    return {node.name: node.op in _HANDLES for node in nodes if node.op in _VALUES | _HANDLES}


class NodeMissingError(LookupError):
    """A graph lacks a node, or cannot be cut where it is fed."""


class Nodes:
    """The nodes of a graph, by name.

    Args:
        nodes: its `NodeDef` messages, in order.
    """

    def __init__(self, nodes: Sequence[Any]) -> None:
        self._nodes = nodes
        self._numbers = {node.name: number for number, node in enumerate(nodes)}

    def __getitem__(self, name: str) -> Any:
        return self._nodes[self._number(name)]

    def needed(
        self, fetched: Iterable[str], fed: Collection[str], known: Container[str]
    ) -> tuple[int, ...]:
        """Return the numbers of the nodes that are needed for some tensors or operations.

        Args:
            fetched: names of tensors and operations.
            fed: names of tensors that are given, so that nothing behind them is needed.
            known: nodes behind which nothing is needed; they are among those returned.

        Raises:
            NodeMissingError: a node is missing, or something is needed of one that is fed.
        """
        given = {tensor_name(name) for name in fed}
        owners = {tensor.partition(":")[0] for tensor in given}
        found: set[int] = set()
        waiting = list(fetched)
        while waiting:
            reference = waiting.pop()
            name = operation_name(reference)
            if name in owners:
                self._require_given(reference, given)
            elif self._number(name) not in found:
                found.add(self._number(name))
                waiting += [] if name in known else self._inputs(name)
        return tuple(sorted(found))

    def _inputs(self, name: str) -> list[str]:
        node = self[name]
        if node.op == "Placeholder":
            raise NodeMissingError(f"{name!r} has no value")
        # What TPUs leave behind is not imported: it would have no kernel.
        return [each for each in node.input if self[operation_name(each)].op != _OF_TPUS]

    def _require_given(self, reference: str, given: Collection[str]) -> None:
        """Check that what is needed of a node that is fed is the tensor that it is fed with."""
        if not reference.startswith("^") and tensor_name(reference) not in given:
            raise NodeMissingError(f"{reference!r} is needed, and another output is fed")

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            raise NodeMissingError(f"no node is called {name!r}")
        return self._numbers[name]


def cut_out(
    graph: Any, definition: Any, variables: Mapping[str, Any]
) -> tuple[Any, tuple[str, ...]]:
    """Return a `GraphDef` that computes a signature, as `flattening.Capturing` wants it.

    Args:
        graph: a `GraphDef` with what the signature needs; it stays as it is.
        definition: the `SignatureDef`.
        variables: the variables of the graph by node, in the order of its arguments.

    Returns:
        The graph, and the names of the nodes of the variables that it uses, in that order.
    """
    given = [tensor_name(info.name) for info in feeds(definition).values()]
    fetched = [tensor_name(info.name) for _, info in sorted(definition.outputs.items())]
    used = [node.name for node in graph.node if node.name in variables]
    names = {tensor: f"argument_{index}" for index, tensor in enumerate(given)}
    names |= {f"{node}:0": f"argument_{len(given) + index}" for index, node in enumerate(used)}
    new = type(graph)(versions=graph.versions, library=graph.library)
    for info, tensor in zip(feeds(definition).values(), given, strict=True):
        _placeholder(new, names[tensor], info.dtype, info.tensor_shape)
    for node in graph.node:
        if node.name in variables:
            _placeholder_for(new, names[f"{node.name}:0"], node)
        else:
            _copy(new, node, names, frozenset(used))
    for index, tensor in enumerate(fetched):
        result = new.node.add(
            name=f"result_{index}", op="Identity", input=[names.get(tensor, tensor)]
        )
        result.attr["T"].type = definition.outputs[sorted(definition.outputs)[index]].dtype
    return new, tuple(used)


def _copy(graph: Any, node: Any, names: Mapping[str, str], variables: frozenset[str]) -> None:
    new = graph.node.add()
    new.CopyFrom(node)
    new.attr.pop("_class", None)  # it may name a node that is not there any more
    fed = {tensor.partition(":")[0] for tensor in names}
    new.input[:] = [
        names.get(tensor_name(each), each)
        for each in node.input
        if not (each.startswith("^") and each[1:] in fed | variables)
    ]


def _placeholder(graph: Any, name: str, dtype: int, shape: Any) -> None:
    node = graph.node.add(name=name, op="Placeholder")
    node.attr["dtype"].type = dtype
    node.attr["shape"].shape.CopyFrom(shape)


def _placeholder_for(graph: Any, name: str, variable: Any) -> None:
    if variable.op in _HANDLES:
        from tensorflow.core.framework import tensor_shape_pb2

        resource: int = tensorflow().resource.as_datatype_enum
        _placeholder(graph, name, resource, tensor_shape_pb2.TensorShapeProto())
    else:
        _placeholder(graph, name, variable.attr["dtype"].type, variable.attr["shape"].shape)


def _sparse_parts(info: Any) -> list[tuple[str, Any]]:
    """Return indices, values and shape of a sparse tensor, each as a `TensorInfo`."""
    tf = tensorflow()
    rank = None if info.tensor_shape.unknown_rank else len(info.tensor_shape.dim)
    sparse = info.coo_sparse
    parts = {
        "indices": (sparse.indices_tensor_name, tf.int64.as_datatype_enum, (None, rank)),
        "values": (sparse.values_tensor_name, info.dtype, (None,)),
        "dense_shape": (sparse.dense_shape_tensor_name, tf.int64.as_datatype_enum, (rank,)),
    }
    return [
        (part, type(info)(name=name, dtype=dtype, tensor_shape=tf.TensorShape(shape).as_proto()))
        for part, (name, dtype, shape) in parts.items()
    ]


def spec_of(name: str, dtype: int, shape: Any) -> TensorSpec:
    """Return the spec of a tensor, from its dtype and shape as messages have them."""
    sizes = tuple(size.size if size.size >= 0 else None for size in shape.dim)
    return TensorSpec(
        name=name,
        dtype=tensorflow().dtypes.as_dtype(dtype).name,
        shape=None if shape.unknown_rank else sizes,
    )


def tensor_name(reference: str) -> str:
    """Return the name of the tensor that *reference* means.

    Example:
        >>> tensor_name("x"), tensor_name("x:1"), tensor_name("^x")
        ('x:0', 'x:1', 'x:0')
    """
    bare = reference.removeprefix("^")
    return bare if ":" in bare else f"{bare}:0"


def operation_name(reference: str) -> str:
    """Return the name of the node that *reference* means.

    Example:
        >>> operation_name("x"), operation_name("x:1"), operation_name("^x")
        ('x', 'x', 'x')
    """
    return reference.removeprefix("^").partition(":")[0]
