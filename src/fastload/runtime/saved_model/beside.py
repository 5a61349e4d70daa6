"""What TensorFlow's loader makes beside the objects that Keras made of configurations.

Keras makes what it has a class and a configuration for, and has TensorFlow's loader make the rest
of the SavedModel's functions. Functions of layers that have a class are called by nobody, and most
of a model's functions are such: they are left out, with the lists that name them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from fastload.runtime.saved_model.object_paths import (
    KERAS_API,
    LIVE_KERAS_API,
    REGULARIZATION_LOSSES,
    captured,
    children,
    functions_without_node,
)
from fastload.runtime.saved_model.objects import Sources, TwinLoader, load_partial_over

#: What the stock loader reads of the functions of a layer that it made of its configuration.
_READ: Final = LIVE_KERAS_API | {REGULARIZATION_LOSSES, "activity_regularizer_fn"}


def load_beside(
    saved_model: Any,
    sources: Sources,
    path: str,
    made: Mapping[str, Any],
    endpoints: Mapping[int, Collection[str]],
) -> tuple[dict[str, Any], list[Any]]:
    """Return what `load_partial` does, objects by path, of which Keras reads `"root"`.

    And the variables that have their weights.

    Args:
        saved_model: the twin's `SavedModel` message.
        sources: where the weights and the functions are.
        path: the SavedModel's folder, where its assets are.
        made: what is there, and how children are set on it, by path from the root.
        endpoints: of each node that was made of a configuration, the children for other loaders.
    """
    graph = saved_model.meta_graphs[0].object_graph_def
    restored: list[Any] = []
    names = {"needed": needed_nodes(graph, endpoints), "restored": restored}
    kind = type("Beside", (_BesideLoader,), names)
    return load_partial_over(saved_model, sources, kind)(path, made), restored


def needed_nodes(graph: Any, endpoints: Mapping[int, Collection[str]]) -> frozenset[int]:
    """Return the nodes of *graph* that are left without *endpoints*, with all that they need."""
    apis = {children(graph, node).get(KERAS_API) for node in endpoints}
    unlisted = functions_without_node(graph)
    bound = (graph.concrete_functions[name].bound_inputs for name in unlisted)
    waiting = [0, *dict.fromkeys(node for nodes in bound for node in nodes if node)]
    seen = set(waiting)
    for node in waiting:  # grows while it is walked
        for child in _led_to(graph, node, endpoints, apis):
            if child not in seen:
                seen.add(child)
                waiting.append(child)
    return frozenset(seen)


def _led_to(
    graph: Any, node: int, endpoints: Mapping[int, Collection[str]], apis: Collection[int | None]
) -> Iterator[int]:
    found = graph.nodes[node]
    left_out = endpoints.get(node, ())
    for child in found.children:
        if child.local_name not in left_out and (node not in apis or child.local_name in _READ):
            yield child.node_id
    yield from (each.node_id for each in found.dependencies)
    yield from captured(graph, [node])
    for slot in found.slot_variables:
        yield from (slot.slot_variable_node_id, slot.original_variable_node_id)
    for saveable in found.saveable_objects.values():
        yield from (saveable.save_function, saveable.restore_function)


class _BesideLoader(TwinLoader):
    """Makes what is needed and not there yet."""

    needed: frozenset[int]
    restored: list[Any]
    _loaded_nodes: Mapping[int, tuple[Any, Any]]

    def _retrieve_all_filtered_nodes(self) -> set[int]:
        """Return what is needed; the stock way also finds what else is there."""
        super()._retrieve_all_filtered_nodes()
        return set(self.needed)

    def _load_nodes(self) -> None:
        # Before functions capture them: variables of Keras's are blank.
        self.sources.bind(lambda node: self._loaded_nodes.get(node, (None,))[0])
        super()._load_nodes()  # type: ignore[misc]

    def _add_object_graph_edges(self, proto: Any, node_id: int) -> None:
        left = [child for child in proto.children if child.node_id in self.needed]
        if len(left) < len(proto.children):
            proto = type(proto)()
            proto.children.extend(left)
        super()._add_object_graph_edges(proto, node_id)

    def _restore_checkpoint(self) -> None:
        super()._restore_checkpoint()
        self.restored += (self._nodes[int(node)] for node in self.sources.variables)
