"""The weights of a Keras 2 SavedModel, assigned to the Keras 3 model by their path in its
objects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastload.errors import MigrationError
from fastload.keras2to3.rules.weight_names import NAMES, from_cudnn, scale_factors
from fastload.runtime.core.tensorflow import Checkpoint

_CHILD_LAYER: Final = re.compile(r"layer-\d+$")
#: Children besides a layer's own parts: functions, lists of objects that are elsewhere, training
#: state.
_NOT_PARTS: Final = re.compile(
    r"keras_api|variables|trainable_variables|non_trainable_variables|regularization_losses"
    r"|layer_with_weights-\d+|layers|keras_metrics|compiled_metrics|compiled_loss|loss|metrics"
    r"|optimizer|signatures|_random_generator|_rng|rng|_?callable_losses|_self_saveable.*"
    r"|_build_input_shape|_metrics|input_spec|_build_shapes_dict"
)


def is_part(name: str) -> bool:
    """Say whether the child *name* of an object is a part of it that may have weights."""
    return not _NOT_PARTS.fullmatch(name)


#: State of lookup layers, which were created with their tables filled.
_TABLE_STATE: Final = frozenset({"idf_weights", "num_documents"})
_MISSING: Final = object()

#: Returns the variables of a layer with their nodes, or None.
OwnWeights = Callable[[Any], Iterable[tuple[int, Any]] | None]


class OtherShapeError(ValueError):
    """A weight is of another shape than its configuration says, which ends a migration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedVariables:
    """The variables of a SavedModel's checkpoint, by node of the object graph.

    Attributes:
        keys: checkpoint keys by node id.
        checkpoint: the checkpoint.
    """

    keys: Mapping[int, str]
    checkpoint: Checkpoint

    def __contains__(self, node: int) -> bool:
        return node in self.keys

    def shape(self, node: int) -> tuple[int, ...] | None:
        """Return the shape of the variable at *node*; None if it has no value."""
        return self.checkpoint.shape(self.keys[node]) if node in self else None

    def read(self, node: int) -> Any:
        """Return the value of the variable at *node*."""
        return self.checkpoint.read(self.keys[node])


class WeightAssignment:
    """Assigns the variables of an object graph to a model, each exactly once.

    Args:
        graph: the `SavedObjectGraph` message.
        layer_names: the name of each Keras layer by node id.
        saved: the variables of the checkpoint.
        own: returns the variables of a layer that has them in an order of its own, each with its
            node; None for all others.
    """

    def __init__(
        self,
        graph: Any,
        layer_names: Mapping[int, str],
        saved: SavedVariables,
        own: OwnWeights = lambda layer: None,
    ) -> None:
        self._own = own
        self._graph = graph
        self._layer_names = layer_names
        self._saved = saved
        self._assigned: dict[int, Any] = {}
        self._ignored: set[int] = set()

    def assign(self, model: Any, configs: Mapping[str, Mapping[str, Any]]) -> int:
        """Assign the weights to *model*, and return how many there were.

        Args:
            model: the Keras 3 model.
            configs: each layer's configuration in Keras 2, by its name.

        Raises:
            MigrationError: the model lacks a variable for a weight, or the file a weight.
        """
        self._configs = configs
        self._seen = {0}
        self._enter(0, model, {}, "the model")
        self._require_all(model)
        finish(model)
        return len(self._assigned)

    def variable_of(self, node: int) -> Any:
        """Return the variable that was assigned the value of *node*, or None."""
        return self._assigned.get(node)

    def _enter(self, node: int, thing: Any, config: Mapping[str, Any], path: str) -> None:
        if (own := self._own(thing)) is not None:
            self._assign_own(own, path)
            return
        config = self._configs.get(getattr(thing, "name", ""), config)
        for name, child in self._children(node):
            where = f"{path}/{name}"
            if self._graph.nodes[child].WhichOneof("kind") == "variable":
                self._assign(child, thing, name, config, where)
            elif child not in self._seen and self._leads_to_variables(child):
                self._seen.add(child)
                part = self._part(thing, name, child)
                if part is _MISSING:
                    raise MigrationError(where, "the Keras 3 model has no such part")
                self._enter(child, part, config, where)

    def _assign_own(self, own: Iterable[tuple[int, Any]], path: str) -> None:
        for node, variable in own:
            if self._assigned.setdefault(node, variable) is not variable:
                name = self._graph.nodes[node].variable.name
                raise MigrationError(path, f"it shares the weight {name!r} with another layer")
            put(variable, self._saved.read(node), {}, path)

    def _children(self, node: int) -> Iterator[tuple[str, int]]:
        for child in self._graph.nodes[node].children:
            if is_part(child.local_name):
                yield child.local_name, child.node_id

    def _leads_to_variables(self, node: int) -> bool:
        waiting, seen = [node], {node}
        for each in waiting:  # grows while it is walked
            for _, child in self._children(each):
                kind = self._graph.nodes[child].WhichOneof("kind")
                if kind == "variable":
                    return True
                if kind == "user_object" and child not in seen:
                    seen.add(child)
                    waiting.append(child)
        return False

    def _part(self, thing: Any, name: str, node: int) -> Any:
        if _CHILD_LAYER.match(name) and hasattr(thing, "layers"):
            wanted = self._layer_names.get(node)
            found = (layer for layer in thing.layers if layer.name == wanted)
            return next(found, _MISSING)
        return _attribute(thing, name)

    def _assign(
        self, node: int, thing: Any, name: str, config: Mapping[str, Any], where: str
    ) -> None:
        if node in self._assigned or node in self._ignored:
            return
        own_name = NAMES.get((type(thing).__name__, name), name)
        if own_name is None or own_name in _TABLE_STATE:
            self._ignored.add(node)
            return
        variable = _attribute(thing, own_name)
        if not hasattr(variable, "assign"):
            raise MigrationError(where, "the Keras 3 model has no such weight")
        put(variable, self._saved.read(node), config, where)
        self._assigned[node] = variable

    def _require_all(self, model: Any) -> None:
        given = {id(variable) for variable in self._assigned.values()}
        for weight in model.weights:
            if id(weight) not in given and "seed_generator" not in weight.path:
                raise MigrationError(f"weight {weight.path!r}", "the file has no value for it")
        self._require_no_states()
        lost = self._variables_below(0) - self._assigned.keys() - self._ignored
        if lost:
            name = self._graph.nodes[min(lost)].variable.name
            raise MigrationError(f"weight {name!r}", "the Keras 3 model has no place for it")

    def _require_no_states(self) -> None:
        """Check that the states of recurrent layers are zeros: archives of Keras 3 hold none."""
        for node, layer in self._states():
            is_lost = node in self._saved and node not in self._assigned
            if is_lost and self._saved.read(node).any():
                reason = "it was saved with a state, and archives of Keras 3 hold none"
                raise MigrationError(f"layer {layer!r}", reason)

    def _states(self) -> Iterator[tuple[int, str]]:
        """Yield the nodes of states, each with the name of its layer."""
        for node, name in self._layer_names.items():
            for owner in self._graph.nodes[node].children:
                if owner.local_name == "keras_api":
                    for child in self._graph.nodes[owner.node_id].children:
                        if child.local_name == "states":
                            states = self._variables_below(child.node_id)
                            yield from ((each, name) for each in states)

    def _variables_below(self, first: int) -> set[int]:
        """Return the variables that are reached from the node *first*, by whatever way."""
        waiting, found = [first], {first}
        for node in waiting:  # grows while it is walked
            for _, child in self._children(node):
                if child not in found:
                    found.add(child)
                    waiting.append(child)
        return {n for n in found if self._graph.nodes[n].WhichOneof("kind") == "variable"}


def finish(model: Any) -> None:
    """Update what layers derive from their weights."""
    for layer in model._flatten_layers():
        if type(layer).__name__ == "Normalization":
            layer.finalize_state()


def put(variable: Any, value: Any, config: Mapping[str, Any], where: str) -> None:
    """Assign *value*, in Keras 3's form.

    Args:
        variable: the variable of the Keras 3 model.
        value: its value in Keras 2.
        config: the layer's configuration in Keras 2, with its `class_name`.
        where: its name for the error message.

    Raises:
        MigrationError: the shapes differ; an `OtherShapeError` is its cause.
    """
    kind = str(config.get("class_name", ""))
    if kind.startswith("CuDNN"):
        is_recurrent = variable.name == "recurrent_kernel"
        value = from_cudnn(kind, value, is_recurrent=is_recurrent)
        kind = kind.removeprefix("CuDNN")
    if tuple(variable.shape) != value.shape:
        shapes = f"{list(value.shape)} in the file, {list(variable.shape)} in Keras 3"
        raise MigrationError(where, f"its shapes differ: {shapes}") from OtherShapeError(shapes)
    factors = scale_factors(kind, config, value.shape[-1]) if value.ndim else None
    variable.assign(value if factors is None else (value * factors).astype(value.dtype))


def _attribute(thing: Any, name: str) -> Any:
    if isinstance(thing, (list, tuple)):
        return thing[int(name)] if name.isdigit() and int(name) < len(thing) else _MISSING
    if isinstance(thing, Mapping):
        return thing.get(name, _MISSING)
    for each in (name, f"_{name}", name.lstrip("_")):
        found = getattr(thing, each, None)
        if found is not None:
            return found
    return _MISSING
