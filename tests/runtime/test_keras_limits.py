"""Keras's limits on what a file may unpack to hold, also where a program made them stricter."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

import fastload
from fastload.errors import UnsupportedRequestError
from tests.conftest import SavedOnce
from tests.small_models import KERAS3_ARCHIVE, KERAS3_HDF5, Form

pytest.importorskip("tensorflow")


def saving_lib(form: Form) -> Any:
    module: Any = form.stock.src.saving.saving_lib
    if not hasattr(module, "_ZIP_EXTRACT_BOMB_FLOOR_BYTES"):
        pytest.skip("this Keras has no limits")
    return module


def with_zeros(source: Path, target: Path) -> Path:
    """Copy an archive, with an asset that unpacks to a thousand times its stored size."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("assets/zeros.bin", bytes(200_000), zipfile.ZIP_DEFLATED)
    return target


def test_an_asset_that_a_stricter_keras_refuses(
    saved_once: SavedOnce, tmp_path: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin was made before, and the refusal is Keras's own."""
    keras = saving_lib(KERAS3_ARCHIVE)
    path = with_zeros(saved_once(KERAS3_ARCHIVE), tmp_path / "model.keras")
    fastload.load_model(path, keras="keras", strict=True)
    monkeypatch.setattr(keras, "_ZIP_EXTRACT_BOMB_FLOOR_BYTES", 64)

    with pytest.raises(ValueError, match="decompression bomb"):
        fastload.load_model(path, keras="keras")


@pytest.mark.parametrize("form", [KERAS3_HDF5, KERAS3_ARCHIVE], ids=lambda form: form.id)
def test_a_stricter_keras_reads_files_itself(
    form: Form, saved_once: SavedOnce, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only Keras knows what its limits mean, so the load is left to it."""
    monkeypatch.setattr(saving_lib(form), "_H5_DATASET_BOMB_FLOOR_BYTES", 2**20)

    with pytest.raises(UnsupportedRequestError, match="_H5_DATASET_BOMB_FLOOR_BYTES"):
        fastload.load_model(saved_once(form), keras="keras", strict=True)
