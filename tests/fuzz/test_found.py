"""What fuzzing found: files of which stock said one thing and fastload another."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import fastload
from tests.conftest import SavedOnce
from tests.small_models import KERAS2_ARCHIVE, KERAS3_ARCHIVE, Form, copy_model

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.usefixtures("cache_root")

both_keras = pytest.mark.parametrize(
    "form", [KERAS2_ARCHIVE, KERAS3_ARCHIVE], ids=lambda form: form.id
)
Members = dict[str, bytes]
Edit = Callable[[Members], object]


def same(form: Form, path: Path) -> tuple[str, str] | None:
    """Check that stock and fastload, twice, say the same of *path*; return stock's error."""
    stock = said_of(lambda: form.stock.models.load_model(path))
    for _ in range(2):
        assert said_of(lambda: fastload.load_model(path, keras=form.package)) == stock
    return stock


def said_of(load: Callable[[], Any]) -> tuple[str, str] | None:
    try:
        load()
    except Exception as error:
        return type(error).__name__, re.sub(r"0x[0-9a-f]+|/tmp[\w./-]*", "~", str(error))
    return None


@pytest.fixture
def edited(saved_once: SavedOnce, tmp_path: Path) -> Callable[[Form, Edit], Path]:
    """Returns what copies a `.keras` archive with other members."""

    def edit(form: Form, change: Edit) -> Path:
        path = copy_model(saved_once(form), tmp_path / "m.keras")
        if not zipfile.is_zipfile(path):
            pytest.skip("this Keras writes HDF5")
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        change(members)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path

    return edit


def _initializer(key: str, class_name: str, **config: Any) -> Edit:
    """Return what gives the layers another initializer."""

    def change(members: Members) -> None:
        document = json.loads(members["config.json"])
        for layer in document["config"]["layers"]:
            if key in layer["config"]:
                found = layer["config"][key]
                layer["config"][key] = found | {"class_name": class_name, "config": config}
        members["config.json"] = json.dumps(document).encode()

    return change


@both_keras
@pytest.mark.parametrize(
    "change",
    [
        _initializer("kernel_initializer", "RandomUniform", minval=0.0, maxval=1.0, seed=[None]),
        _initializer("kernel_initializer", "RandomNormal", mean=0.0, stddev={"a": None}, seed=None),
        _initializer("bias_initializer", "Constant", value="text"),
        _initializer("bias_initializer", "Orthogonal", gain=1.0, seed=None),
        _initializer("bias_initializer", "Identity", gain=1.0),
    ],
    ids=["seed", "deviation", "constant", "rank of orthogonal", "rank of identity"],
)
def test_an_initializer_that_fails(edited: Callable[..., Path], form: Form, change: Edit) -> None:
    """A restore does without initial values, but not without their errors."""
    assert same(form, edited(form, change)) is not None


def _variables(change: Callable[[h5py.File], object]) -> Edit:
    """Return what changes the file of the weights."""

    def edit(members: Members) -> None:
        content = io.BytesIO(members["model.weights.h5"])
        with h5py.File(content, "a") as file:
            change(file)
        members["model.weights.h5"] = content.getvalue()

    return edit


def layer_as_dataset(file: h5py.File) -> None:
    del file["layers/dense"]
    file["layers/dense"] = np.ones(2, "f4")


def variables_as_dataset(file: h5py.File) -> None:
    del file["layers/dense/vars"]
    file["layers/dense/vars"] = np.ones(2, "f4")


def no_variables(file: h5py.File) -> None:
    del file["vars"]


@both_keras
@pytest.mark.parametrize("change", [layer_as_dataset, variables_as_dataset, no_variables])
def test_weights_that_are_elsewhere(
    edited: Callable[..., Path], form: Form, change: Callable[[h5py.File], object]
) -> None:
    same(form, edited(form, _variables(change)))


@both_keras
@pytest.mark.parametrize(
    "names",
    [["README"], ["README", "config.json/"], ["assets/", "x"], ["assets/a", "assets/a/b"]],
    ids=" ".join,
)
def test_members_that_keras_does_not_write(
    edited: Callable[..., Path], form: Form, names: list[str]
) -> None:
    """With any member more, Keras unpacks all of them, which fails where they collide."""
    same(form, edited(form, lambda members: members.update(dict.fromkeys(names, b""))))
