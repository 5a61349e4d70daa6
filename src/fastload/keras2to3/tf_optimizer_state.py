"""The state of an optimizer of Keras 2 in that of a migrated model: whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fastload.keras2to3.tf_saved_model_weights import SavedVariables, WeightAssignment
from fastload.runtime.saved_model.object_paths import children

#: Attributes of Keras 3 for the slots of optimizers of Keras 2.0 to 2.10: the first that there is.
_SLOTS: Final[Mapping[str, tuple[str, ...]]] = {
    "m": ("_momentums", "_m"),
    "v": ("_velocities", "_u"),
    "vhat": ("_velocity_hats",),
    "momentum": ("momentums", "_momentums"),
    "rms": ("_velocities",),
    "mg": ("_average_gradients",),
    "accumulator": ("_accumulators",),
    "linear": ("_linears",),
    "accum_grad": ("_accumulated_grads",),
    "accum_var": ("_accumulated_delta_vars",),
}
#: Attributes that optimizers of Keras 2.11 to 2.15 and of Keras 3 share: lists of variables.
_LISTS: Final = frozenset({name for names in _SLOTS.values() for name in names}) | {
    "_model_variables_moving_average",
    *("_r", "_c", "_v"),
}
#: The same: variables.
_SINGLE: Final = frozenset({"_u_product"})
_ITERATIONS: Final = frozenset({"iter", "_iterations", "iterations"})

#: A variable of Keras 3, and its value in the file.
_Found = tuple[Any, Any]


class OptimizerState:
    """The state of a Keras 2 optimizer in the object graph of a SavedModel.

    Args:
        graph: the `SavedObjectGraph` message.
        saved: the variables of the checkpoint.
        weights: the assignment of the model's weights.
    """

    def __init__(self, graph: Any, saved: SavedVariables, weights: WeightAssignment) -> None:
        self._graph, self._saved, self._weights = graph, saved, weights

    def assign_to(self, model: Any) -> str | None:
        """Assign the state to *model*'s optimizer; return why, if that is impossible."""
        node = children(self._graph, 0).get("optimizer")
        if node is None:
            return "the file has no optimizer"
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        if optimizer is not model.optimizer:
            return "the optimizer scales losses"
        steps = self._steps(node)
        found = {
            id(variable): (variable, value) for variable, value in self._found(node, optimizer)
        }
        if not steps and not found:  # it was never trained
            return None
        if (reason := _reason_against(steps, found, _states(optimizer))) is not None:
            return reason
        for variable, value in found.values():
            variable.assign(value)
        _counter(optimizer).assign(steps)
        return None

    def _steps(self, node: int) -> int | None:
        """Return for how many steps it was trained; None if the file does not say."""
        parts = children(self._graph, node)
        for name in sorted(_ITERATIONS & parts.keys()):
            if parts[name] in self._saved:
                return int(self._saved.read(parts[name]))
        return None

    def _found(self, node: int, optimizer: Any) -> Iterator[_Found]:
        """Yield the variables of *optimizer* that have a value in the file, with that."""
        places = {id(v): place for place, v in enumerate(optimizer._trainable_variables)}
        for slot in self._graph.nodes[node].slot_variables:
            kept = _first_of(optimizer, _SLOTS.get(slot.slot_name, ()))
            mine = self._weights.variable_of(slot.original_variable_node_id)
            yield from self._of_weight(kept, places.get(id(mine)), slot.slot_variable_node_id)
        for name, child in children(self._graph, node).items():
            if name in _SINGLE and hasattr(optimizer, name):
                yield from self._of_weight([getattr(optimizer, name)], 0, child)
            elif name in _LISTS:
                kept = _first_of(optimizer, (name, f"_{name}"))  # Lion's has the second one
                for mine, saved in self._slots(child):
                    yield from self._of_weight(kept, places.get(id(mine)), saved)

    def _of_weight(self, kept: Any, place: int | None, saved: int) -> Iterator[_Found]:
        if place is not None and place < len(kept) and saved in self._saved:
            yield kept[place], self._saved.read(saved)

    def _slots(self, node: int) -> Iterator[tuple[Any, int]]:
        """Yield each of the slots in the list at *node*, after the weight that it is of.

        The list has the order in which the program trained the weights, and none for a weight
        without a gradient; slots are named after their weights.
        """
        trained = self._members(children(self._graph, 0).get("trainable_variables"))
        slots = self._members(node)
        for place, slot in slots.items():
            by_name = self._weight_named_in(self._name(slot), trained.values())
            if by_name is None and len(slots) == len(trained):
                by_name = trained.get(place)
            if by_name is not None:
                yield self._weights.variable_of(by_name), slot

    def _weight_named_in(self, slot: str, trained: Iterable[int]) -> int | None:
        """Return the only weight whose name ends that of *slot*; of several names the longest."""
        ends = {n: len(self._name(n)) for n in trained if slot.endswith(f"/{self._name(n)}")}
        longest = [node for node, length in ends.items() if length == max(ends.values())]
        return longest[0] if len(longest) == 1 else None

    def _name(self, node: int) -> str:
        return str(self._graph.nodes[node].variable.name).partition(":")[0]

    def _members(self, node: int | None) -> dict[int, int]:
        named = {} if node is None else children(self._graph, node)
        return {int(name): child for name, child in named.items() if name.isdigit()}


def _first_of(optimizer: Any, names: Iterable[str]) -> Any:
    """Return the first list of variables that *optimizer* has under one of *names*."""
    return next(filter(None, (getattr(optimizer, name, None) for name in names)), [])


def _states(optimizer: Any) -> dict[int, Any]:
    """Return the variables of *optimizer* by id, without its counter and its learning rate."""
    others = (_counter(optimizer), optimizer._learning_rate)
    own = (v for v in optimizer.variables if not any(v is other for other in others))
    return {id(variable): variable for variable in own}


def _counter(optimizer: Any) -> Any:
    """Return the variable that counts steps; Keras 3.0 to 3.4 have it under its public name."""
    return getattr(optimizer, "_iterations" if hasattr(optimizer, "_iterations") else "iterations")


def _reason_against(
    steps: int | None, found: Mapping[int, _Found], expected: Mapping[int, Any]
) -> str | None:
    """Return why *found* is not the whole of the state that is *expected*; None if it is."""
    if steps is None:
        return "the file does not say for how many steps it was trained"
    if found.keys() != expected.keys():
        return f"{len(found)} of {len(expected)} variables of the state are in the file"
    if any(tuple(variable.shape) != value.shape for variable, value in found.values()):
        return "its variables have other shapes"
    return None
