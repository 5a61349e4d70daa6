"""A Keras 2 SavedModel as a Keras 3 model: configuration, lookup tables, weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastload.convert.conversion import object_names
from fastload.convert.keras_section import saved_metadata
from fastload.errors import MigrationError
from fastload.keras2to3.keras2_files import Resolve
from fastload.keras2to3.keras_saved_model import KerasSavedModel
from fastload.keras2to3.rules.configs import migrated
from fastload.keras2to3.rules.graph import layer_configs
from fastload.keras2to3.rules.rule import Record
from fastload.keras2to3.rules.untrusted import bytecode_in, require_no_bytecode
from fastload.keras2to3.tf_compilation import compile_migrated
from fastload.keras2to3.tf_function_layers import FunctionLayers
from fastload.keras2to3.tf_function_models import FunctionModels, root_metadata
from fastload.keras2to3.tf_models import ModelBuilder
from fastload.keras2to3.tf_optimizer_state import OptimizerState
from fastload.keras2to3.tf_saved_model_weights import OtherShapeError, WeightAssignment
from fastload.runtime.core.tensorflow import parse_object_graph
from fastload.source.saved_model_parts import read_saved_model


def model_of_saved_model(
    path: Path, keras: Any, resolve: Resolve, record: Record, *, passes_masks: bool = False
) -> Any:
    """Return the Keras 3 model of a Keras 2 SavedModel.

    Layers whose class is missing call their functions in the SavedModel; so does the model as a
    whole, where nothing says what it is made of.

    Args:
        path: the SavedModel.
        keras: Keras 3.
        resolve: finds custom classes and functions by name.
        record: records the rules that were applied.
        passes_masks: whether layers that call functions pass on the masks of their inputs.

    Raises:
        MigrationError: Keras 3 has no equivalent of a layer; the message names it.
        UnconvertibleModelError: the SavedModel is damaged.
        MissingTensorFlowError: TensorFlow, which reads SavedModels, is not installed.
    """
    graph = parse_object_graph(read_saved_model(path / "saved_model.pb").object_graph)
    metadata = saved_metadata(path, graph)
    root = root_metadata(graph, metadata)
    if root is None:
        raise MigrationError("the SavedModel", MigrationError.NO_KERAS_MODEL)
    source = KerasSavedModel(path=path, graph=graph, metadata=metadata, root=root)
    backend = keras.backend.backend()
    layers = FunctionLayers(source, backend, record, passes_masks=passes_masks)
    model, weights = _Migration(source, keras, layers, record).made(resolve)
    require_no_bytecode(root.get("training_config"))
    if root.get("training_config"):
        state = OptimizerState(graph, source.saved, weights)
        compile_migrated(keras, model, root["training_config"], record, state)
    return model


class _Migration:
    """One migration: layer by layer, or as one layer."""

    def __init__(
        self, source: KerasSavedModel, keras: Any, layers: FunctionLayers, record: Record
    ) -> None:
        self._source, self._keras = source, keras
        self._models = FunctionModels(keras, source, layers)
        self._layers, self._record = layers, record

    def made(self, resolve: Resolve) -> tuple[Any, WeightAssignment]:
        """Return the model with its weights, and which these are.

        Raises:
            MigrationError: it cannot be made.
        """
        item = self._source.configuration
        names = object_names(item)
        self._record.names += [*names, self._source.root["class_name"]]
        if item is None or bytecode_in(item) is not None:
            return self._as_one_layer()
        objects = resolve(names)
        try:
            builder = ModelBuilder(self._keras, objects, self._record, self._layers.layer)
            model = builder.build(migrated(item, self._record))
            if not model.built:  # a port of the model's class
                self._models.call(model)
            return self._with_weights(model, item)
        except MigrationError as error:
            if isinstance(error.__cause__, OtherShapeError):
                raise  # the file contradicts itself
            if not objects.keys().isdisjoint(
                {*names, *(name.rpartition(">")[2] for name in names)}
            ):
                raise  # what is wrong with a port is for its author to see
            return self._instead(error)

    def _instead(self, refusal: MigrationError) -> tuple[Any, WeightAssignment]:
        """Return the model as one layer.

        Raises:
            MigrationError: *refusal*, where that cannot be either.
        """
        self._record.rules.clear()
        self._record.functions.clear()
        try:
            made = self._as_one_layer()
        except MigrationError:
            raise refusal from None
        self._record.left_out["layers"] = f"{refusal.owner}: {refusal.reason}"
        return made

    def _as_one_layer(self) -> tuple[Any, WeightAssignment]:
        return self._with_weights(self._models.model(self._source.root), {})

    def _with_weights(self, model: Any, item: Any) -> tuple[Any, WeightAssignment]:
        source = self._source
        names = {node: str(found.get("name")) for node, found in source.metadata.items()}
        weights = WeightAssignment(source.graph, names, source.saved, self._layers.weights_of)
        weights.assign(model, layer_configs(item))
        return model, weights
