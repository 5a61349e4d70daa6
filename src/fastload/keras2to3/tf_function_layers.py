"""Keras 3 layers of a SavedModel's functions, for layers whose class Keras 3 lacks."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from fastload.errors import MigrationError
from fastload.keras2to3.keras_saved_model import KerasSavedModel
from fastload.keras2to3.rules.rule import Record
from fastload.keras2to3.rules.untrusted import bytecode_in
from fastload.keras2to3.tf_saved_model_weights import is_part
from fastload.runtime.core.keras import TENSORFLOW
from fastload.runtime.core.tensorflow import parse_saved_model, tensorflow
from fastload.runtime.requirements import OBJECTS
from fastload.runtime.saved_model.cut_functions import Cut, CutError
from fastload.runtime.saved_model.object_paths import KERAS_API, children

#: Where Keras 2 keeps the function of a layer that returns its outputs and losses.
_SAVED_CALL: Final = "call_and_return_conditional_losses"
_SAVED_ACTIVITY: Final = "activity_regularizer_fn"
_SAVED_LOSSES: Final = "regularization_losses"
#: Names that functions get, as in `runtime.keras3.saved_function_layer`.
CALL: Final = "call"
ACTIVITY: Final = "activity_regularizer"
_LOSS: Final = "loss_"
_WITHOUT: Final = "its function cannot stand for it: "


class FunctionLayers:
    """Makes Keras 3 layers of the functions of a SavedModel.

    Args:
        source: the SavedModel.
        backend: of Keras 3.
        record: where each layer that is made is noted.
        passes_masks: whether the layers pass on the masks of their inputs.
    """

    def __init__(
        self,
        source: KerasSavedModel,
        backend: str,
        record: Record,
        *,
        passes_masks: bool = False,
    ) -> None:
        self._source, self._passes_masks = source, passes_masks
        self._backend, self._record = backend, record
        self._nodes: dict[int, tuple[Any, list[int]]] = {}

    def layer(self, node: int, found: Mapping[str, Any] | None = None) -> Any:
        """Return a layer of the functions of the one at *node*, with its initial weights.

        Args:
            node: in the object graph.
            found: what is known of it, if that is not what Keras says.

        Raises:
            MigrationError: the functions cannot be had.
        """
        found = self._source.metadata[node] if found is None else found
        owner = f"layer {found['name']!r} of class {found['class_name']}"
        if self._backend != TENSORFLOW:
            reason = f"its functions are TensorFlow's, and Keras runs on {self._backend}"
            raise MigrationError(owner, f"{_WITHOUT}{reason}")
        try:
            layer, variables = self._made(node, found)
        except CutError as error:
            raise MigrationError(owner, f"{_WITHOUT}{error}") from error
        self._nodes[id(layer)] = layer, variables
        self._record.functions[str(found["name"])] = str(found["class_name"])
        if _is_constrained(found.get("config")):
            self._record.left_out["constraints"] = f"the file has none for the weights of {owner}"
        return layer

    def stands_for(self, layer: Any, model: Any) -> None:
        """Have the weights of *layer* be those of *model*."""
        self._nodes[id(model)] = layer, self._nodes[id(layer)][1]

    def weights_of(self, layer: Any) -> Iterable[tuple[int, Any]] | None:
        """Return the variables of *layer* with the nodes of their values; None if it has others."""
        if id(layer) not in self._nodes:
            return None
        made, nodes = self._nodes[id(layer)]
        return zip(nodes, made.saved_weights, strict=True)

    @functools.cached_property
    def _meta_graph(self) -> Any:
        content = (self._source.path / "saved_model.pb").read_bytes()
        return parse_saved_model(content).meta_graphs[0]

    def _made(self, node: int, found: Mapping[str, Any]) -> tuple[Any, list[int]]:
        from fastload.runtime.keras3.saved_function_layer import SavedFunctionLayer, SavedFunctions

        graph = self._meta_graph.object_graph_def
        saved = _SavedLayer(graph, node, found, passes_masks=self._passes_masks)
        cut = Cut(self._meta_graph, saved.functions)
        variables = saved.variables(cut.variables)
        shapes = {node: self._shape(node) for node in variables}
        functions = SavedFunctions(cut.message(variables))
        layer = SavedFunctionLayer(**saved.arguments(shapes, functions.digest))
        return layer.with_functions(functions.content), variables

    def _shape(self, node: int) -> tuple[int, ...]:
        """Return the shape of the value that the file has for a variable: a graph names any.

        Raises:
            CutError: it has none, or one of another shape.
        """
        variable = self._meta_graph.object_graph_def.nodes[node].variable
        shape = self._source.saved.shape(node)
        declared = tensorflow().TensorShape(variable.shape)
        if shape is None or not declared.is_compatible_with(shape):
            raise CutError(f"the file has no such value for the weight {variable.name!r}")
        return shape


class _SavedLayer:
    """What an object graph says of one layer."""

    def __init__(
        self, graph: Any, node: int, found: Mapping[str, Any], *, passes_masks: bool
    ) -> None:
        self._graph, self._node, self._found = graph, node, found
        self._passes_masks = passes_masks
        parts = children(graph, node)
        self._parts = {**parts, **children(graph, parts.get(KERAS_API, node))}

    @property
    def functions(self) -> dict[str, int]:
        """Ids of its functions by the names that a `SavedFunctionLayer` knows.

        Raises:
            CutError: it has none.
        """
        call = self._parts.get(_SAVED_CALL)
        if call is None or not self._is_made(call):
            raise CutError("the file does not have the function of this layer")
        found = {CALL: call}
        if (activity := self._parts.get(_SAVED_ACTIVITY)) is not None and self._is_made(activity):
            found[ACTIVITY] = activity
        losses = [each for each in self._listed(_SAVED_LOSSES) if self._is_made(each)]
        return found | {f"{_LOSS}{place}": each for place, each in enumerate(losses)}

    def _is_made(self, node: int) -> bool:
        return bool(self._graph.nodes[node].function.concrete_functions)

    def _listed(self, name: str) -> list[int]:
        if name not in self._parts:
            return []
        listed = children(self._graph, self._parts[name])
        return [listed[place] for place in sorted(listed, key=int)]

    def variables(self, captured: Iterable[int]) -> list[int]:
        """Return the nodes of its weights, in the order that Keras 2 had.

        Raises:
            CutError: its functions capture another's.
        """
        own = dict.fromkeys([*self._listed("variables"), *sorted(self._below(is_part))])
        # Of its metrics, which have no part in its weights: a call may count in them.
        counted = self._below(lambda name: True).intersection(captured)
        own |= dict.fromkeys(sorted(counted))
        if others := [node for node in captured if node not in own]:
            name = self._graph.nodes[others[0]].variable.name
            raise CutError(f"it shares the weight {name!r} with another layer")
        return list(own)

    def _below(self, is_followed: Callable[[str], bool]) -> set[int]:
        """Return the variables that the layer leads to by children of such names."""
        waiting, seen = [self._node], {self._node}
        for node in waiting:  # grows while it is walked
            for child in self._graph.nodes[node].children:
                if is_followed(child.local_name) and child.node_id not in seen:
                    seen.add(child.node_id)
                    waiting.append(child.node_id)
        return {n for n in seen if self._graph.nodes[n].WhichOneof("kind") == "variable"}

    def arguments(self, shapes: Mapping[int, Sequence[int]], digest: str) -> dict[str, Any]:
        """Return the arguments of a `SavedFunctionLayer`.

        Args:
            shapes: of its weights, by node.
            digest: of its functions.
        """
        found, functions, variables = self._found, self.functions, list(shapes)
        places = {name: self._place(node, variables) for name, node in functions.items()}
        config = found.get("config")
        is_told = config is not None and bytecode_in({**found, "config": config}) is None
        saved = {
            "class": found["class_name"],
            "config": json.dumps(config) if is_told else None,
            "weights": _distinct([self._spec(*each) for each in shapes.items()]),
            "arguments": self._names_of_arguments(functions[CALL]),
            "takes": self._form_of_first(functions[CALL]),
            "losses": {
                name: place
                for name, place in places.items()
                if name.startswith(_LOSS) and place is not None
            },
            "penalizes_outputs": ACTIVITY in functions,
            "passes_masks": self._passes_masks,
            "autocast": found.get("autocast", True),
            "digest": digest,
        }
        return {
            "saved": saved,
            "name": found["name"],
            "trainable": found.get("trainable", True),
            "dtype": _policy(found.get("dtype")),
        }

    def _spec(self, node: int, shape: Sequence[int]) -> dict[str, Any]:
        variable = self._graph.nodes[node].variable
        *scope, name = _path(variable.name, str(self._found["name"]))
        is_trained = variable.trainable
        if self._found.get("trainable", True) and "trainable_variables" in self._parts:
            is_trained = node in self._listed("trainable_variables")
        return {
            "name": name,
            "scope": scope,
            "shape": list(shape),
            "dtype": _dtype(variable.dtype),
            "trainable": is_trained,
        }

    def _place(self, node: int, variables: Sequence[int]) -> int | None:
        """Return the number of a weight that the loss at *node* reads."""
        names = self._graph.nodes[node].function.concrete_functions
        bound = [n for name in names for n in self._graph.concrete_functions[name].bound_inputs]
        return next((variables.index(each) for each in bound if each in variables), None)

    def _form_of_first(self, node: int) -> Any:
        """Return lists and tuples of the first argument, as a `SavedFunctionLayer` reads them."""
        name = self._graph.nodes[node].function.concrete_functions[0]
        arguments = self._graph.concrete_functions[name].canonicalized_input_signature.tuple_value
        positional = arguments.values[0].tuple_value.values if arguments.values else ()
        return _form(positional[0]) if positional else None

    def _names_of_arguments(self, node: int) -> list[str]:
        spec = OBJECTS.part("functions")._deserialize_function_spec_as_nonmethod(
            self._graph.nodes[node].function.function_spec
        )
        found = spec.fullargspec
        return [*found.args, *found.kwonlyargs]


def _is_constrained(config: Any) -> bool:
    """Say whether a configuration has constraints of weights, which no function holds."""
    if isinstance(config, list):
        return any(_is_constrained(each) for each in config)
    if not isinstance(config, Mapping):
        return False
    own = (each for key, each in config.items() if str(key).endswith("constraint"))
    return any(own) or any(_is_constrained(each) for each in config.values())


def _form(value: Any) -> Any:
    """Return the lists and tuples of a `StructuredValue`, with nothing in them."""
    if value.WhichOneof("kind") == "list_value":
        return [_form(each) for each in value.list_value.values]
    if value.WhichOneof("kind") == "tuple_value":
        return {"tuple": [_form(each) for each in value.tuple_value.values]}
    return None


def _path(name: str, layer: str) -> list[str]:
    """Return the parts of a variable's name below its layer's.

    Example:
        >>> _path("model/gate/inner/kernel", "gate")
        ['inner', 'kernel']
    """
    parts = [part for part in name.split("/") if part]
    if layer in parts[:-1]:
        parts = parts[parts.index(layer) + 1 :]
    return parts or ["variable"]


def _distinct(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return *specs*, of which no two have the same path."""
    seen: dict[tuple[str, ...], int] = {}
    for spec in specs:
        path = (*spec["scope"], spec["name"])
        count = seen[path] = seen.get(path, -1) + 1
        if count:
            spec["name"] = f"{spec['name']}_{count}"
    return specs


def _policy(dtype: Any) -> Any:
    """Return the name of a dtype policy, which Keras 2 wrote as a name or an object."""
    return dtype["config"].get("name") if isinstance(dtype, Mapping) else dtype


def _dtype(number: int) -> str:
    return str(tensorflow().dtypes.as_dtype(number).name)
