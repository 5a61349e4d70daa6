"""What a rebuild of a Keras 2 SavedModel needs: metadata, pruned object graph, weights by layer."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fastload.convert.conversion import Section, object_names
from fastload.convert.object_graph import (
    CheckpointKeys,
    PrunedGraph,
    checkpoint_keys,
    prune,
    require_same_objects,
)
from fastload.errors import UnconvertibleModelError
from fastload.lean_dataclass import dataclass
from fastload.runtime.core.tensorflow import Checkpoint, keras_metadata, saved_model_message
from fastload.runtime.saved_model.object_paths import children
from fastload.source.detect import ModelSource
from fastload.source.saved_model_parts import SavedModelParts
from fastload.twin.format import (
    KERAS_METADATA,
    LAYER_CLASSES,
    OBJECT_GRAPH,
    SOURCE_NODES,
    VARIABLES,
    WeightSpec,
)

#: The file of a SavedModel with what only Keras reads, by node id; since TensorFlow 2.5.
METADATA_FILE: Final = "keras_metadata.pb"
_CHILD_LAYER: Final = re.compile(r"layer-(\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class _SavedVariable:
    """A variable of the object graph that the checkpoint has a value for."""

    key: str
    name: str
    spec: WeightSpec


def keras_section(
    source: ModelSource,
    parts: SavedModelParts,
    graph: Any,
    metadata: Mapping[int, Mapping[str, Any]],
    checkpoint: Checkpoint,
) -> Section:
    """Return the section that the stock Keras loader is run over.

    Args:
        source: the SavedModel.
        parts: what was cut out of its file.
        graph: its object graph.
        metadata: as `saved_metadata` returns it.
        checkpoint: its weights.

    Raises:
        UnconvertibleModelError: it holds no Keras model, or one that exists only as functions.
    """
    root = metadata.get(0)
    if root is None or not root.get("config"):
        raise UnconvertibleModelError(
            "the model has no config (a subclassed model, or no Keras model at all)"
        )
    pruned = prune(graph, frozenset(metadata), _networks(metadata))
    require_same_objects(graph, checkpoint.object_graph())
    keys = checkpoint_keys(pruned.graph, checkpoint.object_graph())
    _require_plain_state(keys, pruned.graph)
    layout = _Layout.of(graph, metadata, pruned.new_ids)
    variables = _variables(keys, pruned.graph, layout, checkpoint)
    return Section(
        groups=layout.groups(root, variables),
        documents=_documents(source, parts, graph, pruned, variables)
        | {LAYER_CLASSES: json.dumps(_layer_classes(metadata)).encode()},
        weights={variable.key: variable.spec for variable in variables.values()},
    )


def saved_config(folder: Path, graph: Any) -> Mapping[str, Any] | None:
    """Return the configuration of the Keras model in a SavedModel, or None if it holds none.

    Args:
        folder: the SavedModel.
        graph: its object graph.
    """
    config: Mapping[str, Any] | None = saved_metadata(folder, graph).get(0, {}).get("config")
    return config


def saved_metadata(folder: Path, graph: Any) -> dict[int, dict[str, Any]]:
    """Return Keras's metadata by node id: from its file or, before TensorFlow 2.5, from the
    graph.
    """
    path = folder / METADATA_FILE
    if path.exists():
        found = {node.node_id: node.metadata for node in keras_metadata(path.read_bytes()).nodes}
    else:
        found = {
            i: node.user_object.metadata for i, node in enumerate(graph.nodes) if _is_keras(node)
        }
    return {node: json.loads(text) for node, text in found.items() if text}


def _networks(metadata: Mapping[int, Mapping[str, Any]]) -> frozenset[int]:
    """Return the nodes that the stock loader rebuilds as functional or sequential models."""
    return frozenset(
        node
        for node, found in metadata.items()
        if found.get("is_graph_network") or found.get("class_name") in ("Functional", "Sequential")
    )


def _is_keras(node: Any) -> bool:
    identifier: str = node.user_object.identifier
    return identifier.startswith("_tf_keras_")


def _require_plain_state(keys: CheckpointKeys, graph: Any) -> None:
    kept = {node: key for node, key in keys.other.items() if node < len(graph.nodes)}
    for key in kept.values():
        raise UnconvertibleModelError(f"the checkpoint holds state that is not a variable ({key})")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """The group and the order of each layer's variables in the legacy HDF5 layout."""

    layer_names: tuple[str, ...]
    by_layer: Mapping[str, tuple[int, ...]]
    layer_of: Mapping[int, str]

    @classmethod
    def of(
        cls, graph: Any, metadata: Mapping[int, Mapping[str, Any]], new_ids: Mapping[int, int]
    ) -> _Layout:
        layers = _child_layers(graph, 0)
        names = [metadata[layer]["name"] for layer in layers if layer in metadata]
        order = {
            metadata[n]["name"]: tuple(_layer_variables(graph, n, new_ids))
            for n in layers
            if n in metadata
        }
        layer_of: dict[int, str] = {}
        for layer, nodes in order.items():
            for node in nodes:
                layer_of.setdefault(node, layer)
        return cls(layer_names=tuple(names), by_layer=order, layer_of=layer_of)

    def place(self, node: int, name: str) -> str:
        """Return the path in the twin for variable *node* called *name*."""
        layer = self.layer_of.get(node)
        return f"other_variables/{node}" if layer is None else f"model_weights/{layer}/{name}"

    def groups(
        self, root: Mapping[str, Any], variables: Mapping[int, _SavedVariable]
    ) -> dict[str, dict[str, Any]]:
        """Return the groups and attributes of a legacy Keras HDF5 file."""
        config = {"class_name": root["class_name"], "config": root["config"]}
        top: dict[str, Any] = {"model_config": json.dumps(config), "backend": "tensorflow"}
        top["keras_version"] = str(root.get("keras_version", "2.0.0"))
        if root.get("training_config"):
            top["training_config"] = json.dumps(root["training_config"])
        groups = {
            "": top,
            "model_weights": {"layer_names": list(self.layer_names), "backend": "tensorflow"},
        }
        groups["model_weights"]["keras_version"] = top["keras_version"]
        for layer, nodes in self.by_layer.items():
            names = [variables[node].name for node in nodes if node in variables]
            groups[f"model_weights/{layer}"] = {"weight_names": names}
        return groups


def _child_layers(graph: Any, node: int) -> list[int]:
    found = {}
    for child in graph.nodes[node].children:
        match = _CHILD_LAYER.match(child.local_name)
        if match:
            found[int(match[1])] = child.node_id
    return [found[index] for index in sorted(found)]


def _layer_variables(graph: Any, layer: int, new_ids: Mapping[int, int]) -> Iterator[int]:
    """Yield a layer's variables in legacy order: trainable ones first."""
    lists = {name: graph.nodes[node] for name, node in children(graph, layer).items()}
    seen = set()
    for name in ("trainable_variables", "variables"):
        for child in lists[name].children if name in lists else ():
            if child.node_id in new_ids and child.node_id not in seen:
                seen.add(child.node_id)
                yield new_ids[child.node_id]


def _variables(
    keys: CheckpointKeys, graph: Any, layout: _Layout, checkpoint: Checkpoint
) -> dict[int, _SavedVariable]:
    """Return the variables by node id, each under a unique name."""
    found: dict[int, _SavedVariable] = {}
    taken: Counter[str] = Counter()
    for node, key in keys.variables.items():
        name = f"{graph.nodes[node].variable.name or node}:0"
        place = layout.place(node, name)
        if taken[place]:  # composite layers may use a name twice
            name = f"{name}_{taken[place]}"
        taken[place] += 1
        spec = WeightSpec(
            name=layout.place(node, name), dtype=checkpoint.dtype(key), shape=checkpoint.shape(key)
        )
        found[node] = _SavedVariable(key=key, name=name, spec=spec)
    return found


def _documents(
    source: ModelSource,
    parts: SavedModelParts,
    graph: Any,
    pruned: PrunedGraph,
    variables: Mapping[int, _SavedVariable],
) -> dict[str, bytes]:
    documents = {
        OBJECT_GRAPH: _without_functions(parts, pruned).SerializeToString(deterministic=True),
        VARIABLES: json.dumps(
            {node: variable.spec.name for node, variable in variables.items()}
        ).encode(),
    }
    if any(child.local_name == "signatures" for child in graph.nodes[0].children):
        documents[SOURCE_NODES] = json.dumps(list(pruned.new_ids)).encode()
    path = source.path / METADATA_FILE
    if path.exists():
        documents[KERAS_METADATA] = _renumbered(
            keras_metadata(path.read_bytes()), pruned
        ).SerializeToString()
    return documents


def _layer_classes(metadata: Mapping[int, Mapping[str, Any]]) -> dict[str, str]:
    """Return the classes of the layers that the stock loader creates, each with one layer's
    name.
    """
    layers = [found for found in metadata.values() if "trainable" in found]  # metrics are not
    return {found["class_name"]: str(found.get("name")) for found in layers}


def _without_functions(parts: SavedModelParts, pruned: PrunedGraph) -> Any:
    small = saved_model_message()
    meta_graph = small.meta_graphs.add()
    meta_graph.object_graph_def.CopyFrom(pruned.graph)
    meta_graph.meta_info_def.tensorflow_version = parts.tensorflow_version
    meta_graph.meta_info_def.tensorflow_git_version = parts.tensorflow_git_version
    return small


def _renumbered(messages: Any, pruned: PrunedGraph) -> Any:
    """Return the metadata of the remaining nodes, under their new ids."""
    left = type(messages)()
    for node in messages.nodes:
        if node.node_id in pruned.new_ids:
            left.nodes.add().CopyFrom(node)
            left.nodes[-1].node_id = pruned.new_ids[node.node_id]
    return left


def names_in(metadata: Mapping[int, Mapping[str, Any]]) -> dict[str, str]:
    """Return the names of classes and functions in *metadata*, each with a layer that uses it."""
    names: dict[str, str] = {}
    for node in metadata.values():
        names = object_names(node, user=str(node.get("name", "the model"))) | names
    return names
