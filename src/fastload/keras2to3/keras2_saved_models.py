"""A Keras 2 SavedModel as a Keras 3 model: configuration, lookup tables, weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fastload.convert.conversion import object_names
from fastload.convert.keras_section import saved_metadata
from fastload.convert.object_graph import checkpoint_keys
from fastload.errors import MigrationError
from fastload.keras2to3.keras2_files import Resolve
from fastload.keras2to3.lookup_tables import Tables, with_vocabularies, with_vocabulary_files
from fastload.keras2to3.rules.configs import migrated
from fastload.keras2to3.rules.graph import layer_configs
from fastload.keras2to3.rules.rule import Record
from fastload.keras2to3.rules.untrusted import require_no_bytecode
from fastload.keras2to3.tf_compilation import OptimizerState, compile_migrated
from fastload.keras2to3.tf_models import ModelBuilder
from fastload.keras2to3.tf_saved_model_weights import SavedVariables, WeightAssignment
from fastload.runtime.core.tensorflow import Checkpoint, parse_object_graph
from fastload.source.saved_model_parts import read_asset_names, read_saved_model

#: What Keras 2 writes in place of the configuration of an object that has none.
_NO_CONFIG: Final = "layer was saved without config"


def model_of_saved_model(path: Path, keras: Any, resolve: Resolve, record: Record) -> Any:
    """Return the Keras 3 model of a Keras 2 SavedModel.

    Args:
        path: the SavedModel.
        keras: Keras 3.
        resolve: finds custom classes and functions by name.
        record: records the rules that were applied.

    Raises:
        MigrationError: Keras 3 has no equivalent of a layer; the message names it.
        UnconvertibleModelError: the SavedModel is damaged.
        MissingTensorFlowError: TensorFlow, which reads SavedModels, is not installed.
    """
    graph = parse_object_graph(read_saved_model(path / "saved_model.pb").object_graph)
    metadata = saved_metadata(path, graph)
    require_no_bytecode(list(metadata.values()))
    root = metadata.get(0)
    if root is None:
        raise MigrationError("the SavedModel", "it holds no Keras model")
    if not root.get("config") or _NO_CONFIG in root["config"]:
        raise MigrationError(f"a model of class {root['class_name']}", "it has no configuration")
    checkpoint = Checkpoint(path / "variables" / "variables")
    keys = checkpoint_keys(graph, checkpoint.object_graph())
    item = {"class_name": root["class_name"], "config": root["config"]}
    assets = {name: path / "assets" / name for name in read_asset_names(path / "saved_model.pb")}
    item = with_vocabulary_files(item, assets)
    tables = Tables(path=path, graph=graph, keys=keys, checkpoint=checkpoint)
    item = with_vocabularies(item, metadata, tables)
    model = ModelBuilder(keras, resolve(object_names(item))).build(migrated(item, record))
    names = {node: str(found.get("name")) for node, found in metadata.items()}
    saved = SavedVariables(keys=keys.variables, checkpoint=checkpoint)
    weights = WeightAssignment(graph, names, saved)
    weights.assign(model, layer_configs(item))
    if root.get("training_config"):
        state = OptimizerState(graph, saved, weights)
        compile_migrated(keras, model, root["training_config"], record, state)
    return model
