"""What Keras's loaders of `.keras` archives see of a twin."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import fastload
from fastload.runtime.core.twin_archive import WEIGHTS_MEMBER, zip_module
from fastload.twin.reader import Twin
from tests.small_models import KERAS3_ARCHIVE, Form

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.skipif(not hasattr(keras, "version"), reason="Keras 2 has other archives")


@pytest.fixture
def twin(saved_once: Callable[[Form], Path], cache_root: Path) -> Twin:
    path = saved_once(KERAS3_ARCHIVE)
    fastload.load_model(path, keras="keras")
    return Twin.open(next(cache_root.glob("*.h5")))


def test_it_is_of_the_class_that_keras_asks_for(twin: Twin) -> None:
    """Keras 3.12 to 3.14 unpack what is no `ZipFile` as a tar."""
    module = zip_module(twin)
    with module.ZipFile("anything", "r") as archive:
        assert isinstance(archive, zipfile.ZipFile)
        assert isinstance(archive, module.ZipFile)
        assert module.BadZipFile is zipfile.BadZipFile


def test_it_has_the_members_of_the_source(twin: Twin, saved_once: Callable[[Form], Path]) -> None:
    """But for the weights, which are read elsewhere."""
    with (
        zipfile.ZipFile(saved_once(KERAS3_ARCHIVE)) as source,
        zip_module(twin).ZipFile() as archive,
    ):
        assert sorted(archive.namelist()) == sorted(source.namelist())
        for name in set(source.namelist()) - {WEIGHTS_MEMBER}:
            assert archive.read(name) == source.read(name)
            assert archive.open(name, "r").read() == source.read(name)


@pytest.mark.parametrize("unpacks", ["by itself", "as a tar"])
def test_it_unpacks_as_each_keras_asks(unpacks: str, cache_root: Path, tmp_path: Path) -> None:
    """By itself, or with members and the argument that a tar takes; assets are as in the source."""
    path = tmp_path / "words.keras"
    layer = keras.layers.StringLookup()
    layer.adapt(["a", "b"])
    keras.Sequential([keras.Input((1,), dtype="string"), layer]).save(path)
    fastload.load_model(path, keras="keras")
    more = {"members": [], "filter": "data"} if unpacks == "as a tar" else {}
    twin = Twin.open(next(cache_root.glob("*.h5")))
    with zipfile.ZipFile(path) as source, zip_module(twin).ZipFile() as archive:
        archive.extractall(str(tmp_path), **more)
        assets = [name for name in source.namelist() if name.startswith("assets/")]
        assert assets
        assert all((tmp_path / name).read_bytes() == source.read(name) for name in assets)
