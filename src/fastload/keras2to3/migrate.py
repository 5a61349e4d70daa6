"""A Keras 2 model to the twin of a Keras 3 model: migrated, compared, written."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry, entry_name
from fastload.convert.convert import convert
from fastload.convert.from_archive import converting_archive
from fastload.errors import MigrationError, MissingTensorFlowError
from fastload.keras2to3.keras2_files import Resolve, model_of_archive, model_of_hdf5
from fastload.keras2to3.keras2_saved_models import model_of_saved_model
from fastload.keras2to3.masks import treated_otherwise
from fastload.keras2to3.memory_limits import most_bytes
from fastload.keras2to3.proof import (
    Proof,
    prove_against_function,
    prove_against_model,
    reason_not_to_open,
)
from fastload.keras2to3.rules.layers import HARD_SIGMOIDS_RULE
from fastload.keras2to3.rules.rule import Record
from fastload.runtime.core.global_state import undone
from fastload.runtime.core.keras import TENSORFLOW, TORCH, Keras, keras_of
from fastload.runtime.core.restore_request import RestoreRequest
from fastload.runtime.keras3.keras3_loaders import weights_to_come
from fastload.runtime.restore_keras import restore_keras_model
from fastload.source.detect import Fingerprint, ModelSource, SourceKind, detect
from fastload.twin.format import FORMAT_VERSION, KERAS_SECTION, MIGRATION
from fastload.twin.reader import Twin
from fastload.twin.writer import write_without_digests

#: Returns a model of a source; records there what it did.
_Maker = Callable[[Path, Any, Resolve, Record], Any]
_MAKERS: Mapping[SourceKind, _Maker] = {
    SourceKind.SAVED_MODEL: model_of_saved_model,
    SourceKind.KERAS_HDF5: model_of_hdf5,
    SourceKind.KERAS_ARCHIVE: model_of_archive,
}

#: Gradients are those of the weights in the model.
_SCALED: Final = (
    "its steps differ from those of Keras 2: weights before a hard sigmoid are 1.2 times as large"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to migrate.

    Attributes:
        source: a SavedModel, an HDF5 file or an archive.
        fingerprint: its fingerprint.
        keras: Keras 3.
        resolve: finds custom objects.
        compiled: whether stock rejected a load with `compile=True`.
    """

    source: ModelSource
    fingerprint: Fingerprint
    keras: Keras
    resolve: Resolve
    compiled: bool


def migrate(path: Path, order: Order) -> None:
    """Migrate a Keras 2 model and write the twin of the Keras 3 model to *path*.

    Raises:
        MigrationError: Keras 3 has no equivalent, or the outputs differ too much.
        BypassError: the source is damaged or unsafe.
    """
    with undone(order.keras), _on_cpu(order.keras), tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "model.keras")
        made = _made(order, archive)
        document = {
            "from": order.source.kind.value,
            "refused_uncompiled": not order.compiled,
            "rules": made.record.rules,
            "left_out": made.record.left_out,
            "functions": made.record.functions,
            "names": made.record.names,
            "proof": made.proof.to_json(),
        }
        _write(path, archive, order, json.dumps(document).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A migrated model, what was done to it, and how it was proved."""

    model: Any
    record: Record
    proof: Proof


def _made(order: Order, archive: Path) -> _Made:
    """Migrate and prove the model, and save it as *archive*.

    No file says whether a layer without a class passes masks on. It does not, as in Keras 2 where
    the class is missing, unless the model is the original's only if it does.

    Raises:
        MigrationError: it cannot be migrated, or its outputs differ.
    """
    made = _saved(_MAKERS[order.source.kind], order, archive)
    try:
        return _compared(made, order, archive.parent)
    except MigrationError:
        if not _drops_masks(made.model):
            raise
        with suppress(MigrationError):
            made = _saved(partial(model_of_saved_model, passes_masks=True), order, archive)
            return _compared(made, order, archive.parent)
        raise


def _saved(maker: _Maker, order: Order, archive: Path) -> _Made:
    """Migrate the model, and save it before it is run: a layer may count its calls."""
    record = Record()
    with weights_to_come():  # a configuration may name any size; the file has its own
        model = maker(order.source.path, order.keras.module, order.resolve, record)
    if HARD_SIGMOIDS_RULE in record.rules:
        record.left_out["training"] = _SCALED
    _save(model, archive)
    return _Made(model=model, record=record, proof=Proof())


def _compared(made: _Made, order: Order, folder: Path) -> _Made:
    """Return *made* with its proof.

    Raises:
        MigrationError: its outputs differ, or probably do where they could not be compared.
    """
    proof = _proved(order, made.model, folder)
    layer = treated_otherwise(made.model)
    if proof.unproved is not None and layer is not None:
        reason = f"Keras 3 passes another mask on than Keras 2 ({proof.unproved})"
        raise MigrationError(f"layer {layer!r}", reason)
    return replace(made, proof=proof)


def _drops_masks(model: Any) -> bool:
    """Say whether a layer of *model* was given a mask that it does not pass on."""
    return any(getattr(layer, "drops_masks", False) for layer in model._flatten_layers())


def _on_cpu(keras: Keras) -> AbstractContextManager[Any]:
    """Return a scope on the CPU: GPUs may round more than the tolerance allows.

    On PyTorch the scope has no effect, as Keras 3.15 cannot create recurrent layers in one (they
    have an integer parameter there, which PyTorch rejects).
    """
    return nullcontext() if keras.backend == TORCH else keras.module.device("cpu:0")


def _proved(order: Order, model: Any, folder: Path) -> Proof:
    source, keras = order.source, order.keras
    if source.kind is not SourceKind.SAVED_MODEL:
        return _proved_by_model(order, model, folder)
    by_function = prove_against_function(source, model, keras)
    if by_function.unproved is None:
        return by_function
    by_model = _proved_by_model(order, model, folder)
    if by_model.unproved is None:
        return by_model
    return replace(by_model, unproved=f"{by_function.unproved}; {by_model.unproved}")


def _proved_by_model(order: Order, model: Any, folder: Path) -> Proof:
    source, keras = order.source, order.keras
    if keras.backend != TENSORFLOW:
        # For one comparison, TensorFlow would take over the GPUs that this process uses.
        return Proof(unproved=f"Keras runs on {keras.backend}, and tf-keras on TensorFlow alone")
    if reason := reason_not_to_open(source):
        return Proof(unproved=reason)
    try:
        original = _original(order, keras_of("tf_keras"), folder)
    except MissingTensorFlowError:
        return Proof(unproved="tf-keras, for the comparison, is not installed")
    except Exception as error:  # noqa: BLE001 - whatever it is, there is nothing to compare with
        return Proof(unproved=f"tf-keras does not open it ({type(error).__name__})")
    return prove_against_model(original, model, most_bytes(source))


def _original(order: Order, keras2: Keras, folder: Path) -> Any:
    """Return the Keras 2 model, by its configuration and weights alone.

    tf-keras would make a SavedModel's layers from functions in the file where it does not know the
    class, and run those that fill its tables. A twin has no functions.
    """
    if order.source.kind is not SourceKind.SAVED_MODEL:
        return keras2.load_model(str(order.source.path), compile=False)
    name = entry_name(order.fingerprint.digest, keras2.generation, FORMAT_VERSION)
    entry = CacheEntry(cache=CacheDir(root=folder), name=name)
    convert(entry.path, order.source, order.fingerprint, keras2.generation, KERAS_SECTION)
    request = RestoreRequest(
        filepath=str(order.source.path), custom_objects={}, compile=False, safe_mode=True
    )
    return restore_keras_model(Twin.open(entry.path), keras2, request, entry)


def _save(model: Any, path: Path) -> None:
    try:
        model.save(str(path))
    except Exception as error:
        reason = f"Keras 3 cannot save it: {type(error).__name__}: {str(error)[:200]}"
        raise MigrationError("the migrated model", reason) from error


def _write(path: Path, archive: Path, order: Order, document: bytes) -> None:
    fingerprint, generation_name = order.fingerprint, order.keras.generation
    with converting_archive(detect(archive), fingerprint, generation_name) as conversion:
        documents = {**conversion.manifest.documents, MIGRATION: document}
        manifest = replace(conversion.manifest, documents=documents)
        write_without_digests(path, manifest, conversion.specs, conversion.stream())
