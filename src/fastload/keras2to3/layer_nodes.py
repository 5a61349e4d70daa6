"""Which object of a SavedModel is which layer of its model's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastload.keras2to3.rules.configs import NODE, REFUSED
from fastload.keras2to3.rules.graph import is_network, is_sequential, layer_name
from fastload.keras2to3.rules.untrusted import bytecode_in
from fastload.runtime.saved_model.object_paths import KERAS_API, children

#: What is said of any layer.
_PLAIN: Final = ("name", "trainable", "dtype", "batch_input_shape")


def with_nodes(item: Any, graph: Any, metadata: Mapping[int, Any], node: int = 0) -> Any:
    """Return the configuration *item* of a network with the node of each layer in it.

    Layers with Python bytecode are marked as refused, and it is left out.

    Args:
        item: the configuration in Keras 2; that of a layer is returned as it is.
        graph: the `SavedObjectGraph` message.
        metadata: Keras's metadata by node id.
        node: of the network.
    """
    if not (is_network(item) or is_sequential(item)):
        return item
    config = item["config"]
    layers = config if isinstance(config, list) else config.get("layers", [])
    nodes = _layers_below(graph, metadata, node)
    found = [_with_node(layer, graph, metadata, nodes) for layer in layers]
    return {**item, "config": found if isinstance(config, list) else {**config, "layers": found}}


def _with_node(item: Any, graph: Any, metadata: Mapping[int, Any], nodes: Mapping[str, int]) -> Any:
    node = nodes.get(_name(item))
    if node is None:
        return item
    if is_network(item) or is_sequential(item):
        return with_nodes(item, graph, metadata, node)
    if (refusal := bytecode_in(item)) is not None:
        plain = {key: item["config"][key] for key in _PLAIN if key in item["config"]}
        return {**item, "config": plain, NODE: node, REFUSED: refusal}
    return {**item, NODE: node}


def _name(item: Mapping[str, Any]) -> str:
    known = "name" in item or (isinstance(item.get("config"), Mapping) and "name" in item["config"])
    return layer_name(item) if known else ""


def _layers_below(graph: Any, metadata: Mapping[int, Any], node: int) -> dict[str, int]:
    """Return the layers of the network at *node* by name."""
    parts = children(graph, node)
    listed = children(graph, parts[KERAS_API]).get("layers") if KERAS_API in parts else None
    nodes = [*parts.values(), *(children(graph, listed).values() if listed is not None else ())]
    found: dict[str, int] = {}
    for each in nodes:
        if each in metadata and "name" in metadata[each]:
            found.setdefault(str(metadata[each]["name"]), each)
    return found
