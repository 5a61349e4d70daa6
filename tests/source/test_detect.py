"""What lies at a path is told by content."""

import io
import os
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastload.errors import FastloadError, UnsafeSourceError, UnsupportedSourceError
from fastload.source.detect import SourceKind, detect
from tests.source.test_fingerprint import graph_with_assets, pb_field


def make_hdf5(path: Path, **options: int) -> Path:
    with h5py.File(path, "w", **options) as file:
        file["x"] = np.ones(3)
    return path


def make_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    return path


def make_saved_model(folder: Path) -> Path:
    for name in (
        "saved_model.pb",
        "keras_metadata.pb",
        "fingerprint.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "assets/deep/words.txt",
        "assets/notes.txt",
        "assets.extra/requests",
        "variables/notes.txt",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    (folder / "saved_model.pb").write_bytes(graph_with_assets({"assets/deep/words.txt": b""}))
    return folder


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "model", "model.pb"])
def test_hdf5_is_known_by_content_under_any_name(tmp_path: Path, name: str) -> None:
    """The suffix is recorded but decides nothing."""
    source = detect(make_hdf5(tmp_path / name))

    assert source.kind is SourceKind.KERAS_HDF5
    assert source.suffix == Path(name).suffix


@pytest.mark.parametrize("block", [512, 1024, 4096, 2**20])
def test_hdf5_behind_a_user_block_is_found(tmp_path: Path, block: int) -> None:
    """HDF5 allows foreign bytes before its signature."""
    path = make_hdf5(tmp_path / "model.h5", userblock_size=block)

    assert detect(path).kind is SourceKind.KERAS_HDF5


@pytest.mark.parametrize("spelled", ["model.h5/", "nowhere/../model.h5", "model.h5/."])
def test_what_the_system_refuses_is_no_model(tmp_path: Path, spelled: str) -> None:
    """Stock does not open it either."""
    make_hdf5(tmp_path / "model.h5")

    with pytest.raises(UnsupportedSourceError, match="cannot be read"):
        detect(f"{tmp_path}/{spelled}")


def test_zip_is_known_by_content(tmp_path: Path) -> None:
    """An archive named like HDF5 is an archive."""
    source = detect(make_zip(tmp_path / "model.H5"))

    assert source.kind is SourceKind.KERAS_ARCHIVE
    assert source.suffix == ".h5"


def test_saved_model_lists_the_files_that_stock_loaders_read(tmp_path: Path) -> None:
    """Fingerprint and serving extras shape no model."""
    source = detect(make_saved_model(tmp_path))

    assert source.kind is SourceKind.SAVED_MODEL
    assert [file.name for file in source.files] == [
        "assets/deep/words.txt",
        "keras_metadata.pb",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]


def test_stats_are_those_of_the_files(tmp_path: Path) -> None:
    """Size, times, inode and device come from the file itself."""
    path = make_hdf5(tmp_path / "model.h5")
    (file,) = detect(path).files
    status = path.stat()

    assert (file.size, file.mtime_ns, file.ctime_ns, file.inode, file.device) == (
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
    )


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    """Download caches are folders of links to content-named files."""
    blob = tmp_path / "blob"
    blob.write_bytes(b"graph")
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "saved_model.pb").symlink_to(blob)
    link = tmp_path / "model.keras"
    link.symlink_to(folder)
    source = detect(link)

    assert source.path == folder.resolve()
    assert source.suffix == ".keras"
    assert source.files[0].inode == blob.stat().st_ino


@pytest.mark.parametrize("spell", [str, os.fsencode, Path])
def test_every_spelling_of_a_path_works(tmp_path: Path, spell) -> None:
    """Text, bytes and path objects name the same model."""
    path = make_hdf5(tmp_path / "größe.h5")

    assert detect(spell(path)) == detect(str(path))


@pytest.mark.parametrize("url", ["gs://a/b", "s3://a", "hf://user/model", "https://a/model.h5"])
def test_remote_paths_are_left_to_stock(url: str) -> None:
    """Nothing is fetched."""
    with pytest.raises(UnsupportedSourceError, match="is a remote path"):
        detect(url)


@pytest.mark.parametrize("thing", [io.BytesIO(), None, 3])
def test_what_is_no_path_is_left_to_stock(thing: object) -> None:
    """Stock loaders accept some of these, and word the error for others."""
    with pytest.raises(UnsupportedSourceError, match=f"a {type(thing).__name__} object is not"):
        detect(thing)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("marker", "reason"),
    [
        ("saved_model.cpb", "is a SavedModel in chunked form"),
        ("_CHECKPOINT_METADATA", "is an Orbax checkpoint"),
        ("12/_CHECKPOINT_METADATA", "is a folder of Orbax checkpoints"),
        ("README", "is a folder without saved_model.pb"),
    ],
)
def test_other_folders_are_named(tmp_path: Path, marker: str, reason: str) -> None:
    """The reason says what the folder is."""
    (tmp_path / marker).parent.mkdir(exist_ok=True)
    (tmp_path / marker).touch()

    with pytest.raises(UnsupportedSourceError, match=reason):
        detect(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"P", "neither HDF5"), (b"x" * 9999, "neither HDF5")],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """Neither signature, no conversion."""
    path = tmp_path / "model.h5"
    path.write_bytes(content)

    with pytest.raises(UnsupportedSourceError, match=reason):
        detect(path)


@pytest.mark.parametrize("path", ["missing.h5", "a\0b", "x" * 5000])
def test_a_path_that_cannot_be_read_says_so(path: str) -> None:
    """Whatever the system calls raise."""
    with pytest.raises(UnsupportedSourceError, match="cannot be read"):
        detect(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Opening one would block until somebody writes."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "saved_model.pb").touch()
    (tmp_path / "variables").mkdir()
    os.mkfifo(tmp_path / "variables" / "variables.index")

    with pytest.raises(UnsupportedSourceError, match="neither a file nor a folder"):
        detect(tmp_path / "pipe")
    with pytest.raises(UnsupportedSourceError, match=r"'variables/variables.index' in .* not a"):
        detect(tmp_path)


def test_of_a_folder_only_what_the_graph_lists_is_looked_at(tmp_path: Path) -> None:
    """Whatever lies beside it, and wherever a link leads: stock opens files by name. (#18)"""
    elsewhere = tmp_path / "elsewhere"
    model = make_saved_model(tmp_path / "model")
    (model / "assets").rename(elsewhere)
    (model / "assets").symlink_to(elsewhere)
    (elsewhere / "again").symlink_to(elsewhere)
    (elsewhere / "gone").symlink_to(tmp_path / "nowhere")
    for name in ("film.mp4", "deep/film.mp4"):
        (elsewhere / name).write_bytes(b"")
        os.truncate(elsewhere / name, 2**40)
    names = [file.name for file in detect(model).files if file.name.startswith("assets")]

    assert names == ["assets/deep/words.txt"]


def test_assets_that_an_old_graph_lists_are_found(tmp_path: Path) -> None:
    """Before 1.9 TensorFlow listed them in a collection."""
    asset = pb_field(1, pb_field(1, b"type.googleapis.com/x") + pb_field(2, pb_field(2, b"old")))
    collection = pb_field(1, b"saved_model_assets") + pb_field(2, pb_field(5, asset))
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "old").touch()
    (tmp_path / "saved_model.pb").write_bytes(pb_field(2, pb_field(4, collection)))

    assert [file.name for file in detect(tmp_path).files] == ["assets/old", "saved_model.pb"]


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b"])
def test_an_asset_outside_of_the_model_is_refused(tmp_path: Path, name: str) -> None:
    """Its content would shape the model without being part of its digest."""
    make_saved_model(tmp_path)
    graph = graph_with_assets({f"assets/{name}": b""})
    (tmp_path / "saved_model.pb").write_bytes(graph)

    with pytest.raises(UnsafeSourceError, match="lies outside of"):
        detect(tmp_path)


def test_large_assets_are_left_to_stock(tmp_path: Path) -> None:
    """A graph may list what no function reads; hashing it would take longer than the load."""
    make_saved_model(tmp_path)
    os.truncate(tmp_path / "assets" / "deep" / "words.txt", 2**40)

    with pytest.raises(UnsupportedSourceError, match="has assets of over 1,073,741,824 bytes"):
        detect(tmp_path)


def test_a_crowded_checkpoint_is_left_to_stock(tmp_path: Path) -> None:
    """Its files are looked for in the whole folder, at every load."""
    make_saved_model(tmp_path)
    for index in range(10_000):
        (tmp_path / "variables" / str(index)).touch()

    with pytest.raises(UnsupportedSourceError, match="has over 10,000 entries"):
        detect(tmp_path)


def test_a_dangling_link_is_refused(tmp_path: Path) -> None:
    """A model with a missing part belongs to stock, which names it."""
    make_saved_model(tmp_path)
    (tmp_path / "variables" / "variables.index").unlink()
    (tmp_path / "variables" / "variables.index").symlink_to(tmp_path / "nowhere")

    with pytest.raises(FastloadError, match="cannot be read: No such file"):
        detect(tmp_path)


def test_detecting_a_saved_model_takes_less_than_a_millisecond(tmp_path: Path) -> None:
    """It runs on every hit."""
    make_saved_model(tmp_path)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        detect(tmp_path)
        times.append(time.perf_counter() - start)

    assert min(times) < 1e-3
