"""Keras 3's own `load_weights`, run over a twin."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from fastload.errors import UnsupportedRequestError, UnsupportedRuntimeError
from fastload.runtime.core.keras import Keras, backend_of
from fastload.runtime.core.rebuild import Rebuild, rebuilding
from fastload.runtime.core.restore_request import WeightsOrder
from fastload.runtime.core.state_readers import StateReaders
from fastload.runtime.core.told import once_as_in
from fastload.runtime.core.transplant import Overlay, entry_over, require_own, transplant
from fastload.runtime.core.twin_archive import twin_store, zip_module
from fastload.runtime.core.zero_copy import MappedArray
from fastload.runtime.keras3.keras3_loaders import (
    Keras3,
    array_of,
    item_of,
    keras3,
    present,
    require_usual_limits,
)
from fastload.runtime.keras3.state_walk import walking
from fastload.runtime.requirements import KERAS3_WEIGHTS
from fastload.twin.format import SHARD_MAP
from fastload.twin.reader import Twin


def load_weights_keras3(twin: Twin, _: Keras, order: WeightsOrder, rebuild: Rebuild) -> None:
    """Run `keras.saving.load_weights` over *twin*.

    Raises:
        UnsupportedRuntimeError: Keras lacks a module or name that is needed.
        UnsupportedRequestError: Keras's limits for files were lowered.
        Exception: whatever the stock function raises.
    """
    parts = keras3()
    require_usual_limits(parts.saving_lib)
    load = _over(parts, twin)
    with rebuilding(rebuild, backend_of(parts.backend).weight_patches(parts.variable)):
        load(order.model, order.filepath, **order.arguments)


def require_reads_shards(path: Any) -> None:
    """Check that this Keras reads weights in shards, from where they are.

    Raises:
        UnsupportedRuntimeError: it does not know them.
        UnsupportedRequestError: it copies the map alone from there.
    """
    saving_lib = KERAS3_WEIGHTS.part("saving_lib")
    if not hasattr(saving_lib, "ShardedH5IOStore"):
        raise UnsupportedRuntimeError("this Keras knows no weights in shards")
    if saving_lib.file_utils.is_remote_path(str(path)):
        raise UnsupportedRequestError(f"Keras takes {str(path)!r} for a remote path")


def _over(parts: Keras3, twin: Twin) -> Callable[..., None]:
    """Return `load_weights` as it is where every file is *twin*."""
    saving_api = KERAS3_WEIGHTS.part("saving_api")
    once_as_in(parts.saving_lib, parts.legacy_h5_format)
    lib = {"load_weights_only": _trees_over(parts, twin)}
    lib |= present(parts.saving_lib, {"safe_get_h5_group": item_of})
    names = {
        "saving_lib": Overlay(parts.saving_lib, lib),
        "legacy_h5_format": SimpleNamespace(**_layers_over()),
        "h5py": _h5py(twin),
    }
    return entry_over(saving_api, "load_weights", present(saving_api, names))


def _trees_over(parts: Keras3, twin: Twin) -> Callable[..., None]:
    """Return what reads trees of variables: `.weights.h5`, in shards or not, and `.keras`."""
    saving_lib = KERAS3_WEIGHTS.part("saving_lib")
    readers = StateReaders(of_programs=False)
    store = twin_store(saving_lib.H5IOStore, twin, readers)
    replaced = {"zipfile": zip_module(twin), "H5IOStore": store}
    if SHARD_MAP in twin.manifest.documents:
        replaced["ShardedH5IOStore"] = _shards_over(saving_lib, twin)
    require_own(saving_lib, "load_weights_only")
    names = walking(saving_lib, parts.global_state, readers, replaced)
    load: Callable[..., None] = names["load_weights_only"]
    return load


def _shards_over(saving_lib: ModuleType, twin: Twin) -> type[Any]:
    """Return the class that reads weights in shards."""
    # Imported here: few are.
    from fastload.runtime.keras3.twin_shards import shard_store

    guards = {"safe_get_h5_group": item_of, "safe_get_h5_dataset": array_of}
    return shard_store(saving_lib, twin, present(saving_lib, guards))


def _layers_over() -> dict[str, Any]:
    """Return the functions that read legacy files, layer by layer."""
    legacy = KERAS3_WEIGHTS.part("legacy_h5_format")
    guards = {"safe_get_h5_group": item_of, "safe_get_h5_dataset": array_of}
    np_of_twin = Overlay(np, {"asarray": MappedArray.of})
    readers = StateReaders(of_programs=False)
    names = transplant(legacy, {"np": np_of_twin, **present(legacy, guards)})
    names["hasattr"] = readers.hasattr
    return names


def _h5py(twin: Twin) -> SimpleNamespace:
    """Return what stands for h5py: each of its files is *twin*."""
    return SimpleNamespace(available=True, File=lambda *_, **__: twin.root)
