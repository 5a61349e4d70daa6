"""Files that the user names for results: written where, and as, a shell's `>` writes them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fastload.cli.arrays import write_outputs, writer_of
from fastload.user_files import written

from .conftest import Cli, Twins, document_of

posix = pytest.mark.skipif(os.name == "nt", reason="devices, pipes and modes of POSIX")
PREDICTED = {"y": np.arange(6, dtype=np.float32)}


def write(path: Path, content: bytes = b"new") -> None:
    with written(path) as file:
        file.write(content)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def entry(twins: Twins, tmp_path: Path) -> str:
    return twins.add_for(tmp_path / "model.h5", "a" * 64).name


@pytest.fixture
def null(tmp_path: Path) -> Iterator[Path]:
    """A device of this test alone, like `/dev/null`."""
    path = tmp_path / "null"
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.write_bytes(b"taken")
    except OSError:
        pytest.skip("this user may make no devices")
    yield path
    path.unlink()


@posix
def test_a_device_stays_one(cli: Cli, entry: str, null: Path) -> None:
    done = cli("export", entry, "-o", null, "--json")

    assert done.exit_code == 0, done.output
    assert document_of(done)["size_bytes"] > 10_000
    assert null.is_char_device()


@posix
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".json"])
def test_outputs_go_into_a_device(null: Path, tmp_path: Path, suffix: str) -> None:
    """By a link, as the suffix says what to write."""
    link = tmp_path / f"y{suffix}"
    link.symlink_to(null)
    write_outputs(link, writer_of(link), PREDICTED)

    assert link.is_symlink()
    assert null.is_char_device()


def read_of(path: Path) -> tuple[threading.Thread, list[bytes]]:
    """Begin to read a pipe to its end."""
    content: list[bytes] = []
    reader = threading.Thread(target=lambda: content.append(path.read_bytes()), daemon=True)
    reader.start()
    return reader, content


@posix
def test_a_pipe_gets_the_archive(cli: Cli, entry: str, tmp_path: Path) -> None:
    """The one that a file would get."""
    pipe, file = tmp_path / "pipe", tmp_path / "twins.tar"
    os.mkfifo(pipe)
    reader, content = read_of(pipe)
    assert [cli("export", entry, "-o", path).exit_code for path in (pipe, file)] == [0, 0]
    reader.join(timeout=60)

    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert content == [file.read_bytes()]


@posix
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".json"])
def test_a_pipe_gets_the_outputs(tmp_path: Path, suffix: str) -> None:
    pipe, file = tmp_path / f"pipe{suffix}", tmp_path / f"file{suffix}"
    os.mkfifo(pipe)
    reader, content = read_of(pipe)
    for path in (pipe, file):
        write_outputs(path, writer_of(path), PREDICTED)
    reader.join(timeout=60)

    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert content == [file.read_bytes()]


@posix
@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_is_written_through(tmp_path: Path, is_there: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "file", tmp_path / "link"
    link.symlink_to(target)
    if is_there:
        target.write_bytes(b"old")
    write(link)

    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert [*target.parent.iterdir()] == [target]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o660])
def test_a_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    write(path)

    assert (path.read_bytes(), mode_of(path)) == (b"new", mode)


@posix
def test_a_new_file_has_the_mode_of_any(tmp_path: Path) -> None:
    """Which others may read, if the mask of the user says so."""
    before = os.umask(0o027)
    try:
        write_outputs(tmp_path / "y.json", writer_of(tmp_path / "y.json"), PREDICTED)
    finally:
        os.umask(before)

    assert mode_of(tmp_path / "y.json") == 0o640


@posix
def test_a_file_of_two_names_keeps_both(tmp_path: Path) -> None:
    """It is written into; shorter content leaves nothing of what was there."""
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"something old")
    other.hardlink_to(path)
    write(path)

    assert path.samefile(other)
    assert other.read_bytes() == b"new"


@pytest.mark.parametrize("names", [1, 2])
def test_what_fails_before_it_writes_changes_nothing(tmp_path: Path, names: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    for number in range(1, names):
        (tmp_path / f"other{number}").hardlink_to(path)
    with pytest.raises(ValueError, match="no"), written(path):
        raise ValueError("no")

    assert path.read_bytes() == b"old"
    assert len([*tmp_path.iterdir()]) == names


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file by itself")
def test_a_file_that_is_mounted_is_written_into(tmp_path: Path) -> None:
    """As into a container: its name cannot be given to another file."""
    path, outside = tmp_path / "file", tmp_path / "outside"
    path.write_bytes(b"old")
    outside.write_bytes(b"old")
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "--bind", outside, path], check=False).returncode:
        pytest.skip("this user may not mount")
    try:
        write(path)
    finally:
        subprocess.run(["umount", path], check=True)

    assert outside.read_bytes() == b"new"
    assert {each.name for each in tmp_path.iterdir()} == {"file", "outside"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write to any")
def test_a_file_that_is_read_only_stays(cli: Cli, entry: str, tmp_path: Path) -> None:
    path = tmp_path / "twins.tar"
    path.write_bytes(b"old")
    path.chmod(0o400)

    assert cli("export", entry, "-o", path).exit_code == 2
    with pytest.raises(PermissionError):
        write(path)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("word", ["", "twins/"])
def test_a_word_that_names_no_file_is_a_mistake(cli: Cli, entry: str, word: str) -> None:
    done = cli("export", entry, "-o", word)

    assert done.exit_code == 2
    assert f"{word!r} names no file" in done.stderr
