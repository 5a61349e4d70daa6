"""What Keras 3 opens besides paths of files: open files, unpacked archives, models of a hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastload.errors import UnsupportedSourceError
from fastload.runtime.requirements import KERAS3_LOADS
from fastload.source.detect import SourceKind
from fastload.switch import as_stock


def open_file_loader(kind: SourceKind) -> Callable[..., Any]:
    """Return the function of Keras 3 that loads an open file, which its `load_model` does not take.

    Raises:
        UnsupportedRuntimeError: this version has none.
    """
    if kind is SourceKind.KERAS_HDF5:
        return as_stock(KERAS3_LOADS.part("legacy_h5_format").load_model_from_hdf5)
    return as_stock(KERAS3_LOADS.part("saving_lib").load_model)


def opens_folders() -> bool:
    """Say whether this Keras 3 opens unpacked archives."""
    return hasattr(KERAS3_LOADS.part("saving_lib"), "_load_model_from_dir")


def hub_folder(address: str) -> str:
    """Return where the model at an `hf://` address is on this disk, as Keras 3 asks for it.

    Raises:
        UnsupportedSourceError: this Keras knows no hub, or it has no such model.
    """
    saving_lib = KERAS3_LOADS.part("saving_lib")
    hub = getattr(saving_lib, "huggingface_hub", None)
    if hub is None or not opens_folders():
        raise UnsupportedSourceError(f"{address!r}: this Keras opens no model of a hub")
    try:
        return str(
            hub.snapshot_download(
                repo_id=address.removeprefix("hf://"),
                library_name="keras",
                library_version=saving_lib.keras_version,
            )
        )
    except Exception as error:  # whatever it is, stock says it as well
        raise UnsupportedSourceError(f"{address!r} cannot be had: {error}") from error
