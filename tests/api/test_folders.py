"""Unpacked models of Keras 3, in folders and from a hub, as the `.keras` files that they were."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

import fastload
from tests.conftest import SavedOnce
from tests.installed import is_before
from tests.small_models import (
    INPUTS,
    KERAS3_ARCHIVE,
    SAVED_MODEL,
    assert_same_model,
    functional_model,
    package_of,
)


@pytest.fixture
def saving_lib(cache_root: Path) -> Any:
    """Keras's module, if it knows unpacked models."""
    package_of(3)
    module = pytest.importorskip("keras.src.saving.saving_lib")
    if not hasattr(module, "_load_model_from_dir"):
        pytest.skip("this Keras unpacks no archives")
    return module


@pytest.fixture
def folder(saved_once: SavedOnce, saving_lib: Any, tmp_path: Path) -> Path:
    """An unpacked model for this test alone."""
    with ZipFile(saved_once(KERAS3_ARCHIVE)) as archive:
        archive.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


def load(path: Any, **arguments: Any) -> Any:
    return fastload.load_model(path, keras="keras", **arguments)


def stock(path: Any) -> Any:
    return importlib.import_module("keras").saving.load_model(path)


def outcome() -> str:
    report = fastload.last_load()
    assert report is not None
    return report.outcome.value


def raised(call: Any) -> tuple[type[Exception], str]:
    with pytest.raises(Exception) as error:  # noqa: PT011 - whatever stock raises
        call()
    return error.type, str(error.value)


@pytest.mark.parametrize("spell", [str, Path])
def test_an_unpacked_model_is_a_model(folder: Path, spell: Any) -> None:
    for _ in range(2):
        model = load(spell(folder), strict=True)

    assert outcome() == "hit"
    assert_same_model(stock(spell(folder)), model)


@pytest.fixture
def words(saving_lib: Any, tmp_path: Path) -> Path:
    """An unpacked model with an asset, in the folder `words`."""
    keras = KERAS3_ARCHIVE.stock
    layer = keras.layers.StringLookup()
    layer.adapt(["a", "b", "c"])
    model = keras.Sequential([keras.Input((1,), dtype="string"), layer])
    saving_lib.save_model(model, str(tmp_path / "words"), zipped=False)
    return tmp_path / "words"


def test_assets_are_those_of_the_folder(words: Path, tmp_path: Path) -> None:
    """Also behind links, as a hub's own cache has them."""
    (file,) = (each for each in (words / "assets").rglob("*") if each.is_file())
    file.rename(tmp_path / "blob")
    file.symlink_to(tmp_path / "blob")
    found = []
    for text in ("[UNK]\na\nb\nc", "[UNK]\nc\nd"):
        (tmp_path / "blob").write_text(text)
        models = [each(str(words)) for each in (stock, load, load)]
        found += [each.layers[-1].get_vocabulary() for each in models]
        assert outcome() == "hit"

    assert found[0] == found[1] == found[2] != found[3] == found[4] == found[5]


def test_a_linked_folder_of_assets_goes_to_stock(words: Path, tmp_path: Path) -> None:
    """Some versions of Keras follow it, some refuse it; its files are no part of the model here."""
    (of_layer,) = (words / "assets").rglob("string_lookup")
    of_layer.rename(tmp_path / "elsewhere")
    of_layer.symlink_to(tmp_path / "elsewhere")
    tried = []
    for each in (stock, load):
        try:
            tried.append(each(str(words)).layers[-1].get_vocabulary())
        except Exception as error:
            tried.append((type(error), str(error)))

    assert tried[0] == tried[1]
    assert outcome() == "bypass"


def test_a_folder_that_is_a_saved_model_too(folder: Path, saved_once: SavedOnce) -> None:
    """Stock opens the archive, and `tf_keras` the SavedModel; so does fastload."""
    saved = saved_once(SAVED_MODEL)
    shutil.copytree(saved, folder, dirs_exist_ok=True)
    expected = stock(str(folder))
    loaded = load(str(folder))
    with fastload.enabled():
        by_hooks = stock(str(folder))

    assert_same_model(expected, loaded)
    assert_same_model(expected, by_hooks)
    assert outcome() == "bypass"
    assert fastload.load_model(folder, keras="tf_keras", strict=True) is not None


def test_an_edited_folder_is_another_model(folder: Path) -> None:
    load(folder)
    for name in ("config.json", "metadata.json"):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("{", "{ ", 1))
        load(folder, strict=True)
        assert outcome() == "miss"
    functional_model(KERAS3_ARCHIVE.stock, seed=2).save_weights(folder / "model.weights.h5")
    np.testing.assert_array_equal(load(folder).get_weights()[0], stock(folder).get_weights()[0])


def test_what_stock_refuses_is_stocks_error(folder: Path) -> None:
    """A folder that is called like a file, one without weights, and one for Keras 2."""
    named = shutil.copytree(folder, folder.with_name("named.keras"))
    assert raised(lambda: load(named)) == raised(lambda: stock(named))
    (folder / "model.weights.h5").unlink()
    assert raised(lambda: load(folder))[0] is raised(lambda: stock(folder))[0]
    keras2 = pytest.importorskip("tf_keras")
    assert raised(lambda: fastload.load_model(folder, keras="tf_keras")) == raised(
        lambda: keras2.models.load_model(folder)
    )


def test_a_predictor_of_an_unpacked_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fastload.load_predictor(folder, keras="keras").predict(INPUTS)
    assert outcome() == "miss"
    monkeypatch.setenv("FASTLOAD_DISABLE", "1")
    stocks = fastload.load_predictor(folder, keras="keras").predict(INPUTS)

    np.testing.assert_array_equal(stocks, expected)


def test_the_other_functions_know_folders(folder: Path) -> None:
    assert fastload.explain(folder, keras="keras").outcome.value == "miss"
    fastload.warm(folder, keras="keras")
    assert fastload.explain(folder, keras="keras").kind == "keras_folder"
    load(fastload.ref(folder, keras="keras"), strict=True)
    assert outcome() == "hit"


class Hub:
    """What Keras uses of `huggingface_hub`, over folders of this disk."""

    def __init__(self, folder: Path) -> None:
        self.models = {"someone/model": folder}
        self.asked: list[Any] = []

    def snapshot_download(self, **asked: Any) -> str:
        self.asked.append(asked)
        return str(self.models[asked["repo_id"]])


@pytest.mark.skipif(is_before("3.6"), reason="this Keras loads nothing from a hub")
@pytest.mark.parametrize("by_hooks", [False, True], ids=["ours", "hooks"])
def test_a_model_of_a_hub_is_the_one_in_its_cache(
    by_hooks: bool, folder: Path, saving_lib: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for as Keras asks; whether there is a newer one is the hub's to say."""
    (folder / "README.md").write_text("a model")
    hub = Hub(folder)
    monkeypatch.setattr(saving_lib, "huggingface_hub", hub)
    expected = stock("hf://someone/model")
    for _ in range(2):
        if by_hooks:
            with fastload.enabled():
                model = stock("hf://someone/model")
        else:
            model = load("hf://someone/model", strict=True)

    assert outcome() == "hit"
    assert_same_model(expected, model)
    assert hub.asked == [hub.asked[0]] * 3


@pytest.mark.parametrize("hub", [None, SimpleNamespace(snapshot_download=None), "other"])
def test_a_hub_that_has_no_such_model_is_stocks_error(
    hub: Any, folder: Path, saving_lib: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Hub(folder) if hub == "other" else hub
    monkeypatch.setattr(saving_lib, "huggingface_hub", found)
    address = "hf://someone/else"

    assert raised(lambda: load(address)) == raised(lambda: stock(address))
    assert outcome() == "bypass"
