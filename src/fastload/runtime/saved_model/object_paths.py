"""Walks over a `SavedObjectGraph` message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

#: Where Keras keeps, on each of its objects, what only it reads.
KERAS_API: Final = "keras_api"
#: The parts of it that the stock loader turns into objects where it has the object's class; the
#: rest is functions and lists of layers.
LIVE_KERAS_API: Final = frozenset({"layer_metrics", "metrics", "states"})
#: Where networks keep losses that exist as functions only.
REGULARIZATION_LOSSES: Final = "layer_regularization_losses"


def children(graph: Any, node: int) -> dict[str, int]:
    """Return the node ids of a node's children by name."""
    return {child.local_name: child.node_id for child in graph.nodes[node].children}


def captured(graph: Any, functions: Iterable[int]) -> set[int]:
    """Return the nodes whose tensors *functions* (ids of function nodes) capture."""
    names: list[str] = []
    for node in functions:
        names += graph.nodes[node].function.concrete_functions
        names.append(graph.nodes[node].bare_concrete_function.concrete_function_name)
    return {node for name in names if name for node in graph.concrete_functions[name].bound_inputs}


def functions_without_node(graph: Any) -> list[str]:
    """Return the concrete functions that no node stands for: gradients, which others call."""
    listed: set[str] = set()
    for node in graph.nodes:
        listed.update(node.function.concrete_functions)
        listed.add(node.bare_concrete_function.concrete_function_name)
    return sorted(graph.concrete_functions.keys() - listed)


def paths(graph: Any) -> dict[int, str]:
    """Return a path from the root for each node, through the signatures last.

    What they capture lives elsewhere in the model.
    """
    found = {0: "root"}
    waiting = [0]
    for node in waiting:  # grows while it is walked
        for child in sorted(
            graph.nodes[node].children, key=lambda child: child.local_name == "signatures"
        ):
            if child.node_id not in found:
                found[child.node_id] = f"{found[node]}.{child.local_name}"
                waiting.append(child.node_id)
    return found
