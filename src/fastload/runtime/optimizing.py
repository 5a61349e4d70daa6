"""What TensorFlow's graph optimizers make of a flat function, kept so that no load waits for it.

When a function first runs, Grappler rewrites its graph: half of the time to a network's first
prediction. The graph that TensorFlow then executes can be asked for. A function with that graph as
its body, run with Grappler off, executes the same graph: the same kernels on the same values, so
the same bits. That holds for as long as all that Grappler looks at is the same: see `conditions`.
docs/decisions/0017-optimized-functions.md has the measurements, and what is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final

import numpy as np

from fastload.runtime import eager
from fastload.runtime.flat_call import FlatCall
from fastload.runtime.flat_function import FlatFunction
from fastload.runtime.flattening import function_of
from fastload.runtime.inlining import called_by, function_names, shape_of_argument
from fastload.runtime.tensorflow import import_module
from fastload.runtime.transplant import require
from fastload.signature import Signature, TensorSpec
from fastload.twin.format import dtype_of

#: Loops of the old kind: their nodes come in circles, which a function's body cannot have.
_LOOPS: Final = frozenset({"Enter", "Exit", "NextIteration", "LoopCond", "Merge", "Switch"})
#: What TensorFlow notes on nodes as it goes; it notes it again.
_NOTES: Final = (
    "_XlaHasReferenceVars",
    "_class",
    "_input_shapes",
    "_output_shapes",
    "_user_specified_name",
    "_xla_inferred_shapes",
)
#: Sizes to try for dimensions that are not fixed, but for the first, until the function takes one.
_SIZES: Final = (1, 32, 256)


def optimized(
    flat: FlatFunction, signature: Signature, weights: Sequence[Any]
) -> FlatFunction | None:
    """Return *flat* as the optimizers leave it; None if that cannot be kept.

    It is run on made-up inputs, and what comes of it must give the same bits on them.

    Args:
        flat: the function; it has no state, or None is returned.
        signature: what it takes.
        weights: its values after the inputs.
    """
    if not all(map(_is_stateless, flat.definitions)):
        return None
    for inputs in _made_up(signature):
        with suppress(Exception):  # it does not take these; any error is its own
            return _optimized_on(inputs, flat, weights)
    return None


def _optimized_on(
    inputs: Mapping[str, Any], flat: FlatFunction, weights: Sequence[Any]
) -> FlatFunction | None:
    expected, graph = _first_run(flat, weights, inputs)
    if graph is None or not _can_be_kept(graph):
        return None
    found = replace(
        flat,
        name=f"{flat.name}_optimized",
        definitions=(_definition(graph, flat),),
        is_optimized=True,
    )
    got, executed = _first_run(found, weights, inputs)
    same = all(_bits(got[name]) == _bits(expected[name]) for name in expected)
    is_kept = executed is not None and _operations(executed) == _operations(graph)
    return found if same and is_kept else None


def _first_run(
    flat: FlatFunction, weights: Sequence[Any], inputs: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Any]:
    """Run *flat*; return its results and, if it never ran, the graph that was executed."""
    call = FlatCall(flat, weights, None)
    with _collected_graphs() as graphs:
        results = call(inputs)
    counts = (len(flat.arguments) + len(flat.captures), len(flat.results))
    found = [graph for graph in graphs if _counts(graph) == counts]
    return results, found[0] if len(found) == 1 else None


@contextmanager
def _collected_graphs() -> Iterator[list[Any]]:
    """Yield a list; after the block it has the graphs of functions that first ran meanwhile."""
    context, found = eager.context(), list[Any]()
    require(context, ["enable_graph_collection", "disable_graph_collection", "export_run_metadata"])
    context.enable_graph_collection()
    try:
        yield found
        metadata = context.export_run_metadata()
        found += (each.post_optimization_graph for each in metadata.function_graphs)
    finally:
        context.disable_graph_collection()


def _counts(graph: Any) -> tuple[int, int]:
    found = _operations(graph)
    return found["_Arg"], found["_Retval"]


def _operations(graph: Any) -> Counter[str]:
    return Counter(node.op for node in graph.node if node.op not in {"Identity", "NoOp"})


def _can_be_kept(graph: Any) -> bool:
    return not graph.library.function and all(
        node.op not in _LOOPS
        and not any(True for each in node.attr.values() for _ in function_names(each))
        and (node.op in {"_Arg", "_Retval"} or not _has_state(node.op))
        for node in graph.node
    )


def _is_stateless(content: bytes) -> bool:
    function = eager.runtime().function_pb2.FunctionDef.FromString(content)
    return not any(_has_state(node.op) and not _calls(node) for node in function.node_def)


def _calls(node: Any) -> bool:
    """Say whether *node* only calls functions; those are asked themselves."""
    return any(name != node.op for name in called_by(node))


def _has_state(operation: str) -> bool:
    """Say whether an operation does more than to compute; what nobody knows may."""
    registry = import_module("tensorflow.python.framework.op_def_registry")
    require(registry, ["get"])
    definition = registry.get(operation)
    return definition is None or bool(definition.is_stateful)


def _definition(graph: Any, flat: FlatFunction) -> bytes:
    """Return a `FunctionDef` whose body is *graph*."""
    message = eager.runtime().function_pb2.FunctionDef
    shapes = message.FromString(flat.definitions[-1])
    plain = type(graph)(versions=graph.versions)
    new = {node.name: _name(node) for node in graph.node}
    arguments = {f"^{node.name}" for node in graph.node if node.op == "_Arg"}
    for node in graph.node:
        copy = plain.node.add(name=new[node.name], op=node.op)
        copy.input.extend(_renamed(each, new) for each in node.input if each not in arguments)
        if node.op == "_Arg":
            copy.op = "Placeholder"
            copy.attr["dtype"].type = node.attr["T"].type
            shape = shape_of_argument(shapes, node.attr["index"].i)
            copy.attr["shape"].shape.CopyFrom(shape)
        elif node.op == "_Retval":
            copy.op = "Identity"
            copy.attr["T"].type = node.attr["T"].type
        else:
            _copy_attributes(node, copy)
    return function_of(plain, f"{flat.name}_optimized", _counts(graph))


def _copy_attributes(node: Any, copy: Any) -> None:
    for name in node.attr:
        if name not in _NOTES:
            copy.attr[name].CopyFrom(node.attr[name])


def _name(node: Any) -> str:
    kinds = {"_Arg": "argument", "_Retval": "result"}
    kind = kinds.get(node.op)
    return str(node.name) if kind is None else f"{kind}_{node.attr['index'].i}"


def _renamed(wanted: str, new: Mapping[str, str]) -> str:
    mark = "^" if wanted.startswith("^") else ""
    name, colon, index = wanted.removeprefix("^").partition(":")
    return f"{mark}{new[name]}{colon}{index}"


def _made_up(signature: Signature) -> Iterator[dict[str, Any]]:
    """Yield inputs that the function may take, the same each time."""
    if any(spec.shape is None for spec in signature.inputs.values()):
        return
    is_open = any(None in (spec.shape or ())[1:] for spec in signature.inputs.values())
    for size in _SIZES if is_open else _SIZES[:1]:
        yield {name: _values(spec, size) for name, spec in signature.inputs.items()}


def _values(spec: TensorSpec, size: int) -> Any:
    sizes = [size if each is None else each for each in spec.shape or ()]
    if spec.shape and spec.shape[0] is None:
        sizes[0] = 1
    if spec.dtype == "string":
        return eager.tensor_of(np.full(sizes, b"", dtype=object))
    draws = np.random.default_rng(0).random(sizes)  # whole numbers become zeros
    return eager.tensor_of(draws.astype(dtype_of(spec.dtype)), spec.dtype)


def _bits(tensor: Any) -> tuple[Any, bytes]:
    array = np.asarray(tensor)
    content = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
    return array.shape, content
