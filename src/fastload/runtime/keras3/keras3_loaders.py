"""Keras 3's own loaders, run over a twin."""

from __future__ import annotations

import functools
import importlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any, Final

import numpy as np

from fastload.errors import MigrationError, UnsupportedRequestError, UnsupportedRuntimeError
from fastload.runtime.core.bookkeeping import attribute_patch
from fastload.runtime.core.keras import OF_FUNCTIONS, TENSORFLOW, backend_of
from fastload.runtime.core.rebuild import Patch, Rebuild, rebuilding
from fastload.runtime.core.restore_request import RestoreRequest
from fastload.runtime.core.state_readers import StateReaders
from fastload.runtime.core.transplant import Overlay, entry_over, require_own
from fastload.runtime.core.twin_archive import asset_store, twin_store, zip_module
from fastload.runtime.core.zero_copy import MappedArray
from fastload.runtime.keras3.state_walk import is_since_3_6, walking
from fastload.runtime.requirements import KERAS3_JAX, KERAS3_LOADS, KERAS3_TENSORFLOW, KERAS3_TORCH
from fastload.source.detect import SourceKind
from fastload.source.limits import BOMB_FLOOR_BYTES, HDF5_EXPANSION, ZIP_EXPANSION
from fastload.twin.format import STATE
from fastload.twin.reader import Twin
from fastload.twin.view import TwinFile, TwinGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Keras3:
    """The modules and classes of Keras 3 that a restore uses.

    Attributes:
        saving_api: what `load_model` is, for each format.
        legacy_h5_format: the legacy HDF5 loader.
        saving_lib: the `.keras` loader.
        global_state: the counters behind automatic names.
        backend: the name of its backend.
        variable: the class of its variables.
        initializer: the base class of its initializers.
        layer: the base class of its layers.
    """

    saving_api: ModuleType
    legacy_h5_format: ModuleType
    saving_lib: ModuleType
    global_state: ModuleType
    backend: str
    variable: type[Any]
    initializer: type[Any]
    layer: Any


@functools.cache
def keras3() -> Keras3:
    """Import the modules of Keras 3.

    Raises:
        UnsupportedRuntimeError: a module, or a name in one, is missing, or the backend is unknown.
    """
    backend = str(KERAS3_LOADS.part("config").backend())
    if backend not in _ON:
        raise UnsupportedRuntimeError(f"Keras runs on {backend}")
    return Keras3(
        saving_api=KERAS3_LOADS.part("saving_api"),
        legacy_h5_format=KERAS3_LOADS.part("legacy_h5_format"),
        saving_lib=KERAS3_LOADS.part("saving_lib"),
        global_state=KERAS3_LOADS.part("global_state"),
        backend=backend,
        variable=_ON[backend].part("core").Variable,
        initializer=KERAS3_LOADS.part("initializer").Initializer,
        layer=KERAS3_LOADS.part("layer").Layer,
    )


_ON: Final = {each.backend: each for each in (KERAS3_TENSORFLOW, KERAS3_JAX, KERAS3_TORCH)}


def restore_keras3(
    kind: SourceKind, twin: Twin, request: RestoreRequest, *, may_be_read: bool
) -> Any:
    """Run the stock loader for sources of *kind* over *twin* and return its model.

    Args:
        kind: what the twin was made from; Keras 3 reads no SavedModel.
        twin: the twin.
        request: the stock loader's arguments.
        may_be_read: code of a program may read variables before they have their weights.

    Raises:
        UnsupportedRuntimeError: Keras lacks a module or name that is needed.
        UnsupportedRequestError: Keras's limits for files were lowered.
        Exception: whatever the stock loader raises.
    """
    parts = keras3()
    require_usual_limits(parts.saving_lib)
    _register_layers_of_functions(twin, parts.backend)
    with rebuilding(Rebuild(may_be_read=may_be_read), _patches(parts)):
        if kind is SourceKind.KERAS_HDF5:
            return _restore_hdf5(parts, twin, request)
        return _restore_archive(parts, twin, request)


@contextmanager
def weights_to_come() -> Iterator[None]:
    """Have variables that are created in the block take no memory until they are assigned or read.

    Those that are neither get their initial value at the end of the block. Where Keras lacks what
    this needs, nothing changes.
    """
    try:
        parts = keras3()
        patches = _patches(parts)
    except UnsupportedRuntimeError:
        yield
        return
    with rebuilding(Rebuild(may_be_read=True), patches):
        yield


def patches_to_build() -> list[Patch]:
    """Return the patches for a block in which a program builds models.

    Raises:
        UnsupportedRuntimeError: Keras lacks a name that is needed, or a read of a variable cannot
            be noticed: an array of JAX is a value, and Keras hands out PyTorch's parameters.
    """
    parts = keras3()
    if parts.backend != TENSORFLOW:
        raise UnsupportedRuntimeError(f"Keras runs on {parts.backend}")
    return _patches(parts)


def _register_layers_of_functions(twin: Twin, backend: str) -> None:
    """Have Keras know the class of such layers, if *twin* has one.

    Raises:
        MigrationError: Keras cannot run them.
    """
    names = twin.manifest.object_names
    if found := sorted(OF_FUNCTIONS & names.keys()):
        if backend != TENSORFLOW:
            reason = f"its functions are TensorFlow's, and Keras runs on {backend}"
            raise MigrationError(f"layer {names[found[0]]!r}", reason)
        importlib.import_module(f"{__package__}.saved_function_layer")


def _restore_hdf5(parts: Keras3, twin: Twin, request: RestoreRequest) -> Any:
    """Run the legacy HDF5 loader over *twin*, with the arguments that `load_model` passes on."""
    replaced = {
        "h5py": SimpleNamespace(File=TwinFile, Group=TwinGroup),
        "np": Overlay(np, {"asarray": MappedArray.of}),
        **present(
            parts.legacy_h5_format, {"safe_get_h5_group": item_of, "safe_get_h5_dataset": array_of}
        ),
        **_without_tensorflow(parts, twin.root.attrs),
    }
    load_hdf5 = entry_over(parts.legacy_h5_format, "load_model_from_hdf5", replaced)

    def over_twin(_: Any, **arguments: Any) -> Any:
        return load_hdf5(twin.root, **arguments)

    hdf5_format = SimpleNamespace(load_model_from_hdf5=over_twin)
    load_model = entry_over(parts.saving_api, "load_model", {"legacy_h5_format": hdf5_format})
    return load_model(request.filepath, **_arguments(request))


#: Classes in the JSON of legacy files that Keras decodes to TensorFlow's values.
_OF_TENSORFLOW: Final = ("TensorShape", "TypeSpec", "CompositeTensor")


def _without_tensorflow(parts: Keras3, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Keep Keras from importing TensorFlow to decode JSON without any such class."""
    json_utils = getattr(parts.legacy_h5_format, "json_utils", None)
    texts = [str(attributes.get(name)) for name in ("model_config", "training_config")]
    is_needed = any(name in text for name in _OF_TENSORFLOW for text in texts)
    if parts.backend == TENSORFLOW or is_needed or not isinstance(json_utils, ModuleType):
        return {}
    decode = entry_over(json_utils, "decode", {"tf": SimpleNamespace(available=False)})
    return {"json_utils": Overlay(json_utils, {"decode": decode})}


def _restore_archive(parts: Keras3, twin: Twin, request: RestoreRequest) -> Any:
    """Run the `.keras` loader over *twin*.

    Raises:
        UnsupportedRuntimeError: this Keras fails at a file without variables of the model's own.
    """
    if not is_since_3_6(parts.saving_lib) and "vars" not in twin.root.get(STATE, twin.root):
        raise UnsupportedRuntimeError("Keras reads no file without variables of the model's own")
    guards = {  # they check sizes in a zip, which were checked when the source was read
        "_safe_zip_read": lambda archive, name: archive.read(name),
        "_reject_zip_bomb": lambda archive, name: None,
        "is_memory_sufficient": lambda model: True,
    }
    readers = StateReaders(of_programs=True)
    replaced = {
        "zipfile": zip_module(twin),
        "H5IOStore": twin_store(parts.saving_lib.H5IOStore, twin, readers),
        "DiskIOStore": asset_store(parts.saving_lib.DiskIOStore, twin),
        **_opener(parts),
        **present(parts.saving_lib, guards),
    }
    require_own(parts.saving_lib, "load_model")
    load_model = walking(parts.saving_lib, parts.global_state, readers, replaced)["load_model"]
    return load_model(_NoFile(), **_arguments(request))


class _NoFile(io.BytesIO):
    """An open file for `load_model`, which reads nothing of it; before Keras 3.2, its name."""

    def __str__(self) -> str:
        return ".keras"


def _opener(parts: Keras3) -> dict[str, Any]:
    """Replace what opens a file by its name; Keras 3.2 and later take an open one."""
    if hasattr(parts.saving_lib, "_load_model_from_fileobj"):
        return {}
    opened = {"File": lambda *_, **__: io.BytesIO()}
    return {"file_utils": Overlay(parts.saving_lib.file_utils, opened)}


#: Keras's limits of what a file may unpack to; versions lack some, and programs can lower them.
_LIMITS: Final = {
    "_ZIP_MEMBER_BOMB_FLOOR_BYTES": BOMB_FLOOR_BYTES,
    "_ZIP_EXTRACT_BOMB_FLOOR_BYTES": BOMB_FLOOR_BYTES,
    "_ZIP_CUMULATIVE_BOMB_FLOOR_BYTES": BOMB_FLOOR_BYTES,
    "_ZIP_MEMBER_MAX_EXPANSION": ZIP_EXPANSION,
    "_H5_DATASET_BOMB_FLOOR_BYTES": BOMB_FLOOR_BYTES,
    "_H5_DATASET_MAX_EXPANSION": HDF5_EXPANSION,
}


def require_usual_limits(saving_lib: ModuleType) -> None:
    """Check that Keras rejects no file that passed the limits of `source.limits`.

    Raises:
        UnsupportedRequestError: a program lowered one; only Keras can check the file then.
    """
    for name, ours in _LIMITS.items():
        if getattr(saving_lib, name, ours) < ours:
            raise UnsupportedRequestError(f"Keras's limit {name} was lowered")


def _arguments(request: RestoreRequest) -> dict[str, Any]:
    return {
        "custom_objects": dict(request.custom_objects),
        "compile": request.compile,
        "safe_mode": request.safe_mode,
    }


def present(module: ModuleType, replaced: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of *replaced* that this version has: guards were added in several releases."""
    return {name: value for name, value in replaced.items() if hasattr(module, name)}


def item_of(group: Any, name: str) -> Any:
    """Return a group of a twin, which needs no check."""
    return group[name]


def array_of(group: Any, name: str) -> Any:
    """Return a weight of a twin, which needs no check."""
    return MappedArray.of(group[name])


def _patches(parts: Keras3) -> list[Patch]:
    """Return the patches of a Keras 3 rebuild."""
    return [
        *backend_of(parts.backend).patches(parts.variable, parts.initializer),
        *filter(None, [attribute_patch(parts.layer)]),
    ]
