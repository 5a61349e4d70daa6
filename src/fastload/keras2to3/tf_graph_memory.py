"""How much memory a graph takes when it is run, as far as TensorFlow's shape inference can say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.functions.inlining import called_by, in_line, nodes_of

#: Results of these are handles; what they hold is counted where it is made.
_HANDLES: Final = ("resource", "variant")
_TEXT_BYTES: Final = 16
#: Results whose shape is never inferred, by operation and place; they are empty on a processor.
_EMPTY: Final = frozenset({("FusedBatchNormV3", 5)})


def graph_of(
    meta_graph: Any, feeds: Mapping[str, tuple[int, ...]], fetches: Sequence[str]
) -> Any | None:
    """Return the part of a graph that a session runs, with all calls written into it.

    Args:
        meta_graph: a `MetaGraphDef`.
        feeds: the shape of what is fed, by the name of the node.
        fetches: names of nodes.

    Returns:
        A `tf.Graph` whose shapes follow from those of *feeds*, or None if it cannot be made.
    """
    tf = tensorflow()
    try:
        part = _leading_to(fetches, meta_graph.graph_def)
        for node in part.node:
            if node.name in feeds:
                shape = tf.TensorShape(feeds[node.name]).as_proto()
                node.attr["shape"].shape.CopyFrom(shape)
        part = in_line(part, [*feeds, *fetches])
        with tf.Graph().as_default() as graph:
            tf.graph_util.import_graph_def(part, name="")
    except Exception:  # noqa: BLE001 - TensorFlow raises many kinds for a graph that is odd
        return None
    return graph


def written_out(function: Any) -> Any:
    """Return the graph of a concrete function with all that it calls, as far as that can be made.

    Layers of a SavedModel's functions are calls in it.
    """
    tf, graph = tensorflow(), function.graph
    ends = [each.op.name for each in (*graph.inputs, *graph.outputs)]
    try:
        part = in_line(graph.as_graph_def(), ends)
        with tf.Graph().as_default() as found:
            tf.graph_util.import_graph_def(part, name="")
    except Exception:  # noqa: BLE001 - TensorFlow raises many kinds for a graph that is odd
        return graph
    return found


def _leading_to(fetches: Sequence[str], graph: Any) -> Any:
    """Return a copy of what *fetches* need of a `GraphDef`."""
    nodes = {node.name: node for node in graph.node}
    waiting, needed = list(fetches), set(fetches)
    for name in waiting:  # grows while it is walked
        for each in nodes[name].input:
            source = each.removeprefix("^").partition(":")[0]
            if source not in needed:
                needed.add(source)
                waiting.append(source)
    part = type(graph)(versions=graph.versions, library=graph.library)
    part.node.extend(node for node in graph.node if node.name in needed)
    return part


def peak_bytes(graph: Any) -> int:
    """Return the most bytes that results in *graph* take at once, those of known shapes.

    A result is there from its operation, in the order of the graph, to the last one that takes it.
    """
    last, order = {}, list(graph.get_operations())
    for place, operation in enumerate(order):
        last.update(dict.fromkeys(map(_name, operation.inputs), place))
    alive = peak = 0
    leaving: dict[int, int] = {}
    for place, operation in enumerate(order):
        for result in operation.outputs:
            size = _bytes(result) or 0
            alive += size
            end = max(place, last.get(_name(result), len(order)))
            leaving[end] = leaving.get(end, 0) + size
        peak = max(peak, alive)
        alive -= leaving.pop(place, 0)
    return peak


def is_known(graph: Any) -> bool:
    """Say whether the size of every result is known, and nothing is called besides."""
    library = {each.signature.name for each in graph.as_graph_def().library.function}
    operations = graph.get_operations()
    calls = any(name in library for each in operations for name in called_by(each.node_def))
    return not calls and None not in (_bytes(out) for each in operations for out in each.outputs)


def all_nodes(meta_graph: Any) -> Iterator[Any]:
    """Yield all nodes of a `MetaGraphDef`, those of its functions too."""
    return nodes_of(meta_graph.graph_def)


def _name(tensor: Any) -> str:
    return str(tensor.name)


def _bytes(result: Any) -> int | None:
    if result.dtype.name in _HANDLES:
        return 0
    if (result.op.type, result.value_index) in _EMPTY:
        return 0
    elements = result.shape.num_elements()
    return None if elements is None else elements * (result.dtype.size or _TEXT_BYTES)
