"""A fingerprint is content: all of it, and nothing else."""

import errno
import io
import mmap
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fastload.errors import UnsupportedSourceError
from fastload.imports import linking
from fastload.source import fingerprint as fingerprint_module
from fastload.source.detect import FileStat, SourceKind, detect
from fastload.source.fingerprint import content_digest, fingerprint
from tests.conftest import RunPython

Tree = dict[str, bytes]
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

_names = st.text("abcé .-0", min_size=1, max_size=6).filter(lambda name: name not in {".", ".."})
_shards = st.builds("variables/variables.data-{:05}-of-00009".format, st.integers(0, 8))
_assets = st.builds("{}/{}".format, st.sampled_from(["assets", "assets/a_b"]), _names)
_paths = st.one_of(_shards, _assets)
_trees = st.dictionaries(_paths, st.binary(max_size=40), min_size=1, max_size=5)


@contextmanager
def saved_model(tree: Tree) -> Iterator[Path]:
    """Write *tree* as a SavedModel folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        for path, content in ({"saved_model.pb": graph_with_assets(tree)} | tree).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        yield folder


def graph_with_assets(tree: Tree) -> bytes:
    """Return a `saved_model.pb` that lists the assets in *tree* and nothing else."""
    assets = [path.removeprefix("assets/").encode() for path in tree if path.startswith("assets/")]
    listed = [pb_field(6, pb_field(2, name)) for name in sorted(assets)]
    return pb_field(2, b"".join(listed))


def pb_field(number: int, content: bytes) -> bytes:
    """Return a field of a protocol buffer."""
    high, low = divmod(len(content), 128)
    return bytes([number << 3 | 2, low | 128, high]) + content


def digest_of(path: Path) -> str:
    return fingerprint(detect(path)).digest


@settings(max_examples=25)
@given(_trees)
def test_a_copy_has_the_same_digest(tree: Tree) -> None:
    """Times, inodes and the folder's name are no part of it."""
    with saved_model(tree) as folder:
        copy = shutil.copytree(folder, folder.with_name("elsewhere.keras"))

        assert digest_of(folder) == digest_of(copy)


@settings(max_examples=25)
@given(_trees, st.data())
def test_any_edited_byte_changes_the_digest(tree: Tree, data: st.DataObject) -> None:
    """One bit of one byte of one file."""
    tree["variables/variables.index"] = b"content"
    with saved_model(tree) as folder:
        before = digest_of(folder)
        name = data.draw(st.sampled_from([path for path, content in tree.items() if content]))
        content = bytearray((folder / name).read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        (folder / name).write_bytes(content)

        assert digest_of(folder) != before


@settings(max_examples=25)
@given(_trees, _paths, st.data())
def test_any_renamed_file_changes_the_digest(tree: Tree, new: str, data: st.DataObject) -> None:
    """Names are content: a graph finds its assets by name."""
    assume(new not in tree)
    with saved_model(tree) as folder:
        before = digest_of(folder)
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        (folder / data.draw(st.sampled_from(sorted(tree)))).rename(folder / new)

        assert digest_of(folder) != before


@settings(max_examples=25)
@given(_trees, _paths, st.binary(max_size=3))
def test_any_added_or_removed_file_changes_the_digest(tree: Tree, new: str, content: bytes) -> None:
    """An empty file counts as well."""
    assume(new not in tree)
    with saved_model(tree) as smaller, saved_model(tree | {new: content}) as larger:
        assert digest_of(smaller) != digest_of(larger)


def test_bytes_cannot_move_from_one_file_to_the_next() -> None:
    """Every part of what is hashed has its length with it."""
    with (
        saved_model({"assets/a": b"12", "assets/b": b"3"}) as one,
        saved_model({"assets/a": b"1", "assets/b": b"23"}) as other,
    ):
        assert digest_of(one) != digest_of(other)


def test_one_content_under_two_suffixes_has_one_digest(tmp_path: Path) -> None:
    """The suffix matters to stock loaders, not to a twin."""
    for name in ("model.h5", "model.keras"):
        (tmp_path / name).write_bytes(HDF5_SIGNATURE + b"rest")

    assert digest_of(tmp_path / "model.h5") == digest_of(tmp_path / "model.keras")


def test_big_files_are_hashed_like_small_ones() -> None:
    """Two threads share the work; the order of the result is that of the names."""
    parts = {f"variables/variables.data-0000{i}-of-00002": os.urandom(9 * 2**20) for i in (0, 1)}
    swapped = dict(zip(parts, reversed(parts.values()), strict=True))
    with saved_model(parts) as one, saved_model(swapped) as other:
        again = digest_of(shutil.copytree(one, one.with_name("copy")))

        assert digest_of(one) == again
        assert digest_of(one) != digest_of(other)


def test_a_change_since_detection_is_noticed(tmp_path: Path) -> None:
    """The stats in the result are those of the content that was hashed."""
    path = tmp_path / "model.h5"
    path.write_bytes(HDF5_SIGNATURE + b"old")
    stale = detect(path)
    path.write_bytes(HDF5_SIGNATURE + b"newer")
    result = fingerprint(stale)

    assert result.digest == digest_of(path)
    assert result.files == detect(path).files


def test_a_file_that_is_being_written_is_refused(tmp_path: Path) -> None:
    """A digest of half-old and half-new bytes would name nothing."""
    path = tmp_path / "model.h5"
    path.write_bytes(HDF5_SIGNATURE + bytes(32 * 2**20))
    done = threading.Event()

    def keep_writing() -> None:
        with path.open("ab", buffering=0) as file:
            while not done.is_set():
                file.write(b"x")

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        with pytest.raises(UnsupportedSourceError, match="is being written to"):
            fingerprint(detect(path))
    finally:
        done.set()
        writer.join()


def test_a_file_that_vanishes_is_refused(tmp_path: Path) -> None:
    """Between detection and reading anything can happen."""
    path = tmp_path / "model.h5"
    path.write_bytes(HDF5_SIGNATURE)
    source = detect(path)
    path.unlink()

    with pytest.raises(UnsupportedSourceError, match="cannot be read"):
        fingerprint(source)


@pytest.mark.parametrize(("age_s", "settled"), [(0, False), (59, False), (61, True)])
def test_a_file_is_settled_once_the_system_has_written_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age_s: int, settled: bool
) -> None:
    """Until then, a page that was written through a memory map is written again without a trace."""
    path = tmp_path / "model.h5"
    path.write_bytes(HDF5_SIGNATURE)
    monkeypatch.setattr(time, "time_ns", lambda: path.stat().st_mtime_ns + age_s * 10**9)

    assert fingerprint(detect(path)).settled is settled


@pytest.mark.parametrize(("ahead_s", "settled"), [(-3600, True), (0, False), (3600, True)])
def test_times_that_were_set_count_where_they_are_near(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_s: int, settled: bool
) -> None:
    """Archivers set what was long ago, or is far ahead; an edit sets what is now."""
    path = tmp_path / "model.h5"
    path.write_bytes(HDF5_SIGNATURE)
    now_ns = time.time_ns() + 61 * 10**9
    os.utime(path, ns=(now_ns, now_ns + ahead_s * 10**9))
    monkeypatch.setattr(time, "time_ns", lambda: now_ns)

    assert fingerprint(detect(path)).settled is settled


def test_a_file_that_takes_the_place_for_a_moment_is_not_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that leads elsewhere while a file is opened leaves no trace in the file's stat."""
    with saved_model({"variables/some": b"content", "assets/a": b""}) as folder:
        variables = folder / "variables"
        mine = variables.rename(tmp_path / "mine")
        other = shutil.copytree(mine, tmp_path / "other")
        (other / "some").write_bytes(b"CONTENT")
        variables.symlink_to(mine)
        expected = digest_of(folder)
        stock = Path.open

        def misled(path: Path, *arguments: object, **options: object) -> object:
            if path.name != "some":
                return stock(path, *arguments, **options)  # type: ignore[call-overload]
            monkeypatch.setattr(Path, "open", stock)
            variables.unlink()
            variables.symlink_to(other)
            file = path.open("rb", buffering=0)
            variables.unlink()
            variables.symlink_to(mine)
            return file

        monkeypatch.setattr(Path, "open", misled)

        assert digest_of(folder) == expected


def test_pages_that_are_written_through_a_map_leave_no_trace(tmp_path: Path) -> None:
    """Which is why a file of this minute is not settled; where they leave one, all the better."""
    path = tmp_path / "model.h5"
    path.write_bytes(HDF5_SIGNATURE + bytes(8192))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        content[100] = 1
        before = fingerprint(detect(path))
        content[100] = 2
        after = fingerprint(detect(path))

    assert before.digest != after.digest
    assert before.files != after.files or not before.settled


def test_the_digest_is_the_same_whoever_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads; this one alone, while TensorFlow is linked; and from memory."""
    path = tmp_path / "model.h5"
    path.write_bytes(HDF5_SIGNATURE + os.urandom(33 * 2**20))
    expected = digest_of(path)
    monkeypatch.setattr(linking, "is_running", lambda: True)
    monkeypatch.setattr(threading.Thread, "start", None)

    assert digest_of(path) == expected
    assert content_digest(SourceKind.KERAS_HDF5, path.read_bytes()) == expected


@pytest.mark.parametrize("begin", [0, 1])
def test_a_system_without_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: int
) -> None:
    """This thread does what none could be begun for."""
    path = tmp_path / "model.h5"
    path.write_bytes(HDF5_SIGNATURE + os.urandom(33 * 2**20))
    expected = digest_of(path)
    monkeypatch.setattr("fastload.system.processors", lambda: 2)
    start, begun = threading.Thread.start, []

    def refuse(thread: threading.Thread) -> None:
        begun.append(thread)
        if len(begun) > begin:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert digest_of(path) == expected
    assert len(begun) == begin + 1


def test_the_interpreter_may_be_about_to_end(tmp_path: Path, run_python: RunPython) -> None:
    """Then there are no new threads."""
    path = tmp_path / "model.h5"
    path.write_bytes(HDF5_SIGNATURE + os.urandom(17 * 2**20))
    program = """
import atexit, sys
from pathlib import Path
from fastload.source.detect import detect
from fastload.source.fingerprint import fingerprint
atexit.register(lambda: print(fingerprint(detect(Path(sys.argv[1]))).digest))
"""

    assert run_python(program, path) == digest_of(path)


class _Short(io.FileIO):
    """A file that ends early, as some of network file systems do."""

    def readinto(self, buffer: Any, /) -> int:
        del buffer
        return 0


def test_a_file_that_ends_early_is_not_taken_for_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its size is said to be."""
    path = tmp_path / "model.h5"
    path.write_bytes(HDF5_SIGNATURE + bytes(100))
    source = detect(path)
    monkeypatch.setattr(Path, "open", lambda path, mode, buffering: _Short(path, mode))

    with pytest.raises(UnsupportedSourceError, match="is being written to"):
        fingerprint(source)


def test_a_piece_that_cannot_be_read_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever thread had it; none goes on with the rest for long."""
    path = tmp_path / "model.h5"
    path.write_bytes(HDF5_SIGNATURE + bytes(40 * 2**20))
    stock = fingerprint_module._hash_piece

    def fail(path: Path, expected: FileStat, offset: int) -> bytes | None:
        if offset:
            raise OSError(errno.EIO, "Input/output error")
        return stock(path, expected, offset)

    monkeypatch.setattr(fingerprint_module, "_hash_piece", fail)

    with pytest.raises(UnsupportedSourceError, match="Input/output error"):
        digest_of(path)
