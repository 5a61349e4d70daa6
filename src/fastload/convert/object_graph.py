"""The part of a SavedModel's object graph that a rebuild needs: Keras objects and variables.

A Keras 2 SavedModel stores several traced functions for every layer; the stock loader spends nearly
all of its time on them (695 in ResNet50). The layers are described by the Keras metadata, and their
weights are in the checkpoint: the functions are dropped here, and the stock loader is later run
over the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastload.errors import UnconvertibleModelError
from fastload.lean_dataclass import dataclass
from fastload.runtime.saved_model.object_paths import (
    KERAS_API,
    LIVE_KERAS_API,
    REGULARIZATION_LOSSES,
    children,
)

#: Kinds of nodes that serve functions only.
_FUNCTION_KINDS: Final = frozenset({"function", "bare_concrete_function", "captured_tensor"})
#: Lists that Keras stores beside the layers for other loaders; its own ignores them.
_ENDPOINT_LISTS: Final = frozenset({"variables", "trainable_variables", "regularization_losses"})
#: Made on first access of the functions of the twin; see `runtime.saved_model.model_signatures`.
_SIGNATURES: Final = "signatures"
#: The function that fills a hash table; the contents are constants of that function, and not always
#: in the config as well.
_FILL: Final = "_initialize"
_VARIABLE_VALUE: Final = "VARIABLE_VALUE"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedGraph:
    """An object graph without functions.

    Attributes:
        graph: a `SavedObjectGraph` message; node 0 is the root.
        new_ids: new node id by old node id, for the remaining nodes.
    """

    graph: Any
    new_ids: Mapping[int, int]


def prune(graph: Any, keras_nodes: frozenset[int], networks: frozenset[int]) -> PrunedGraph:
    """Return *graph* without functions and without what only functions use.

    Args:
        graph: a `SavedObjectGraph` message.
        keras_nodes: ids of the nodes that Keras metadata describes.
        networks: those of them that are functional or sequential models.

    Raises:
        UnconvertibleModelError: a network keeps losses that only functions hold.
    """
    for node in networks:
        _require_no_own_losses(graph, node)
    order, edges = _reachable(graph, keras_nodes)
    new_ids = {old: new for new, old in enumerate(order)}
    pruned = type(graph)()
    for old in order:
        _copy_node(pruned.nodes.add(), graph.nodes[old], edges[old], new_ids)
    return PrunedGraph(graph=pruned, new_ids=new_ids)


def _reachable(
    graph: Any, keras: frozenset[int]
) -> tuple[list[int], dict[int, list[tuple[str, int]]]]:
    order: list[int] = [0]
    apis = {children(graph, node).get(KERAS_API) for node in keras}
    edges: dict[int, list[tuple[str, int]]] = {}
    seen = {0}
    for node in order:  # grows while it is walked
        edges[node] = list(_kept_children(graph, node, keras, apis))
        slots = [slot.slot_variable_node_id for slot in graph.nodes[node].slot_variables]
        for child in (*(child for _, child in edges[node]), *slots):
            if child not in seen:
                seen.add(child)
                order.append(child)
    return order, edges


def _kept_children(
    graph: Any, node: int, keras: frozenset[int], apis: set[int | None]
) -> Iterator[tuple[str, int]]:
    for child in graph.nodes[node].children:
        name, kind = child.local_name, graph.nodes[child.node_id].WhichOneof("kind")
        if name == _FILL and kind in _FUNCTION_KINDS:
            raise UnconvertibleModelError(
                "a lookup table is filled by a function of the SavedModel"
            )
        if kind in _FUNCTION_KINDS or (node == 0 and name == _SIGNATURES):
            continue
        if node in apis and name not in LIVE_KERAS_API:
            continue
        if node in keras and name in _ENDPOINT_LISTS:
            continue
        if node not in keras or name != KERAS_API or _is_live(graph, child.node_id):
            yield name, child.node_id


def _require_no_own_losses(graph: Any, network: int) -> None:
    keras_api = children(graph, network).get(KERAS_API)
    losses = None if keras_api is None else children(graph, keras_api).get(REGULARIZATION_LOSSES)
    if losses is not None and graph.nodes[losses].children:
        raise UnconvertibleModelError(
            "the model has losses that exist only as functions of the SavedModel"
        )


def _is_live(graph: Any, keras_api: int) -> bool:
    found = children(graph, keras_api)
    return any(graph.nodes[found[name]].children for name in LIVE_KERAS_API & found.keys())


def _copy_node(
    target: Any, node: Any, edges: list[tuple[str, int]], new_ids: Mapping[int, int]
) -> None:
    target.CopyFrom(node)
    for field in ("children", "dependencies", "saveable_objects", "slot_variables"):
        target.ClearField(field)
    for name, child in edges:
        target.children.add(local_name=name, node_id=new_ids[child])
    for slot in node.slot_variables:
        if slot.slot_variable_node_id in new_ids and slot.original_variable_node_id in new_ids:
            target.slot_variables.add(
                slot_name=slot.slot_name,
                slot_variable_node_id=new_ids[slot.slot_variable_node_id],
                original_variable_node_id=new_ids[slot.original_variable_node_id],
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointKeys:
    """Where the checkpoint keeps the state of the nodes of an object graph.

    Attributes:
        variables: checkpoint key by node id.
        other: checkpoint keys of state that is not a variable (hash tables, iterators), by node id.
    """

    variables: Mapping[int, str]
    other: Mapping[int, str]


def checkpoint_keys(graph: Any, checkpoint: Any) -> CheckpointKeys:
    """Match *graph* with *checkpoint* from the root down by the names of children, as TensorFlow
    does.

    Args:
        graph: a `SavedObjectGraph` message.
        checkpoint: the `TrackableObjectGraph` message of the checkpoint beside it.
    """
    variables: dict[int, str] = {}
    other: dict[int, str] = {}
    pairs = dict(_matched(graph, checkpoint))
    for node, saved in (*pairs.items(), *_matched_slots(graph, checkpoint, pairs)):
        for attribute in checkpoint.nodes[saved].attributes:
            if attribute.name == _VARIABLE_VALUE:
                variables[node] = attribute.checkpoint_key
            else:
                other[node] = attribute.checkpoint_key
    return CheckpointKeys(variables=variables, other=other)


def require_same_objects(graph: Any, checkpoint: Any) -> None:
    """Check that *graph* has all children of objects that *checkpoint* has; arguments as above.

    A child without values may be left out: constants that functions capture are in the checkpoint
    alone.

    Raises:
        UnconvertibleModelError: it lacks some, and stock would miss values.
    """
    valued: frozenset[int] | None = None
    for node, saved in _matched(graph, checkpoint):
        found = children(checkpoint, saved)
        lacking = found.keys() - children(graph, node).keys()
        if lacking and valued is None:
            valued = _valued(checkpoint)
        if missed := sorted(name for name in lacking if found[name] in (valued or ())):
            reason = f"an object lacks {missed[0]!r}, which the checkpoint has"
            raise UnconvertibleModelError(f"saved_model.pb is damaged: {reason}")


def _valued(checkpoint: Any) -> frozenset[int]:
    """Return the nodes with values, and those that lead to one."""
    parents: dict[int, list[int]] = {}
    for number, node in enumerate(checkpoint.nodes):
        for child in node.children:
            parents.setdefault(child.node_id, []).append(number)
    waiting = [number for number, node in enumerate(checkpoint.nodes) if node.attributes]
    seen = set(waiting)
    for number in waiting:  # grows while it is walked
        new = [each for each in parents.get(number, ()) if each not in seen]
        seen.update(new)
        waiting += new
    return frozenset(seen)


def _matched(graph: Any, checkpoint: Any) -> Iterator[tuple[int, int]]:
    waiting, seen = [(0, 0)], {0}
    for node, saved in waiting:  # grows while it is walked
        yield node, saved
        found = children(checkpoint, saved)
        for name, child in children(graph, node).items():
            if name in found and child not in seen:
                seen.add(child)
                waiting.append((child, found[name]))


def _matched_slots(
    graph: Any, checkpoint: Any, pairs: Mapping[int, int]
) -> Iterator[tuple[int, int]]:
    """Match the slot variables of optimizers, which are no node's children."""
    for node, saved in pairs.items():
        slots = {
            (slot.slot_name, slot.original_variable_node_id): slot.slot_variable_node_id
            for slot in checkpoint.nodes[saved].slot_variables
        }
        for slot in graph.nodes[node].slot_variables:
            key = (slot.slot_name, pairs.get(slot.original_variable_node_id))
            if key in slots:
                yield slot.slot_variable_node_id, slots[key]
