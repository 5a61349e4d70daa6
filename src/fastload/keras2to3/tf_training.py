"""A migrated model, compiled as its original was, with the state of the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

#: Where Keras 3 keeps what the optimizers of Keras 2.0 to 2.10 called slots.
_SLOTS: Final = {
    "m": "_momentums",
    "v": "_velocities",
    "vhat": "_velocity_hats",
    "momentum": "momentums",
    "rms": "_velocities",
    "mg": "_average_gradients",
    "accumulator": "_accumulators",
    "linear": "_linears",
}
_ITERATIONS: Final = frozenset({"iter", "_iterations", "iterations"})
_PARTS: Final = ("optimizers", "optimizers.schedules", "losses", "metrics")


def compile_as(keras: Any, model: Any, training: Mapping[str, Any]) -> None:
    """Compile *model* as *training*, which `keras2to3.rules.training` returns, says.

    Raises:
        Exception: whatever Keras raises where it cannot be.
    """
    made = {key: _made(keras, value) for key, value in training.items()}
    names = list(getattr(model, "output_names", ("",)))  # a Sequential has one output
    for key in ("metrics", "weighted_metrics"):
        made[key] = _by_output(made[key], names)
    given = {key: value for key, value in made.items() if value is not None}
    model.compile(**given)
    if model.optimizer is not None:  # or a load of the twin would miss its variables
        model.optimizer.build(model.trainable_variables)


def _made(keras: Any, value: Any) -> Any:
    if isinstance(value, Mapping) and "class_name" in value:
        return keras.saving.deserialize_keras_object(_named(keras, value))
    if isinstance(value, Mapping):
        return {key: _made(keras, each) for key, each in value.items()}
    return [_made(keras, each) for each in value] if isinstance(value, list) else value


def _named(keras: Any, value: Any) -> Any:
    """Return *value* with the module of each object in it."""
    if isinstance(value, list):
        return [_named(keras, each) for each in value]
    if not isinstance(value, Mapping):
        return value
    if "class_name" not in value:
        return {key: _named(keras, each) for key, each in value.items()}
    config = {key: _named(keras, each) for key, each in value["config"].items()}
    name = value["class_name"]
    module = next((f"keras.{part}" for part in _PARTS if _has(keras, part, name)), None)
    registered = None if module else name
    return {
        "class_name": name,
        "config": config,
        "module": module,
        "registered_name": registered,
    }


def _has(keras: Any, part: str, name: str) -> bool:
    found = keras
    for each in part.split("."):
        found = getattr(found, each)
    return hasattr(found, name)


def _by_output(metrics: Any, names: list[str]) -> Any:
    """Return metrics without the names of outputs before theirs: Keras 3 adds them itself."""
    if not isinstance(metrics, list) or not metrics or not isinstance(metrics[0], list):
        return metrics
    if len(names) == 1:
        return metrics[0]
    for name, own in zip(names, metrics, strict=False):
        for metric in own:
            if hasattr(metric, "name") and metric.name.startswith(f"{name}_"):
                metric.name = metric.name.removeprefix(f"{name}_")
    return metrics


class OptimizerState:
    """The state of a Keras 2 optimizer in the object graph of a SavedModel.

    Args:
        graph: the `SavedObjectGraph` message.
        keys: nodes of variables that the checkpoint has.
        read: returns the value of the variable at a node.
        variable_of: returns the Keras 3 variable that took the value of a node, or None.
    """

    def __init__(
        self,
        graph: Any,
        keys: Mapping[int, str],
        read: Callable[[int], Any],
        variable_of: Callable[[int], Any],
    ) -> None:
        self._graph = graph
        self._keys = keys
        self._read = read
        self._variable_of = variable_of

    def give(self, model: Any) -> str | None:
        """Give *model*'s optimizer the state, and return why not where that is not possible."""
        node = self._children(0).get("optimizer")
        if node is None:
            return "the file has none"
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        if optimizer is not model.optimizer:
            return "the optimizer scales losses"
        found = dict(self._slots(node, optimizer))
        self._count(node, optimizer)
        if not found:  # it was never trained, or needs none
            return None
        expected = _states(optimizer)
        if found.keys() != expected.keys():
            return f"{len(found)} of {len(expected)} variables of it are in the file"
        for variable, value in found.values():
            if tuple(variable.shape) != value.shape:
                return "its variables have other shapes"
        for variable, value in found.values():
            variable.assign(value)
        return None

    def _count(self, node: int, optimizer: Any) -> None:
        for name, child in self._children(node).items():
            if name in _ITERATIONS and child in self._keys:
                optimizer.iterations.assign(int(self._read(child)))

    def _slots(self, node: int, optimizer: Any) -> Any:
        """Yield id of each variable of *optimizer* that has a value, with both."""
        places = {id(v): i for i, v in enumerate(optimizer._trainable_variables)}
        for slot in self._graph.nodes[node].slot_variables:
            mine = self._variable_of(slot.original_variable_node_id)
            kept = getattr(optimizer, _SLOTS.get(slot.slot_name, ""), None)
            place = places.get(id(mine))
            if kept and place is not None and slot.slot_variable_node_id in self._keys:
                yield id(kept[place]), (kept[place], self._read(slot.slot_variable_node_id))
        trained = self._listed("trainable_variables", 0)
        for name, child in self._children(node).items():
            kept = getattr(optimizer, name, None)
            if isinstance(kept, list) and name in _SLOTS.values():
                for place, saved in self._members(child).items():
                    mine = places.get(id(self._variable_of(trained.get(place, -1))))
                    if mine is not None and mine < len(kept) and saved in self._keys:
                        yield id(kept[mine]), (kept[mine], self._read(saved))

    def _listed(self, name: str, node: int) -> dict[int, int]:
        child = self._children(node).get(name)
        return {} if child is None else self._members(child)

    def _members(self, node: int) -> dict[int, int]:
        return {int(n): child for n, child in self._children(node).items() if n.isdigit()}

    def _children(self, node: int) -> dict[str, int]:
        return {child.local_name: child.node_id for child in self._graph.nodes[node].children}


def _states(optimizer: Any) -> dict[int, Any]:
    """Return the variables of *optimizer* besides its counters, each once."""
    lists = (getattr(optimizer, name, None) or [] for name in set(_SLOTS.values()))
    return {id(variable): variable for kept in lists for variable in kept}
