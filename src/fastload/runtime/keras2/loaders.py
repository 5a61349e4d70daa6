"""Keras 2's own loaders, run over a twin."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, final

from fastload.runtime.core.attributes import tap_attributes
from fastload.runtime.core.kernels import tap_kernels
from fastload.runtime.core.nests import tap_nests
from fastload.runtime.core.rebuild import Tap, current_rebuild
from fastload.runtime.core.restore_request import RestoreRequest
from fastload.runtime.core.tensorflow import parse_saved_model
from fastload.runtime.core.transplant import Overlay, transplant
from fastload.runtime.core.twin_archive import TwinArchive, twin_store
from fastload.runtime.core.zero_copy import assign, tensor_over
from fastload.runtime.keras2.layers import Keras2, tap_ancillary_layers, tap_argspecs, tap_variables
from fastload.runtime.keras2.output_specs import tap_inference, tap_learning_phase
from fastload.runtime.requirements import KERAS2_ARCHIVE, KERAS2_HDF5, KERAS2_SAVED_MODEL
from fastload.runtime.saved_model.loader import Loaded, load_partial
from fastload.twin.documents import KERAS_METADATA, OBJECT_GRAPH
from fastload.twin.reader import Twin
from fastload.twin.view import TwinFile, TwinGroup


def taps(parts: Keras2) -> list[Tap]:
    """Return the taps that a Keras 2 rebuild needs."""
    return [
        Tap(parts.base_layer_utils, "make_variable", tap_variables),
        Tap(parts.base_layer.Layer, "_infer_output_signature", tap_inference(parts)),
        Tap(parts.backend, "learning_phase", tap_learning_phase),
        Tap(parts.functional, "connect_ancillary_layers", tap_ancillary_layers),
        Tap(parts.tf_inspect, "getfullargspec", tap_argspecs),
        *tap_kernels(),
        *tap_nests(),
        *filter(None, [tap_attributes(parts.base_layer.Layer)]),
    ]


def restore_hdf5(parts: Keras2, twin: Twin, request: RestoreRequest) -> Any:
    """Run the legacy HDF5 loader over *twin*."""
    stock_backend = KERAS2_HDF5.part("backend", parts.package)
    backend = Overlay(stock_backend, {"batch_set_value": _batch_set_value})
    shim = SimpleNamespace(File=TwinFile, Group=TwinGroup)
    stock = KERAS2_HDF5.part("hdf5_format", parts.package)
    hdf5_format = transplant(stock, {"backend": backend, "h5py": shim})
    return _dispatch(
        parts, request, twin.root, {"h5py": shim, "hdf5_format": SimpleNamespace(**hdf5_format)}
    )


def restore_saved_model(parts: Keras2, twin: Twin, request: RestoreRequest) -> Any:
    """Run the SavedModel loader over the pruned object graph in *twin*."""
    loaded = Loaded()
    stock = KERAS2_SAVED_MODEL.part("load", parts.package)
    replaced = {
        "__internal__.saved_model.parse_saved_model": lambda path: parse_saved_model(
            twin.document(OBJECT_GRAPH)
        ),
        "__internal__.saved_model.load_partial": lambda *_, **__: load_partial(
            twin, loaded, request.filepath
        ),
        "compat.v1.gfile.Exists": lambda path: KERAS_METADATA in twin.manifest.documents,
        "io.gfile.GFile": lambda path, mode: _Document(twin.document(KERAS_METADATA)),
    }
    load = transplant(
        stock,
        {
            "tf": Overlay(stock.tf, replaced),
            "KerasObjectLoader": loaded.recording(stock.KerasObjectLoader),
        },
    )["load"]
    return _dispatch(
        parts, request, request.filepath, {"saved_model_load": SimpleNamespace(load=load)}
    )


def _dispatch(
    parts: Keras2, request: RestoreRequest, filepath: Any, replaced: Mapping[str, Any]
) -> Any:
    """Run `legacy.save.load_model`, which sets the scopes that every legacy load runs in."""
    found = {"io.gfile.exists": lambda path: True, "io.gfile.isdir": lambda path: True}
    names = {"tf": Overlay(parts.legacy_save.tf, found), **replaced}
    load_model = transplant(parts.legacy_save, names)["load_model"]
    return load_model(
        filepath, custom_objects=dict(request.custom_objects), compile=request.compile
    )


def restore_archive(parts: Keras2, twin: Twin, request: RestoreRequest) -> Any:
    """Run the `.keras` loader over *twin*."""
    stock = KERAS2_ARCHIVE.part("saving_lib", parts.package)
    archive = TwinArchive(twin)
    load_model = transplant(
        stock,
        {
            "tf": Overlay(stock.tf, {"io.gfile.GFile": lambda path, mode: _Document(b"")}),
            "zipfile": SimpleNamespace(ZipFile=lambda *_: archive),
            "H5IOStore": twin_store(stock.H5IOStore, twin),
        },
    )["load_model"]
    return load_model(
        request.filepath,
        custom_objects=dict(request.custom_objects),
        compile=request.compile,
        safe_mode=request.safe_mode,
    )


def _batch_set_value(pairs: Any) -> None:
    """Assign as `backend.batch_set_value` does in eager mode; copy only where the dtypes differ."""
    rebuild = current_rebuild()
    for variable, value in pairs:
        dtype = variable.dtype.base_dtype.as_numpy_dtype
        assign(variable, tensor_over(value.astype(dtype, copy=False)))
        if rebuild is not None:
            rebuild.filled.add(id(variable))


@final
class _Document:
    """Bytes that are read as a file and as a context manager."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self) -> bytes:
        """Return everything."""
        return self._content

    def __enter__(self) -> _Document:
        return self

    def __exit__(self, *_: object) -> None:
        return None
