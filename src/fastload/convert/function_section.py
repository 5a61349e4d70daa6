"""What `load_saved_model` needs: the whole object graph, functions, variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fastload.convert.conversion import Section
from fastload.convert.keras_section import METADATA_FILE, saved_config
from fastload.convert.object_graph import CheckpointKeys, checkpoint_keys, require_same_objects
from fastload.convert.signature_specs import signature_specs
from fastload.errors import UnconvertibleModelError
from fastload.runtime.core.tensorflow import Checkpoint, parse_object_graph
from fastload.runtime.saved_model.object_paths import captured, paths
from fastload.signature import Signature
from fastload.source.detect import ModelSource
from fastload.source.saved_model_parts import read_functions, read_saved_model
from fastload.twin.format import (
    FUNCTION_INDEX,
    FUNCTIONS,
    OTHER_STATE,
    SAVED_METADATA,
    SAVED_OBJECTS,
    SAVED_VARIABLES,
    SIGNATURE_NODES,
    SIGNATURES,
    WeightSpec,
)

_SIGNATURES: Final = "root.signatures"
#: Kinds of objects that can be created alone, before all others.
_CAPTURED_KINDS: Final = frozenset({"variable", "constant", "asset"})
#: The loader renames the entries of this file after functions, which would all have to be created.
DEBUG_INFO: Final = "debug/saved_model_debug_info.pb"


def function_section(
    source: ModelSource, graph: Any, checkpoint: Checkpoint, known: Mapping[str, WeightSpec]
) -> Section:
    """Return the section that TensorFlow's own loader is run over.

    Args:
        source: the SavedModel.
        graph: its object graph.
        checkpoint: its weights.
        known: weights of the twin's other section, by checkpoint key.

    Raises:
        UnconvertibleModelError: it lacks variables, or keeps debugging information.
    """
    if (source.path / DEBUG_INFO).exists():
        raise UnconvertibleModelError("the SavedModel holds debugging information")
    require_same_objects(graph, checkpoint.object_graph())
    found = checkpoint_keys(graph, checkpoint.object_graph())
    keys = _variable_keys(graph, found)
    weights = {key: known.get(key) or _spec(key, checkpoint) for key in keys.values()}
    functions = read_functions(source.path / "saved_model.pb", _constants(graph))
    names = {node: weights[key].name for node, key in keys.items()}
    described = signature_specs(graph, saved_config(source.path, graph))
    signatures = {name: signature.to_json() for name, signature in described.items()}
    return Section(
        documents={
            SAVED_OBJECTS: functions.objects,
            SAVED_METADATA: _metadata(source.path),
            FUNCTIONS: functions.library,
            FUNCTION_INDEX: json.dumps(functions.functions).encode(),
            SAVED_VARIABLES: json.dumps(names).encode(),
            SIGNATURES: json.dumps(signatures).encode(),
            SIGNATURE_NODES: json.dumps({} if found.other else _signature_nodes(graph)).encode(),
            **(
                {OTHER_STATE: json.dumps(list(found.other.values())).encode()}
                if found.other
                else {}
            ),
        },
        weights=weights,
    )


def saved_signatures(folder: Path) -> dict[str, Signature]:
    """Return the signatures of the SavedModel at *folder* by name.

    Raises:
        UnconvertibleModelError: it is damaged, or TensorFlow 2 did not write it.
    """
    graph = parse_object_graph(read_saved_model(folder / "saved_model.pb").object_graph)
    return signature_specs(graph, saved_config(folder, graph))


def _metadata(folder: Path) -> bytes:
    path = folder / METADATA_FILE
    return path.read_bytes() if path.exists() else b""


def _variable_keys(graph: Any, keys: CheckpointKeys) -> Mapping[int, str]:
    variables = {n for n, node in enumerate(graph.nodes) if node.WhichOneof("kind") == "variable"}
    if missing := variables - keys.variables.keys():
        raise UnconvertibleModelError(
            f"the checkpoint lacks {len(missing)} of {len(variables)} variables"
        )
    if others := keys.variables.keys() - variables:
        reason = f"node {min(others)}, which is not a variable, has the value of one"
        raise UnconvertibleModelError(f"saved_model.pb is damaged: {reason}")
    return keys.variables


def _spec(key: str, checkpoint: Checkpoint) -> WeightSpec:
    name = f"variables/{key.replace('/.', '.')}"
    return WeightSpec(name=name, dtype=checkpoint.dtype(key), shape=checkpoint.shape(key))


def _constants(graph: Any) -> frozenset[str]:
    """Return the nodes of the main graph whose values are objects of the graph."""
    kinds = (node for node in graph.nodes if node.WhichOneof("kind") == "constant")
    return frozenset(node.constant.operation for node in kinds)


def _signature_nodes(graph: Any) -> dict[str, int]:
    """Return the nodes that a load creates at once, by path from the root; none if it creates all.

    They are the signatures, their captures, and every variable: one created later might be created
    under another device or distribution strategy. All objects are created at once where a load has
    side effects: it fills tables, and optimizers create their slots.
    """
    kinds = [node.WhichOneof("kind") for node in graph.nodes]
    root = graph.nodes[0]
    has_slots = any(node.slot_variables for node in graph.nodes)
    if "resource" in kinds or has_slots or root.registered_name or _has_dotted_names(graph):
        return {}
    found = paths(graph)
    functions = [node for node, path in found.items() if path.startswith(f"{_SIGNATURES}.")]
    needed = captured(graph, functions)
    if not all(kinds[node] in _CAPTURED_KINDS and node in found for node in needed):
        return {}
    needed |= {node for node, kind in enumerate(kinds) if kind == "variable" and node in found}
    signatures = [node for node, path in found.items() if path == _SIGNATURES]
    return {found[node]: node for node in (*signatures, *functions, *sorted(needed))}


def _has_dotted_names(graph: Any) -> bool:
    """Say whether two nodes may have the same path."""
    return any("." in child.local_name for node in graph.nodes for child in node.children)
