"""Keras 2's own `load_weights`, run over a twin."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from fastload.errors import UnconvertibleModelError, UnsupportedRequestError
from fastload.runtime.core.blank_variables import assign, require_no_tape
from fastload.runtime.core.keras import Keras
from fastload.runtime.core.rebuild import Patch, Rebuild, current_rebuild, rebuilding
from fastload.runtime.core.restore_request import WeightsOrder
from fastload.runtime.core.state_readers import StateReaders, only_assigns
from fastload.runtime.core.told import once_as_in
from fastload.runtime.core.transplant import (
    Overlay,
    entry_over,
    require_own,
    transplant,
    transplanted,
)
from fastload.runtime.core.twin_archive import twin_store, zip_module
from fastload.runtime.core.zero_copy import tensor_over
from fastload.runtime.requirements import ASSIGNMENT, KERAS2_HDF5, KERAS2_WEIGHTS
from fastload.twin.format import STATE
from fastload.twin.reader import Twin
from fastload.twin.view import TwinGroup


def load_weights_keras2(twin: Twin, keras: Keras, order: WeightsOrder, rebuild: Rebuild) -> Any:
    """Run `Model.load_weights` over *twin*.

    Raises:
        UnsupportedRuntimeError: Keras lacks a module or name that is needed.
        UnconvertibleModelError: the file lacks a group that Keras 2 asks for.
        UnsupportedRequestError: a layer of a program's does something when it has its weights, or
            a tape records.
        Exception: whatever the stock function raises.
    """
    require_no_tape()
    _require_own_states(keras.package, order.model)
    load = _over(keras.package, twin)
    with rebuilding(rebuild, [_assignment_patch()]):
        return load(order.model, order.filepath, **order.arguments)


def _require_own_states(package: str, model: Any) -> None:
    """Check that no layer has a `finalize_state` of a program's: Keras calls all of them."""
    KERAS2_WEIGHTS.part("training", package)
    for layer in model._flatten_layers():
        # Keras 2.8 has some layers without.
        if not only_assigns(getattr(layer, "finalize_state", only_assigns)):
            kind = type(layer).__name__
            raise UnsupportedRequestError(f"{kind} has a finalize_state of its own")


def _over(package: str, twin: Twin) -> Callable[..., Any]:
    """Return `load_weights` as it is where every HDF5 file is *twin*."""
    saving_api = KERAS2_WEIGHTS.optional("saving_api", package)
    if saving_api is None:  # before 2.12
        return _method_over(package, twin)
    legacy = KERAS2_WEIGHTS.part("legacy_save", package)
    of_legacy = entry_over(legacy, "load_weights", _hdf5_over(package, twin))
    of_trees = _trees_over(package, twin)
    names = {
        "saving_lib": Overlay(saving_api.saving_lib, {"load_weights_only": of_trees}),
        "legacy_sm_saving_lib": Overlay(legacy, {"load_weights": of_legacy}),
    }
    return entry_over(saving_api, "load_weights", names)


def _method_over(package: str, twin: Twin) -> Callable[..., Any]:
    training = KERAS2_WEIGHTS.part("training", package)
    method = vars(training.Model)["load_weights"]
    return transplanted(training, method, _hdf5_over(package, twin))


def _hdf5_over(package: str, twin: Twin) -> dict[str, Any]:
    """Return what reads legacy files, layer by layer."""
    stock_backend = KERAS2_HDF5.part("backend", package)
    backend = Overlay(stock_backend, {"batch_set_value": _batch_set_value})
    stock = KERAS2_HDF5.part("hdf5_format", package)
    h5py = SimpleNamespace(File=lambda *_, **__: twin.root, Group=TwinGroup)
    hdf5_format = transplant(stock, {"backend": backend, "h5py": h5py})
    return {"h5py": h5py, "hdf5_format": SimpleNamespace(**hdf5_format)}


def _trees_over(package: str, twin: Twin) -> Callable[..., None]:
    """Return what reads trees of variables: `.weights.h5` and `.keras`."""
    saving_lib = KERAS2_WEIGHTS.part("saving_lib", package)
    readers = StateReaders(of_programs=False)
    store = twin_store(saving_lib.H5IOStore, twin, readers)
    once_as_in(saving_lib)
    require_own(saving_lib, "load_weights_only")
    names = transplant(saving_lib, {"zipfile": zip_module(twin), "H5IOStore": store})
    names["hasattr"] = readers.hasattr
    load: Callable[..., None] = names["load_weights_only"]

    def load_weights_only(*args: Any, **kwargs: Any) -> None:
        if "vars" not in twin.root.get(STATE, twin.root):
            raise UnconvertibleModelError("the HDF5 file has no variables of the model's own")
        load(*args, **kwargs)

    return load_weights_only


def _batch_set_value(pairs: Any) -> None:
    """Assign as `backend.batch_set_value` does in eager mode; copy only where the dtypes differ."""
    rebuild = current_rebuild()
    put_off = None if rebuild is None else rebuild.put_off
    for variable, value in pairs:
        dtype = variable.dtype.base_dtype.as_numpy_dtype
        tensor = tensor_over(value.astype(dtype, copy=False))
        if put_off is not None and put_off.takes(variable, tensor):
            continue
        if put_off is not None:
            put_off.remember(variable)
        assign(variable, tensor)


def _assignment_patch() -> Patch:
    variable = ASSIGNMENT.part("variables").BaseResourceVariable
    return Patch(variable, "assign", _patched_assign)


def _patched_assign(stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def patched(self: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        rebuild = current_rebuild()
        if rebuild is not None and rebuild.put_off is not None:
            rebuild.put_off.remember(self)
        return stock(self, value, *args, **kwargs)

    return patched
