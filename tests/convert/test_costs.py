"""A conversion reads what stock reads, and costs no more than the file is worth. (#18)"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import fastload
from fastload.errors import BypassError
from tests.conftest import RunPython, SavedOnce
from tests.needs import NEEDS_ARCHIVES
from tests.small_models import (
    KERAS2_ARCHIVE,
    KERAS2_HDF5,
    KERAS3_ARCHIVE,
    KERAS3_HDF5,
    SAVED_MODEL,
    Form,
    assert_same_weights,
    copy_model,
)

pytest.importorskip("tensorflow")

MIB = 2**20
WEIGHTS = "model.weights.h5"


def empty_strings(group: h5py.Group) -> None:
    group.create_dataset("0", (2**18,), h5py.string_dtype())


def unwritten(group: h5py.Group) -> None:
    for index in range(40):
        group.create_dataset(str(index), (16 * MIB,), "f4")


def many_datasets(group: h5py.Group) -> None:
    for index in range(5000):
        group.create_dataset(str(index), (), "u1")


def many_groups(group: h5py.Group) -> None:
    for index in range(5000):
        group.create_group(str(index))


def many_links(group: h5py.Group) -> None:
    for index in range(5000):
        group[str(index)] = h5py.SoftLink(f"/nowhere/{index}")


def tiny_chunks(group: h5py.Group) -> None:
    group.create_dataset("0", (32 * MIB,), "u1", chunks=(1,))


def long_attributes(group: h5py.Group) -> None:
    for index in range(300):
        group.attrs[str(index)] = np.zeros(8000, "u1")


BURDENS = (
    empty_strings,
    unwritten,
    many_datasets,
    many_groups,
    many_links,
    tiny_chunks,
    long_attributes,
)
of_each_burden = pytest.mark.parametrize("burden", BURDENS, ids=lambda each: each.__name__)
in_both_archives = pytest.mark.parametrize(
    "form",
    [KERAS3_ARCHIVE, pytest.param(KERAS2_ARCHIVE, marks=NEEDS_ARCHIVES)],
    ids=lambda form: form.id,
)


def with_weights(source: Path, target: Path, change: Callable[[h5py.File], None]) -> Path:
    """Copy an archive, with *change* made to its weights."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as changed:
        for name in archive.namelist():
            content = io.BytesIO(archive.read(name))
            if name == WEIGHTS:
                with h5py.File(content, "r+") as file:
                    change(file)
            changed.writestr(name, content.getvalue())
    return target


def outcome_of(load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:
        return type(error), re.sub("0x[0-9a-f]+", "0x0", str(error))


def cached_bytes(cache_root: Path) -> int:
    """Return what the cache takes on the disk."""
    files = [path for path in cache_root.rglob("*") if path.is_file()]
    return sum(path.stat().st_blocks * 512 for path in files)


@of_each_burden
@pytest.mark.parametrize("form", [KERAS3_HDF5, KERAS2_HDF5], ids=lambda form: form.id)
def test_what_keras_does_not_read_is_not_converted(
    form: Form,
    burden: Callable[[h5py.Group], None],
    saved_once: SavedOnce,
    tmp_path: Path,
    cache_root: Path,
) -> None:
    """Of a legacy file: the twin serves it, and holds the model alone."""
    path = copy_model(saved_once(form), tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        burden(file.create_group("model_weights/unread"))
    expected = form.stock.models.load_model(path)
    actual = fastload.load_model(path, keras=form.package, strict=True)

    assert_same_weights(expected, actual)
    assert cached_bytes(cache_root) < MIB


@of_each_burden
@in_both_archives
def test_a_burden_among_variables_is_left_to_stock_or_left_out(
    form: Form,
    burden: Callable[[h5py.Group], None],
    saved_once: SavedOnce,
    tmp_path: Path,
    cache_root: Path,
) -> None:
    """Only classes know what they read of a tree of variables. Stock reads none of this one."""
    path = with_weights(
        saved_once(form),
        tmp_path / "m.keras",
        lambda file: burden(file.create_group("layers/unread/vars")),
    )
    explanation = fastload.explain(path, keras=form.package)
    expected = form.stock.models.load_model(path)
    actual = fastload.load_model(path, keras=form.package)
    report = fastload.last_load()

    assert_same_weights(expected, actual)
    assert cached_bytes(cache_root) < MIB
    assert report is not None
    assert explanation.outcome == report.outcome  # whether it is read, or left to stock
    if burden is long_attributes:
        assert report.outcome.value == "miss"
    else:
        assert (report.outcome.value, report.code in ("FL202", "FL203")) == ("bypass", True)
        with pytest.raises(BypassError):
            fastload.warm(path, keras=form.package)


@pytest.mark.parametrize("form", [KERAS3_HDF5, KERAS2_HDF5], ids=lambda form: form.id)
def test_weights_that_were_never_written_are_left_to_stock(
    form: Form, saved_once: SavedOnce, tmp_path: Path, cache_root: Path
) -> None:
    """Where a layer lists them: stock refuses the file, after it read a few of them or none."""
    path = copy_model(saved_once(form), tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        layer = file["model_weights/c"]
        unwritten(layer)
        layer.attrs["weight_names"] = np.array([str(index).encode() for index in range(20)])
    expected = outcome_of(lambda: form.stock.models.load_model(path))
    actual = outcome_of(lambda: fastload.load_model(path, keras=form.package))

    assert isinstance(expected, tuple)
    assert actual == expected
    assert cached_bytes(cache_root) < MIB


CONVERT = """
import resource, sys
from pathlib import Path
from fastload.convert.convert import convert
from fastload.source.detect import detect
from fastload.source.fingerprint import fingerprint
for path in sys.argv[2:]:
    source = detect(path)
    content = fingerprint(source)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    convert(Path(sys.argv[1]), source, content, "keras3", "keras")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_utime - before)
"""


def model_of(path: Path, count: int) -> Path:
    """Write a legacy file of *count* layers."""
    layers = [{"class_name": "Dense", "config": {"name": f"l{index}"}} for index in range(count)]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": layers})
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = np.array([f"l{index}".encode() for index in range(count)])
        for index in range(count):
            layer = weights.create_group(f"l{index}")
            layer.attrs["weight_names"] = np.array([b"w"])
            layer["w"] = np.ones(3)
    return path


@pytest.mark.slow
def test_time_is_linear_in_the_number_of_datasets(tmp_path: Path, run_python: RunPython) -> None:
    """6,000 took fifteen times as long as 1,500, and four times is in proportion."""
    paths = [model_of(tmp_path / f"{count}.h5", count) for count in (250, 1500, 6000)]
    _, small, large = run_python(CONVERT, tmp_path / "twin", *paths).split()

    assert float(large) < 8 * float(small)


def aligned(source: Path, target: Path) -> Path:
    """Copy an archive so that its weights begin where HDF5 looks for a file."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as changed:
        for name in ("metadata.json", "config.json"):
            changed.writestr(name, archive.read(name))
        assert changed.fp is not None
        space = 2**16 - changed.fp.tell() - 30 - len(WEIGHTS)
        weights = zipfile.ZipInfo(WEIGHTS)
        weights.extra = b"\xfe\xca" + (space - 4).to_bytes(2, "little") + bytes(space - 4)
        changed.writestr(weights, archive.read(WEIGHTS))
    assert h5py.is_hdf5(target)
    return target


@in_both_archives
def test_an_archive_may_hold_the_signature_of_hdf5_anywhere(
    form: Form, saved_once: SavedOnce, tmp_path: Path, cache_root: Path
) -> None:
    """Its name says what stock takes it for; under another one, stock's answer is the answer."""
    path = aligned(saved_once(form), tmp_path / "m.keras")
    other = copy_model(path, tmp_path / "m.h5")
    actual = fastload.load_model(path, keras=form.package, strict=True)
    expected_of_other = outcome_of(lambda: form.stock.models.load_model(other))

    assert_same_weights(form.stock.models.load_model(path), actual)
    assert isinstance(expected_of_other, tuple)
    assert outcome_of(lambda: fastload.load_model(other, keras=form.package)) == expected_of_other


#: In place of the class of a model.
GONE = {"module": "gone", "class_name": "Gone", "registered_name": None}


@pytest.mark.parametrize(
    "metadata", [b"{", b"[" * 100_000, b"\xff", b"[]"], ids=["cut", "deep", "no-text", "list"]
)
def test_metadata_of_any_kind_leave_stock_its_error(
    metadata: bytes, saved_once: SavedOnce, tmp_path: Path, cache_root: Path
) -> None:
    """Keras reads none; fastload asks them whether Keras 2 wrote an archive that stock refuses."""
    form = KERAS3_ARCHIVE
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(saved_once(form)) as archive, zipfile.ZipFile(path, "w") as changed:
        changed.writestr("metadata.json", metadata)
        config = json.loads(archive.read("config.json"))
        changed.writestr("config.json", json.dumps(config | GONE))
        changed.writestr(WEIGHTS, archive.read(WEIGHTS))
    expected = outcome_of(lambda: form.stock.models.load_model(path))
    actual = outcome_of(lambda: fastload.load_model(path, keras=form.package))
    report = fastload.last_load()

    assert isinstance(expected, tuple)
    assert actual == expected
    assert report is not None
    assert (report.path, report.outcome.value) == (str(path), "bypass")


def test_a_config_that_is_too_deep_is_left_to_stock(
    saved_once: SavedOnce, tmp_path: Path, cache_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a word of ours: stock says that it is."""
    form = KERAS3_ARCHIVE
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(saved_once(form)) as archive, zipfile.ZipFile(path, "w") as changed:
        changed.writestr("metadata.json", b"{}")
        changed.writestr("config.json", b"[" * 100_000)
        changed.writestr(WEIGHTS, archive.read(WEIGHTS))
    expected = outcome_of(lambda: form.stock.models.load_model(path))
    actual = outcome_of(lambda: fastload.load_model(path, keras=form.package))

    assert expected[0] is RecursionError
    assert actual == expected
    assert "please report this" not in caplog.text


def test_what_lies_among_the_assets_is_not_read(
    saved_once: SavedOnce, tmp_path: Path, cache_root: Path
) -> None:
    """A link to a large folder, whose files no graph names."""
    path = copy_model(saved_once(SAVED_MODEL), tmp_path / "m")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "film.mp4").touch()
    os.truncate(elsewhere / "film.mp4", 2**40)
    shutil.rmtree(path / "assets", ignore_errors=True)
    (path / "assets").symlink_to(elsewhere)
    package = SAVED_MODEL.package
    explanation = fastload.explain(path, keras=package)
    report = fastload.warm(path, keras=package)
    actual = fastload.load_model(path, keras=package, strict=True)

    assert (explanation.outcome.value, report.outcome.value) == ("miss", "miss")
    assert_same_weights(SAVED_MODEL.stock.models.load_model(path), actual)
