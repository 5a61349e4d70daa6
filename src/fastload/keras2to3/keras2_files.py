"""Keras 2 files as Keras 3 models: legacy HDF5, and the `.keras` archives of Keras 2.13 to 2.15."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fastload.convert.conversion import object_names
from fastload.errors import MigrationError, UnconvertibleModelError
from fastload.keras2to3.archive_vocabularies import LearntVocabularies
from fastload.keras2to3.rules.configs import migrated
from fastload.keras2to3.rules.graph import layer_configs
from fastload.keras2to3.rules.rule import Record
from fastload.keras2to3.rules.untrusted import require_no_bytecode
from fastload.keras2to3.tf_compilation import compile_migrated
from fastload.keras2to3.tf_file_weights import (
    Held,
    targets_of_groups,
    targets_of_tree,
)
from fastload.keras2to3.tf_models import ModelBuilder
from fastload.keras2to3.tf_saved_model_weights import finish, put
from fastload.source.detect import ModelSource, SourceKind
from fastload.source.hdf5 import HDF5Source, read_hdf5
from fastload.source.keras_archive import read_keras_archive

_WEIGHTS = "model_weights"

#: Returns custom classes and functions by the names that a configuration uses.
Resolve = Callable[[Iterable[str]], Mapping[str, Any]]


def model_of_hdf5(path: Path, keras: Any, resolve: Resolve, record: Record) -> Any:
    """Return the Keras 3 model of a legacy HDF5 file.

    Args:
        path: the file.
        keras: Keras 3.
        resolve: finds custom classes and functions by name.
        record: records the rules that were applied.

    Raises:
        MigrationError: Keras 3 has no equivalent of a layer; the message names it.
        BypassError: the file is damaged, unsafe, or holds no model.
    """
    with read_hdf5(path) as file:
        item = hdf5_config(file)
        require_no_bytecode(item)
        builder = ModelBuilder(keras, resolve(object_names(item)), record)
        model = builder.build(migrated(item, record))
        _require_built(model)
        groups = _weight_names(file)
        targets = targets_of_groups(model, groups)
        _fill(file, model, {f"{_WEIGHTS}/{name}": held for name, held in targets.items()}, item)
        training = file.groups[""].get("training_config")
        if training:
            compile_migrated(keras, model, json.loads(_text(training)), record)
    return model


def model_of_archive(path: Path, keras: Any, resolve: Resolve, record: Record) -> Any:
    """Return the Keras 3 model of a `.keras` archive of Keras 2; as `model_of_hdf5`."""
    with read_keras_archive(path) as archive:
        learnt = LearntVocabularies(archive)
        item = learnt.within(json.loads(archive.config))
        require_no_bytecode(item)
        builder = ModelBuilder(keras, resolve(object_names(item)), record)
        model = builder.build(migrated(item, record))
        _build_as_saved(model, item)
        _require_built(model)
        names = [spec.name for spec in archive.weights.specs if spec.name not in learnt.taken]
        _fill(archive.weights, model, targets_of_tree(model, item, names), item)
        training = item.get("compile_config")
        if training:
            compile_migrated(keras, model, training, record)
    return model


def keras_version(source: ModelSource) -> str:
    """Return the version of the Keras that wrote a file; an empty string if it names none.

    Raises:
        BypassError: the file is damaged or unsafe.
    """
    if source.kind is SourceKind.KERAS_ARCHIVE:
        with read_keras_archive(source.path) as archive:
            return _version_in(archive.metadata)
    with read_hdf5(source.path) as file:
        return _text(file.groups[""].get("keras_version", ""))


def _version_in(metadata: bytes) -> str:
    """Return the version that `metadata.json` names; stock reads none, so it may be anything."""
    try:
        found = json.loads(metadata or b"{}")
    except (ValueError, RecursionError):
        return ""
    return str(found.get("keras_version", "")) if isinstance(found, dict) else ""


def hdf5_config(file: HDF5Source) -> dict[str, Any]:
    """Return the configuration in a legacy HDF5 file.

    Raises:
        UnconvertibleModelError: it holds none.
    """
    try:
        found: dict[str, Any] = json.loads(_text(file.groups[""]["model_config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UnconvertibleModelError("the HDF5 file holds no model") from error
    return found


def _build_as_saved(model: Any, item: Mapping[str, Any]) -> None:
    """Build a model without a graph of layers for the input shapes in its configuration."""
    shapes = item.get("build_config")
    if model.built or not shapes:
        return
    with warnings.catch_warnings():
        # Keras warns of models that it could not build; they raise an error below.
        warnings.simplefilter("ignore")
        model.build_from_config(shapes)


def _require_built(model: Any) -> None:
    # Keras builds the layers of a subclassed model without marking the model itself as built.
    layers = list(model._flatten_layers(include_self=False))
    if not model.built and not (layers and all(layer.built for layer in layers)):
        reason = "the file has no input shape that it can be built for"
        raise MigrationError("the model", reason)


def _weight_names(file: HDF5Source) -> dict[str, list[str]]:
    prefix = f"{_WEIGHTS}/"
    found = {}
    for group, attributes in file.groups.items():
        names = attributes.get("weight_names")
        if group.startswith(prefix) and names is not None:
            found[group.removeprefix(prefix)] = [_text(name) for name in names]  # type: ignore[union-attr]
    own = found.pop("top_level_model_weights", None)
    if own:
        raise MigrationError(f"weight {own[0]!r}", "it belongs to no layer of the model")
    return found


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _fill(file: HDF5Source, model: Any, targets: Mapping[str, Held], item: Any) -> None:
    configs = layer_configs(item)
    left = dict(targets)
    for name, value in file.stream():
        held = left.pop(name, None)
        if held is not None:
            variable, holder = held
            put(variable, value, _config_of(variable, holder, configs), name)
    if left:
        raise MigrationError(f"weight {min(left)!r}", "the file has no value for it")
    finish(model)


def _config_of(variable: Any, holder: Any, configs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration of the layer of *variable*, or of the layer whose cell holds it."""
    folders = (holder.name, *reversed(variable.path.split("/")[:-1]))
    return next((configs[name] for name in folders if name in configs), {})
