"""A Keras 3 model from a migrated configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from fastload.errors import MigrationError
from fastload.keras2to3.rules.configs import NODE, REFUSED
from fastload.keras2to3.rules.graph import (
    LayerCall,
    TensorRef,
    calls,
    ends,
    first_calls,
    is_network,
    is_sequential,
    layer_name,
)
from fastload.keras2to3.rules.operations import operation_of
from fastload.keras2to3.rules.rule import Record, owner
from fastload.keras2to3.tf_operations import Operations, Shape
from fastload.runtime.requirements import MIGRATION

#: Layers that call a TensorFlow function.
_FUNCTION_LAYERS: Final = frozenset({"TFOpLambda", "SlicingOpLambda"})
#: Layers that take their initial states in a list with their input.
_RECURRENT: Final = frozenset(
    {"LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Bidirectional"}
)
#: What Keras makes words bold with.
_COLOURS: Final = re.compile(r"\x1b\[\d+m")
_ALWAYS_TRAINS: Final = (
    "it is called with training=True, and Keras 3 calls a layer as it calls the model"
)
_NEVER_TRAINS: Final = (
    "it is called so, and in Keras 3 it trains with the model, unless it is frozen"
)
_PARTS: Final = ("layers", "initializers", "regularizers", "constraints", "losses", "metrics")
_MODELS: Final = frozenset({"Functional", "Model", "Network", "Sequential"})


class ModelBuilder:
    """Builds models from migrated configurations.

    Args:
        keras: Keras 3.
        objects: custom classes and functions by their names in configurations.
        record: learns what the model does otherwise in training.
        by_node: makes a layer of the functions of the node that a configuration names.
    """

    def __init__(
        self,
        keras: Any,
        objects: Mapping[str, Any],
        record: Record,
        by_node: Callable[[int], Any] | None = None,
    ) -> None:
        self._record = record
        self._by_node = by_node
        self._keras = keras
        self._objects = objects
        self._operations = Operations(keras)

    def build(self, item: Mapping[str, Any]) -> Any:
        """Return the model that *item* describes, with its initial weights.

        Raises:
            MigrationError: a layer cannot be created; the message says which and why.
        """
        # Keras 3.0 to 3.3 know this class, which recurrent layers have, by another name alone.
        own = {"Orthogonal": self._keras.initializers.Orthogonal}
        with self._keras.saving.custom_object_scope({**own, **self._objects}):
            return self._model(item)

    def _model(self, item: Mapping[str, Any]) -> Any:
        if is_network(item):
            return self._network(item)
        return self._sequential(item) if is_sequential(item) else self._layer(item)

    def _sequential(self, item: Mapping[str, Any]) -> Any:
        layers = [self._built(each) for each in item["config"]["layers"]]
        name = item["config"].get("name")
        try:
            model = self._keras.Sequential(layers, name=name)
        except Exception as error:
            raise MigrationError(owner(item), keras_message(error)) from error
        return _trainable(model, item["config"])

    def _network(self, item: Mapping[str, Any]) -> Any:
        config = item["config"]
        flatten = MIGRATION.part("tree").flatten
        graph = _Graph(self._built, self._operations, config["layers"], flatten, self._record)
        inputs, outputs = (
            _mapped(ends(config[key], graph.offsets), graph.tensor)
            for key in ("input_layers", "output_layers")
        )
        kind = self._model_class(item)
        try:
            model = kind(inputs=_single(inputs), outputs=_single(outputs), name=config.get("name"))
        except Exception as error:
            raise MigrationError(owner(item), keras_message(error)) from error
        return _trainable(model, config)

    def _model_class(self, item: Mapping[str, Any]) -> Any:
        name = item["class_name"]
        return self._keras.Model if name in _MODELS else self._class(item)

    def _built(self, item: Mapping[str, Any]) -> Any:
        if item["class_name"] in _FUNCTION_LAYERS and REFUSED not in item:
            return None
        if is_network(item) or is_sequential(item):
            return self._model(item)
        try:
            if REFUSED in item:
                raise item[REFUSED]
            return self._layer(item)
        except MigrationError as error:
            return self._of_functions(item, error)

    def _of_functions(self, item: Mapping[str, Any], refusal: MigrationError) -> Any:
        """Return a layer of the functions of the layer *item*.

        Raises:
            MigrationError: *refusal*, where a port of the layer is at hand, or no function is; with
                what is wrong with that.
        """
        if self._by_node is None or NODE not in item or self._is_ported(item):
            raise refusal
        try:
            return self._by_node(item[NODE])
        except MigrationError as error:
            raise MigrationError(refusal.owner, f"{refusal.reason}; {error.reason}") from error

    def _is_ported(self, item: Mapping[str, Any]) -> bool:
        name = item["class_name"]
        own = self._objects.keys() & {name, name.rpartition(">")[2]}
        return bool(own or self._registered(item))

    def _layer(self, item: Mapping[str, Any]) -> Any:
        self._class(item)
        whole = self._serialized({"class_name": item["class_name"], "config": item["config"]}, "")
        try:
            return self._keras.saving.deserialize_keras_object(whole)
        except MigrationError:
            raise
        except Exception as error:
            raise MigrationError(owner(item), keras_message(error)) from error

    def _class(self, item: Mapping[str, Any]) -> Any:
        """Return the class of a layer or model; custom classes come before Keras's own."""
        name = item["class_name"]
        bare = name.rpartition(">")[2]
        found = self._objects.get(name, self._objects.get(bare))
        found = found or self._keras.saving.get_registered_object(name)
        found = found or self._registered(item)
        found = found or (getattr(self._keras.layers, name, None))
        if found is None:
            raise MigrationError(
                owner(item), "Keras 3 has no such class; pass a port of it in custom_objects="
            )
        return found

    def _registered(self, item: Mapping[str, Any]) -> Any:
        name = item.get("registered_name") or ""
        return self._objects.get(name) or self._keras.saving.get_registered_object(name)

    def _serialized(self, value: Any, key: str) -> Any:
        """Return *value* as Keras 3 deserializes it: every object names its module."""
        if isinstance(value, (list, tuple)):
            return type(value)(self._serialized(each, key) for each in value)
        if isinstance(value, str) and key.endswith("activation"):
            return self._function(value)
        if not isinstance(value, Mapping):
            return value
        if not isinstance(value.get("class_name"), str) or "config" not in value:
            return {name: self._serialized(each, name) for name, each in value.items()}
        if is_network(value) or is_sequential(value):
            return self._keras.saving.serialize_keras_object(self._model(value))
        name = value["class_name"]
        config = {k: self._serialized(each, k) for k, each in value["config"].items()}
        return {
            "class_name": name,
            "config": config,
            "module": self._module(name, key, value.get("module")),
            "registered_name": self._registered_name(name),
        }

    def _function(self, name: str) -> Any:
        """Return the name of a function of Keras's, or the serialized form of a custom one."""
        if hasattr(self._keras.activations, name) or self._registered_name(name) is None:
            return name
        return {"class_name": "function", "config": name, "module": None, "registered_name": name}

    def _module(self, name: str, key: str, given: Any) -> str | None:
        if self._registered_name(name) is not None:
            return None
        if given == "keras":
            return "keras"
        parts = sorted(_PARTS, key=lambda part: not key.endswith(part[:-1]))
        found = (part for part in parts if hasattr(getattr(self._keras, part), name))
        return next((f"keras.{part}" for part in found), None)

    def _registered_name(self, name: str) -> str | None:
        bare = name.rpartition(">")[2]
        is_custom = name in self._objects or bare in self._objects
        is_custom = is_custom or self._keras.saving.get_registered_object(name) is not None
        return name if is_custom else None


class _Graph:
    """The calls of a functional model, made as soon as their input tensors exist."""

    def __init__(
        self,
        make: Callable[[Mapping[str, Any]], Any],
        operations: Operations,
        layers: list[Mapping[str, Any]],
        flatten: Callable[[Any], list[Any]],
        record: Record,
    ) -> None:
        self._record = record
        self.offsets = first_calls(layers)
        self._operations = operations
        self._flatten = flatten
        self._items = {layer_name(item): item for item in layers}
        self._layers = {name: make(item) for name, item in self._items.items()}
        self._results: dict[tuple[str, int], list[Any]] = {}
        self._enter_inputs()
        self._make_calls()

    def tensor(self, ref: TensorRef) -> Any:
        """Return the tensor that *ref* refers to."""
        try:
            return self._results[ref.layer, ref.call][ref.index]
        except LookupError:
            reason = f"its call {ref.call} is not in the configuration"
            raise MigrationError(f"layer {ref.layer!r}", reason) from None

    def _enter_inputs(self) -> None:
        for name, item in self._items.items():
            if item["class_name"] == "InputLayer":
                self._results[name, 0] = [self._layers[name].output]

    def _make_calls(self) -> None:
        waiting = list(self._all_calls())
        while waiting:
            left = [each for each in waiting if not self._tried(*each)]
            if len(left) == len(waiting):
                name = left[0][0]
                reason = "its input tensors are not in the configuration"
                raise MigrationError(f"layer {name!r}", reason)
            waiting = left

    def _all_calls(self) -> Iterator[tuple[str, int, LayerCall]]:
        for name, item in self._items.items():
            for number, call in enumerate(calls(item, self.offsets)):
                yield name, number, call

    def _tried(self, name: str, number: int, call: LayerCall) -> bool:
        is_next = number == 0 or (name, number - 1) in self._results
        if not is_next or any((ref.layer, ref.call) not in self._results for ref in call.refs()):
            return False
        item = self._items[name]
        try:
            result = self._called(item, call)
        except MigrationError:
            raise
        except Exception as error:
            raise MigrationError(owner(item), keras_message(error)) from error
        one = isinstance(result, Shape) or not isinstance(result, (list, tuple, dict))
        self._results[name, number] = [result] if one else self._flatten(result)
        return True

    def _called(self, item: Mapping[str, Any], call: LayerCall) -> Any:
        first = _mapped(call.first, self.tensor)
        others = _mapped(call.others, self.tensor)
        if item["class_name"] in _FUNCTION_LAYERS:
            return self._operation(item, first, others)
        others = {key: value for key, value in others.items() if value is not None}
        self._look_at_training(item, others.get("training"))
        if item["class_name"] in _RECURRENT and isinstance(first, list):
            first, others = first[0], {"initial_state": first[1:], **others}
        return self._layers[layer_name(item)](first, **others)

    def _look_at_training(self, item: Mapping[str, Any], training: Any) -> None:
        """Say what becomes of a call with `training=`: Keras 3 calls a layer as it calls the model.

        Raises:
            MigrationError: it would predict something else.
        """
        if not isinstance(training, int):  # none, or a tensor
            return
        if training:
            raise MigrationError(owner(item), _ALWAYS_TRAINS)
        self._record.left_out["training=False"] = f"{owner(item)}: {_NEVER_TRAINS}"

    def _operation(self, item: Mapping[str, Any], first: Any, others: Mapping[str, Any]) -> Any:
        function = item["config"].get("function", "__operators__.getitem")
        operation = operation_of(function)
        if operation is None:
            raise MigrationError(owner(item), f"Keras 3 has no operation for tf.{function}")
        return self._operations.call(operation, first, others)


def _mapped(value: Any, tensor: Callable[[TensorRef], Any]) -> Any:
    if isinstance(value, TensorRef):
        return tensor(value)
    if isinstance(value, Mapping):
        return {key: _mapped(each, tensor) for key, each in value.items()}
    if isinstance(value, (list, tuple)) and not isinstance(value, Shape):
        return type(value)(_mapped(each, tensor) for each in value)
    return value


def _single(nest: Any) -> Any:
    """Return the tensor in a list of one: Keras 2 did not wrap single tensors."""
    return nest[0] if isinstance(nest, list) and len(nest) == 1 else nest


def _trainable(model: Any, config: Mapping[str, Any]) -> Any:
    """Freeze *model* itself if the configuration does; its layers have their own flags."""
    if config.get("trainable") is False:
        model._trainable = False
    return model


def keras_message(error: Exception) -> str:
    """Return the start of Keras's message, without the configuration that it repeats."""
    text = _COLOURS.sub("", str(error)).strip().replace("\n", " ")
    start = text.rfind("Exception encountered: ")
    return f"Keras 3 says: {text[start + 23 if start >= 0 else 0 :][:300].rstrip('. ')}"
