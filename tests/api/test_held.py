"""Models that a caller holds open or in memory: file objects, `h5py.File`, pickles."""

from __future__ import annotations

import copy
import importlib
import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import fastload
from fastload.hooks import serving
from fastload.loading import seen
from tests.conftest import SavedOnce
from tests.needs import IS_FIRST_KERAS_3
from tests.small_models import (
    KERAS2_ARCHIVE,
    KERAS2_HDF5,
    KERAS3_ARCHIVE,
    KERAS3_HDF5,
    Form,
    assert_same_model,
    assert_same_weights,
    functional_model,
)

pytestmark = pytest.mark.skipif(IS_FIRST_KERAS_3, reason="this Keras opens no files that are open")
Loader = Callable[..., Any]


@pytest.fixture
def archive(saved_once: SavedOnce, cache_root: Path, tmp_path: Path) -> Path:
    """A `.keras` file of Keras 3 for this test alone, and a cache of its own."""
    return Path(shutil.copy(saved_once(KERAS3_ARCHIVE), tmp_path / "own.keras"))


@pytest.fixture
def hooks(cache_root: Path) -> Iterator[None]:
    fastload.install()
    yield
    fastload.uninstall()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have bytes be worth a twin as soon as they come again, however fast stock is."""
    monkeypatch.setattr(seen, "_APART_S", 0.0)
    monkeypatch.setattr(seen, "_LEAST_S", 0.0)


def stock_loader(form: Form) -> Loader:
    """Return Keras's own function for open files."""
    if form.generation == 2:
        place, name = f"{form.package}.models", "load_model"
    elif form.suffix == ".h5":
        place, name = "keras.src.legacy.saving.legacy_h5_format", "load_model_from_hdf5"
    else:
        place, name = "keras.src.saving.saving_lib", "load_model"
    loader: Loader = getattr(importlib.import_module(place), name)
    return loader


def outcome() -> str:
    report = fastload.last_load()
    assert report is not None
    return report.outcome.value


def reason() -> str:
    report = fastload.last_load()
    assert report is not None
    return report.reason or ""


def told(load: Callable[[], Any]) -> tuple[Any, ...]:
    """Return what was raised."""
    try:
        return "loaded", load()
    except Exception as error:
        return type(error), str(error)


OPEN: dict[str, Callable[[Path], Any]] = {
    "file": lambda path: path.open("rb"),
    "bytes": lambda path: io.BytesIO(path.read_bytes()),
}


@pytest.mark.parametrize("open_it", OPEN.values(), ids=OPEN)
def test_an_open_archive_is_its_file(open_it: Callable[[Path], Any], archive: Path) -> None:
    """It is left open and where Keras leaves it; its twin is that of the path."""
    with open_it(archive) as file:
        expected = stock_loader(KERAS3_ARCHIVE)(file)
        place = file.tell()
    for before in (0, 7):
        with open_it(archive) as file:
            file.seek(before)
            actual = fastload.load_model(file, keras="keras", strict=True)
            assert file.tell() == place

    assert outcome() == "hit"
    assert_same_model(expected, actual)
    fastload.load_model(archive, keras="keras", strict=True)
    assert outcome() == "hit"


@pytest.mark.parametrize("open_it", OPEN.values(), ids=OPEN)
def test_an_open_archive_with_assets_is_left_where_keras_leaves_it(
    open_it: Callable[[Path], Any], cache_root: Path, tmp_path: Path
) -> None:
    keras = KERAS3_ARCHIVE.stock
    layer = keras.layers.StringLookup()
    layer.adapt(["a", "b", "c"])
    keras.Sequential([keras.Input((1,), dtype="string"), layer]).save(tmp_path / "words.keras")
    with zipfile.ZipFile(tmp_path / "words.keras") as opened:
        assert len(opened.namelist()) > 3

    places = []
    for load in (stock_loader(KERAS3_ARCHIVE), *[fastload.load_model] * 2):
        with open_it(tmp_path / "words.keras") as file:
            model = load(file)
            places.append((file.tell(), model.layers[-1].get_vocabulary()))

    assert outcome() == "hit"
    assert places[0] == places[1] == places[2]


@pytest.mark.usefixtures("at_once", "cache_root")
@pytest.mark.parametrize("form", [KERAS2_HDF5, KERAS3_HDF5], ids=lambda form: form.id)
@pytest.mark.parametrize("in_memory", [False, True], ids=["file", "bytes"])
@pytest.mark.parametrize("by_hooks", [False, True], ids=["ours", "hooks"])
def test_an_open_hdf5_file_is_its_file(
    form: Form, in_memory: bool, by_hooks: bool, saved_once: SavedOnce
) -> None:
    path = saved_once(form)
    given = io.BytesIO(path.read_bytes()) if in_memory else path
    expected = stock_loader(form)(h5py.File(given, "r"))
    found = []
    for _ in range(3):
        with h5py.File(given, "r") as file:
            if by_hooks:
                with fastload.enabled():
                    actual = stock_loader(form)(file)
            else:
                actual = fastload.load_model(file, keras=form.package)  # type: ignore[arg-type]
            assert file
            assert "model_weights" in file
        found.append(outcome())

    is_new = by_hooks and in_memory
    assert found == (["bypass", "miss", "hit"] if is_new else ["miss", "hit", "hit"])
    assert_same_model(expected, actual)


def test_a_file_that_is_written_to_is_for_stock(saved_once: SavedOnce, cache_root: Path) -> None:
    """What it holds may not be on the disk."""
    path = Path(shutil.copy(saved_once(KERAS2_HDF5), cache_root.parent / "own.h5"))
    with h5py.File(path, "r+") as file:
        fastload.load_model(file, keras=KERAS2_HDF5.package)  # type: ignore[arg-type]

    assert outcome() == "bypass"
    assert "not open for reading alone" in reason()


def test_a_file_whose_path_leads_elsewhere_is_for_stock(archive: Path) -> None:
    """The file that is open is loaded, not the one that took its place."""
    with archive.open("rb") as file:
        keras = KERAS3_ARCHIVE.stock
        other = functional_model(keras, seed=2)
        archive.unlink()
        other.save(archive)
        expected = stock_loader(KERAS3_ARCHIVE)(file)
        actual = fastload.load_model(file, keras="keras")

    assert outcome() == "bypass"
    assert "the open file is not the one at" in reason()
    assert_same_model(expected, actual)


@pytest.mark.parametrize("given", [b"", b"PK\x03\x04 and no more", b"\x89HDF\r\n\x1a\n"])
def test_bytes_that_are_no_model_are_stocks_error(given: bytes, archive: Path) -> None:
    stock = told(lambda: stock_loader(KERAS3_ARCHIVE)(io.BytesIO(given)))
    ours = told(lambda: fastload.load_model(io.BytesIO(given), keras="keras"))

    assert ours == stock
    assert ours[0] != "loaded"


def test_who_says_nothing_of_safe_mode_is_safe(archive: Path) -> None:
    """Arguments that are the default do not reach a stand-in; a version may have one."""

    def stock(fileobj: Any, custom_objects: Any, compile: Any, safe_mode: Any = True) -> None:  # noqa: A002
        """A loader of open archives as a later Keras may have it."""

    given = io.BytesIO(archive.read_bytes())
    for told, expected in (({}, True), ({"safe_mode": False}, False)):
        request = serving.open_archive(stock, {"fileobj": given, **told})
        assert request is not None
        assert request.safe_mode is expected


def test_what_load_model_of_keras_takes_is_stocks_to_say(archive: Path, hooks: None) -> None:
    """Its public function takes no open file, whether it is served or not."""
    load = KERAS3_ARCHIVE.stock.saving.load_model
    with fastload.disabled():
        stock = told(lambda: load(io.BytesIO(archive.read_bytes())))
    ours = told(lambda: load(io.BytesIO(archive.read_bytes())))

    assert ours[0] == stock[0] != "loaded"


def test_an_open_archive_in_keras_2_is_stocks_error(
    saved_once: SavedOnce, cache_root: Path
) -> None:
    content = saved_once(KERAS2_ARCHIVE).read_bytes()
    package: Any = KERAS2_ARCHIVE.package
    with pytest.raises(OSError, match="Unable to load model"):
        fastload.load_model(io.BytesIO(content), keras=package)


def pickled(form: Form) -> tuple[bytes, Any]:
    model = functional_model(form.stock)
    content = pickle.dumps(model)
    return content, pickle.loads(content)


FORMS_OF_PICKLES = [
    KERAS3_ARCHIVE,
    pytest.param(KERAS2_ARCHIVE, marks=pytest.mark.full),
]


@pytest.mark.parametrize("form", FORMS_OF_PICKLES, ids=lambda form: form.id)
def test_a_pickle_that_comes_again_gets_a_twin(form: Form, at_once: None, hooks: None) -> None:
    content, expected = pickled(form)
    found = [(outcome(), reason())]
    for _ in range(2):
        actual = pickle.loads(content)
        found.append((outcome(), reason()))

    assert found[0] == (
        "bypass",
        "its bytes are new: they get a twin when they come again",
    )
    assert found[1:] == [("miss", ""), ("hit", "")]
    assert_same_model(expected, actual)


def test_copies_leave_no_twins(archive: Path, hooks: None, cache_root: Path) -> None:
    """Each is other bytes; those of the same second are the same, and never come again."""
    model = functional_model(KERAS3_ARCHIVE.stock)
    for _ in range(3):
        copied = copy.deepcopy(model)

    assert_same_weights(model, copied)
    assert outcome() == "bypass"
    assert not list(cache_root.glob("*.h5"))


def test_what_saves_too_little_gets_no_twin(
    archive: Path, hooks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To hash the bytes may take longer than stock does."""
    monkeypatch.setattr(seen, "_APART_S", 0.0)
    monkeypatch.setattr(seen, "_LEAST_S", 0.0)
    monkeypatch.setattr(seen, "HASHED_BYTES_PER_S", 1.0)
    for _ in range(3):
        stock_loader(KERAS3_ARCHIVE)(io.BytesIO(archive.read_bytes()))

    assert outcome() == "bypass"
    assert reason() == "a twin of its bytes would save too little"


def test_bytes_that_cannot_be_converted_are_tried_once(
    archive: Path, at_once: None, hooks: None
) -> None:
    """A member twice in an archive is one of the reasons; it is loaded by stock each time."""
    with zipfile.ZipFile(archive, "a") as opened, pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr("config.json", opened.read("config.json"))
    found = []
    for _ in range(4):
        with io.BytesIO(archive.read_bytes()) as file:
            stock_loader(KERAS3_ARCHIVE)(file)
            found.append((outcome(), reason(), file.tell()))

    assert {each[0] for each in found} == {"bypass"}
    assert "come again" in found[0][1]
    assert found[1] == found[2] == found[3]


def test_a_cache_that_cannot_be_written_fails_no_pickle(
    at_once: None, hooks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, expected = pickled(KERAS3_ARCHIVE)
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", os.devnull)
    for _ in range(2):
        actual = pickle.loads(content)

    assert outcome() == "bypass"
    assert_same_model(expected, actual)


def test_what_is_remembered_of_bytes_may_be_damaged(
    archive: Path, at_once: None, hooks: None, cache_root: Path
) -> None:
    load = stock_loader(KERAS3_ARCHIVE)
    load(io.BytesIO(archive.read_bytes()))
    for damage in (b"", b"[1]", b'{"a": 1}', b"[" * 100_000):
        (cache_root / "memo" / "held").write_bytes(damage)
        load(io.BytesIO(archive.read_bytes()))
        assert outcome() == "bypass"
    load(io.BytesIO(archive.read_bytes()))
    assert outcome() == "miss"


def test_the_oldest_of_what_was_seen_is_forgotten(
    archive: Path, at_once: None, hooks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "_MOST", 1)
    contents = [archive.read_bytes(), archive.read_bytes() + b" "]
    load = stock_loader(KERAS3_ARCHIVE)
    for content in contents * 2:
        told(lambda content=content: load(io.BytesIO(content)))
        assert outcome() == "bypass"


def test_a_twin_of_a_path_serves_its_bytes(archive: Path, at_once: None, hooks: None) -> None:
    """Content is what counts."""
    fastload.load_model(archive, keras="keras")
    load = stock_loader(KERAS3_ARCHIVE)
    load(io.BytesIO(archive.read_bytes()))
    model = load(io.BytesIO(archive.read_bytes()))

    assert outcome() == "hit"
    np.testing.assert_array_equal(model.get_weights()[0], load(archive).get_weights()[0])


def test_nothing_is_remembered_of_what_stock_loads_at_once(
    archive: Path, hooks: None, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that copies a small model again and again writes nothing."""
    monkeypatch.setattr(seen, "_LEAST_S", 1e9)
    for _ in range(2):
        stock_loader(KERAS3_ARCHIVE)(io.BytesIO(archive.read_bytes()))

    assert "come again" in reason()
    assert not (cache_root / "memo" / "held").exists()
