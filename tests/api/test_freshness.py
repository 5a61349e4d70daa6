"""A model is never served stale, and never converted twice for nothing."""

from __future__ import annotations

import mmap
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import fastload
from fastload.errors import UnsupportedSourceError
from tests.conftest import SavedOnce
from tests.small_models import (
    INPUTS,
    KERAS2_HDF5,
    KERAS3_ARCHIVE,
    KERAS3_HDF5,
    SAVED_MODEL,
    SavedModel,
    assert_same_arrays,
    assert_same_model,
    copy_model,
    functional_model,
    save,
)

pytest.importorskip("tensorflow")


@pytest.fixture
def other(model: SavedModel, saved_once: SavedOnce) -> Path:
    """A model of the same form and layout with other weights."""
    return saved_once(model.form, seed=2)


def load(model: SavedModel, path: Path | None = None) -> Any:
    return fastload.load_model(path or model.path, keras=model.form.package, strict=True)


def outcome() -> str:
    report = fastload.last_load()
    assert report is not None
    return report.outcome.value


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_model_that_is_saved_again_is_loaded_anew(
    model: SavedModel, other: Path, cache_root: Path
) -> None:
    """In place, at once, with the same names and sizes."""
    load(model)
    if model.path.is_dir():
        shutil.copytree(other, model.path, dirs_exist_ok=True)
    else:
        shutil.copyfile(other, model.path)
    loaded = load(model)

    assert outcome() == "miss"
    assert_same_model(model.load_stock(), loaded)


def test_a_model_that_is_replaced_is_loaded_anew(
    model: SavedModel, other: Path, cache_root: Path
) -> None:
    """Removed and written again, as savers do."""
    load(model)
    remove(model.path)
    copy_model(other, model.path)
    loaded = load(model)

    assert outcome() == "miss"
    assert_same_model(model.load_stock(), loaded)


def test_a_replacement_with_the_times_of_the_old_files_is_noticed(
    model: SavedModel, other: Path, cache_root: Path
) -> None:
    """Archives and synchronisation tools set modification times."""
    time.sleep(0.06)
    load(model)
    times = {path: path.stat() for path in files(model.path)}
    remove(model.path)
    copy_model(other, model.path)
    for path, status in times.items():
        if path.exists():
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    loaded = load(model)

    assert_same_model(model.load_stock(), loaded)


def files(path: Path) -> list[Path]:
    return [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]


def test_quick_edits_are_all_noticed(
    model: SavedModel, other: Path, saved_once: SavedOnce, cache_root: Path
) -> None:
    """Faster than the clock of the file system ticks."""
    for source in (other, saved_once(model.form), other):
        remove(model.path)
        copy_model(source, model.path)
        loaded = load(model)

        assert_same_model(model.load_stock(), loaded)


def test_a_touched_model_is_still_the_same(model: SavedModel, cache_root: Path) -> None:
    """Only its content is looked at again."""
    load(model)
    for path in files(model.path):
        path.touch()
    load(model)

    assert outcome() == "hit"


def test_a_copied_model_hits(model: SavedModel, tmp_path: Path, cache_root: Path) -> None:
    """The twin belongs to the content, not to the path."""
    load(model)
    copy = copy_model(model.path, tmp_path / f"copy{model.form.suffix}")
    loaded = load(model, copy)

    assert outcome() == "hit"
    assert_same_model(model.load_stock(), loaded)


def test_a_renamed_model_hits(model: SavedModel, tmp_path: Path, cache_root: Path) -> None:
    """So does one that is reached through a link."""
    load(model)
    moved = tmp_path / f"moved{model.form.suffix}"
    model.path.rename(moved)
    load(model, moved)
    first = outcome()
    model.path.symlink_to(moved)
    load(model)

    assert (first, outcome()) == ("hit", "hit")


def test_a_source_that_is_removed_after_its_load_is_gone(
    model: SavedModel, cache_root: Path
) -> None:
    """A twin does not stand in for a model that its owner deleted."""
    load(model)
    remove(model.path)
    with pytest.raises((OSError, ValueError)):
        fastload.load_model(model.path, keras=model.form.package)


@contextmanager
def edited_while_converted(path: Path, replacement: Path) -> Iterator[None]:
    """Replace a file as soon as its conversion has read it."""
    from fastload.loading import build

    stock = build.convert

    def convert_and_edit(*arguments: Any) -> int:
        size = stock(*arguments)
        shutil.copyfile(replacement, path)
        return size

    build.convert = convert_and_edit
    try:
        yield
    finally:
        build.convert = stock


def test_a_source_that_is_edited_while_it_is_converted_gets_no_twin(
    saved_once: SavedOnce, tmp_path: Path, cache_root: Path
) -> None:
    """What was read may be half old and half new, under the digest of the old."""
    form = KERAS2_HDF5
    path = copy_model(saved_once(form), tmp_path / "m.h5")
    with edited_while_converted(path, saved_once(form, seed=2)):
        with pytest.raises(UnsupportedSourceError, match="was written to while it was converted"):
            fastload.load_model(path, keras=form.package, strict=True)
        shutil.copyfile(saved_once(form), path)
        loaded = fastload.load_model(path, keras=form.package)
    report = fastload.last_load()

    assert report is not None
    assert (report.outcome.value, report.code) == ("bypass", "FL201")
    assert_same_model(form.stock.models.load_model(path), loaded)
    assert not list(cache_root.glob("*.h5"))


@contextmanager
def written_through_a_map(path: Path) -> Iterator[Callable[[Path], None]]:
    """Yield what gives *path* another content through a map whose pages are dirty already."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        content[:] = content[:]

        def write(source: Path) -> None:
            content[:] = source.read_bytes()

        yield write


@pytest.fixture
def two_of_a_length(tmp_path: Path) -> tuple[Path, Path]:
    """Two HDF5 files of the same length, with other weights."""
    paths = tmp_path / "one.h5", tmp_path / "two.h5"
    for seed, path in enumerate(paths):
        model = functional_model(KERAS2_HDF5.stock, seed=seed)
        model.save(path, include_optimizer=False)
    assert paths[0].stat().st_size == paths[1].stat().st_size
    return paths


def load_hdf5(path: Path, *, strict: bool = True) -> Any:
    return fastload.load_model(path, keras=KERAS2_HDF5.package, strict=strict)


def test_a_model_that_is_written_through_a_map_is_loaded_anew(
    two_of_a_length: tuple[Path, Path], cache_root: Path
) -> None:
    """Its stat stays the same until the system has written the pages back."""
    path, other = two_of_a_length
    time.sleep(0.1)
    with written_through_a_map(path) as write:
        time.sleep(0.1)
        load_hdf5(path)
        load_hdf5(path)
        write(other)
        loaded = load_hdf5(path)
        stock = KERAS2_HDF5.stock.models.load_model(path)

    assert outcome() == "miss"
    assert_same_model(stock, loaded)


def test_a_model_that_is_written_through_a_map_while_it_is_converted_gets_no_twin(
    two_of_a_length: tuple[Path, Path], cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the digest of the one would be the weights of the other, for good."""
    from fastload.loading import build

    path, other = two_of_a_length
    stock = build.convert
    first = path.read_bytes()
    with written_through_a_map(path) as write:
        time.sleep(0.1)

        def write_and_convert(*arguments: Any) -> int:
            write(other)
            return stock(*arguments)

        monkeypatch.setattr(build, "convert", write_and_convert)
        with pytest.raises(UnsupportedSourceError, match="was written to while it was converted"):
            load_hdf5(path)
    assert not list(cache_root.glob("*.h5"))
    monkeypatch.undo()
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", str(cache_root))
    path.write_bytes(first)

    assert_same_model(KERAS2_HDF5.stock.models.load_model(path), load_hdf5(path))


#: Without the `.keras` of Keras 2: loads of it beside loads of other kinds break in stock as well.
SIDE_BY_SIDE = {2: (SAVED_MODEL, KERAS2_HDF5), 3: (KERAS3_HDF5, KERAS3_ARCHIVE)}


@pytest.mark.parametrize("generation", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_many_threads_load_many_models_at_once(
    generation: int, tmp_path: Path, cache_root: Path
) -> None:
    """Eight threads, four models, cold and warm: each gets its own, right to the bit."""
    models = []
    for seed, form in enumerate(SIDE_BY_SIDE[generation] * 2):
        path = tmp_path / f"{seed}{form.suffix}"
        save(functional_model(form.stock, seed=seed + 10), path)
        models.append(SavedModel(form=form, path=path))
    stock = [model.load_stock() for model in models]
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(load, models * 6))

    for each, expected in zip(loaded, stock * 6, strict=True):
        assert_same_arrays(expected.get_weights(), each.get_weights())
        assert (each(INPUTS).numpy() == expected(INPUTS).numpy()).all()
    assert len(list(cache_root.glob("*.h5"))) == 4
