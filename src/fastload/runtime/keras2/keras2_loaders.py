"""Keras 2's own loaders, run over a twin."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final, final

from fastload.errors import UnsupportedRuntimeError
from fastload.runtime.core.blank_variables import assign, require_blanks
from fastload.runtime.core.bookkeeping import (
    attribute_patch,
    kernel_patches,
    nest_patches,
)
from fastload.runtime.core.rebuild import Patch, Rebuild, available, rebuilding
from fastload.runtime.core.restore_request import RestoreRequest
from fastload.runtime.core.tensorflow import parse_saved_model
from fastload.runtime.core.transplant import Overlay, entry_over, require_own, transplant
from fastload.runtime.core.zero_copy import MappedArray, tensor_over
from fastload.runtime.keras2.keras2_parts import (
    Keras2,
    keras2,
    patched_connect_ancillary_layers,
    patched_getfullargspec,
    patched_make_variable,
)
from fastload.runtime.keras2.output_specs import (
    SpecCache,
    patched_infer_output_signature,
    patched_learning_phase,
)
from fastload.runtime.requirements import KERAS2_ARCHIVE, KERAS2_HDF5, KERAS2_SAVED_MODEL
from fastload.runtime.saved_model.loader import Loaded, load_partial
from fastload.source.detect import SourceKind
from fastload.twin.format import KERAS_METADATA, OBJECT_GRAPH
from fastload.twin.reader import Twin
from fastload.twin.view import TwinFile, TwinGroup


def restore_keras2(
    package: str, kind: SourceKind, twin: Twin, request: RestoreRequest, spec_cache: SpecCache
) -> Any:
    """Run the stock loader for sources of *kind* over *twin* and return its model.

    Args:
        package: the importable name of the Keras.
        kind: what the twin was made from.
        twin: the twin.
        request: the stock loader's arguments.
        spec_cache: output specs of layer calls; further ones are recorded in it.

    Raises:
        UnsupportedRuntimeError: Keras lacks a module or name that is needed.
        Exception: whatever the stock loader raises.
    """
    parts = keras2(package)
    with spec_cache.learning(), rebuilding(Rebuild(spec_cache=spec_cache), patches(parts)):
        return _RESTORES[kind](parts, twin, request)


def require_keras2_loader(package: str, kind: SourceKind) -> None:
    """Check that the Keras 2 called *package* has what a restore of twins of *kind* drives.

    Raises:
        UnsupportedRuntimeError: it lacks a module or a name.
    """
    keras2(package)
    feature, part = _LOADERS[kind]
    feature.part(part, package)


#: The function of Keras 2 that reads an optimizer's weights out of a file.
_OPTIMIZER_WEIGHTS: Final = "load_optimizer_weights_from_hdf5_group"
_LOADERS: Final = {
    SourceKind.SAVED_MODEL: (KERAS2_SAVED_MODEL, "load"),
    SourceKind.KERAS_HDF5: (KERAS2_HDF5, "hdf5_format"),
    SourceKind.KERAS_ARCHIVE: (KERAS2_ARCHIVE, "saving_lib"),
}


def patches(parts: Keras2) -> list[Patch]:
    """Return the patches of a Keras 2 rebuild."""
    return [
        Patch(
            parts.base_layer.Layer,
            "_infer_output_signature",
            functools.partial(patched_infer_output_signature, parts),
        ),
        Patch(parts.backend, "learning_phase", patched_learning_phase),
        Patch(parts.functional, "connect_ancillary_layers", patched_connect_ancillary_layers),
        Patch(parts.tf_inspect, "getfullargspec", patched_getfullargspec),
        *patches_to_build(parts),
    ]


def patches_to_build(parts: Keras2) -> list[Patch]:
    """Return the patches for a block in which a program builds models."""
    return [
        *available(functools.partial(_blank_patches, parts), kernel_patches, nest_patches),
        *filter(None, [attribute_patch(parts.base_layer.Layer)]),
    ]


def _blank_patches(parts: Keras2) -> list[Patch]:
    require_blanks()
    make = functools.partial(patched_make_variable, parts.initializers.Initializer)
    return [Patch(parts.base_layer_utils, "make_variable", make)]


def _restore_hdf5(parts: Keras2, twin: Twin, request: RestoreRequest) -> Any:
    """Run the legacy HDF5 loader over *twin*."""
    stock_backend = KERAS2_HDF5.part("backend", parts.package)
    backend = Overlay(stock_backend, {"batch_set_value": _batch_set_value})
    shim = SimpleNamespace(File=TwinFile, Group=TwinGroup)
    stock = KERAS2_HDF5.part("hdf5_format", parts.package)
    require_own(stock, "load_model_from_hdf5")
    names = transplant(stock, {"backend": backend, "h5py": shim})
    _map_optimizer_weights(names)
    hdf5_format = SimpleNamespace(**names)
    return dispatch(parts, request, twin.root, {"h5py": shim, "hdf5_format": hdf5_format})


def _map_optimizer_weights(names: dict[str, Any]) -> None:
    """Have optimizers be given arrays that variables can share: they assign each as it is."""
    read = names.get(_OPTIMIZER_WEIGHTS)
    if read is not None:
        names[_OPTIMIZER_WEIGHTS] = functools.partial(_mapped, read)


def _mapped(read: Callable[[Any], list[Any]], group: TwinGroup) -> list[MappedArray]:
    return [MappedArray.of(each) for each in read(group)]


def _restore_saved_model(parts: Keras2, twin: Twin, request: RestoreRequest) -> Any:
    """Run the SavedModel loader over the pruned object graph in *twin*."""
    loaded = Loaded()
    stock = KERAS2_SAVED_MODEL.part("load", parts.package)
    replaced = {
        "__internal__.saved_model.parse_saved_model": lambda path: parse_saved_model(
            twin.document(OBJECT_GRAPH)
        ),
        "__internal__.saved_model.load_partial": lambda *_, **__: load_partial(
            twin, loaded, request.filepath, partial=request.allow_partial
        ),
        "compat.v1.gfile.Exists": lambda path: KERAS_METADATA in twin.manifest.documents,
        "io.gfile.GFile": lambda path, mode: Document(twin.document(KERAS_METADATA)),
    }
    recording = loaded.recording(stock.KerasObjectLoader)
    names = {"tf": Overlay(stock.tf, replaced), "KerasObjectLoader": recording}
    load = entry_over(stock, "load", names)
    return dispatch(
        parts, request, request.filepath, {"saved_model_load": SimpleNamespace(load=load)}
    )


def dispatch(
    parts: Keras2, request: RestoreRequest, filepath: Any, replaced: Mapping[str, Any]
) -> Any:
    """Run `legacy.save.load_model`, which opens the scopes that every legacy load runs in.

    Args:
        parts: the Keras.
        request: the stock loader's arguments.
        filepath: what it is given to load.
        replaced: what it uses instead of its own modules, by name.
    """
    found = {"io.gfile.exists": lambda path: True, "io.gfile.isdir": lambda path: True}
    names = {"tf": Overlay(parts.legacy_save.tf, found), **replaced}
    load_model = entry_over(parts.legacy_save, "load_model", names)
    return load_model(
        filepath, custom_objects=dict(request.custom_objects), compile=request.compile
    )


def _restore_archive(parts: Keras2, twin: Twin, request: RestoreRequest) -> Any:
    """Run the `.keras` loader over *twin*.

    Raises:
        UnsupportedRuntimeError: stock fails to unpack it: from Python 3.12 on, `zipfile` reads past
            the end of a file that TensorFlow opened.
    """
    # Imported here: SavedModels and HDF5 files do without.
    from fastload.runtime.core.state_readers import StateReaders
    from fastload.runtime.core.twin_archive import has_assets, twin_store, zip_module

    if sys.version_info >= (3, 12) and has_assets(twin):
        raise UnsupportedRuntimeError("Keras 2 cannot unpack assets on this Python")
    stock = KERAS2_ARCHIVE.part("saving_lib", parts.package)
    readers = StateReaders(of_programs=True)
    require_own(stock, "load_model")
    names = transplant(
        stock,
        {
            "tf": Overlay(stock.tf, {"io.gfile.GFile": lambda path, mode: Document(b"")}),
            "zipfile": zip_module(twin),
            "H5IOStore": twin_store(stock.H5IOStore, twin, readers),
        },
    )
    names["hasattr"] = readers.hasattr
    return names["load_model"](
        request.filepath,
        custom_objects=dict(request.custom_objects),
        compile=request.compile,
        safe_mode=request.safe_mode,
    )


def _batch_set_value(pairs: Any) -> None:
    """Assign as `backend.batch_set_value` does in eager mode; copy only where the dtypes differ."""
    for variable, value in pairs:
        dtype = variable.dtype.base_dtype.as_numpy_dtype
        assign(variable, tensor_over(value.astype(dtype, copy=False)))


@final
class Document:
    """Bytes that can be read as an open file."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self) -> bytes:
        """Return all bytes."""
        return self._content

    def __enter__(self) -> Document:
        return self

    def __exit__(self, *_: object) -> None:
        return None


_RESTORES: Final = {
    SourceKind.SAVED_MODEL: _restore_saved_model,
    SourceKind.KERAS_HDF5: _restore_hdf5,
    SourceKind.KERAS_ARCHIVE: _restore_archive,
}
