"""A Keras 2 model as one layer of its own function, where nothing describes what it is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from fastload.errors import MigrationError
from fastload.keras2to3.keras_saved_model import KerasSavedModel
from fastload.keras2to3.serving_function import NotRunError, inferred_shapes
from fastload.keras2to3.tf_function_layers import FunctionLayers
from fastload.keras2to3.tf_models import keras_message
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import OBJECTS
from fastload.runtime.saved_model.object_paths import children

#: What Keras 2 made signatures of; its argument is the model's inputs, with their names.
_SIGNATURE: Final = "_default_save_signature"
_CALL: Final = "call_and_return_all_conditional_losses"
#: Identifiers of models in an object graph, with the class of those whose metadata is not there.
_KINDS: Final = {
    "_tf_keras_network": "Functional",
    "_tf_keras_sequential": "Sequential",
    "_tf_keras_model": "Model",
}


def root_metadata(graph: Any, metadata: Mapping[int, Any]) -> Mapping[str, Any] | None:
    """Return what Keras says of the model, or what can be said without; None if it is none.

    Args:
        graph: the `SavedObjectGraph` message.
        metadata: Keras's metadata by node id.
    """
    if 0 in metadata:
        found: Mapping[str, Any] = metadata[0]
        return found
    kind = _KINDS.get(graph.nodes[0].user_object.identifier)
    return None if kind is None else {"class_name": kind, "name": kind.lower()}


class FunctionModels:
    """Makes Keras 3 models of one layer.

    Args:
        keras: Keras 3.
        source: the SavedModel.
        layers: makes the layer.
    """

    def __init__(self, keras: Any, source: KerasSavedModel, layers: FunctionLayers) -> None:
        self._keras, self._graph, self._layers = keras, source.graph, layers
        self._path = source.path

    def model(self, root: Mapping[str, Any]) -> Any:
        """Return a model named after its class, of one layer that calls its function.

        Args:
            root: what `root_metadata` returned.

        Raises:
            MigrationError: it has no function that can be called.
        """
        owner = f"a model of class {root['class_name']}"
        layer = self._layers.layer(0, root)
        try:
            inputs = self._inputs()
            self._declare_shapes(layer, inputs)
            model = self._keras.Model(inputs, layer(inputs), name=_name(root["class_name"]))
        except Exception as error:
            reason = f"its function cannot be called: {keras_message(error)}"
            raise MigrationError(owner, reason) from error
        self._layers.stands_for(layer, model)
        return model

    def call(self, model: Any) -> None:
        """Have *model*, a port of the model's class, create its weights.

        Raises:
            MigrationError: it does not take what the original does.
        """
        try:
            model(self._inputs())
        except Exception as error:
            owner = f"a model of class {type(model).__name__}"
            raise MigrationError(owner, keras_message(error)) from error

    def _declare_shapes(self, layer: Any, inputs: Any) -> None:
        """Tell *layer* what it returns, where its function does not say it.

        A `tf.squeeze` over an open axis is enough for that.

        Raises:
            NotRunError: it cannot be found out.
        """
        declared = self._decoded(self._functions(_CALL)[0], "output_signature")[0]
        flat = tensorflow().nest.flatten(declared)
        if all(each.shape.rank is not None for each in flat):
            return
        tensors = [
            self._keras.KerasTensor(shape, dtype=each.dtype.name)
            for shape, each in zip(inferred_shapes(self._path), flat, strict=True)
        ]
        layer.declare_result(inputs, tensorflow().nest.pack_sequence_as(declared, tensors))

    def _decoded(self, function: str, name: str) -> Any:
        decode = OBJECTS.part("functions").nested_structure_coder.decode_proto
        return decode(getattr(self._graph.concrete_functions[function], name))

    def _inputs(self) -> Any:
        """Return symbolic inputs of the model, in the nest that its function takes."""
        for name in [*self._functions(_SIGNATURE), *self._functions(_CALL)]:
            positional, _ = self._decoded(name, "canonicalized_input_signature")
            specs = tensorflow().nest.flatten(positional[0]) if positional else []
            if specs and all(isinstance(each, tensorflow().TypeSpec) for each in specs):
                return tensorflow().nest.map_structure(self._input, positional[0])
        raise NotRunError("its function does not say what it takes")

    def _functions(self, name: str) -> list[str]:
        """Return the concrete functions of the child *name* of the model."""
        node = self._graph.nodes[children(self._graph, 0).get(name, 0)]
        found = [node.bare_concrete_function.concrete_function_name]
        return [each for each in (*found, *node.function.concrete_functions) if each]

    def _input(self, spec: Any) -> Any:
        kinds = {"sparse": "SparseTensorSpec", "ragged": "RaggedTensorSpec"}
        given = {name: True for name, kind in kinds.items() if type(spec).__name__ == kind}
        name = _name(spec.name) if getattr(spec, "name", None) else None
        return self._keras.Input(
            batch_shape=tuple(spec.shape), dtype=spec.dtype.name, name=name, **given
        )


def _name(text: str) -> str:
    """Return *text* as a name that Keras takes.

    Example:
        >>> _name("inputs/0")
        'inputs_0'
    """
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)
