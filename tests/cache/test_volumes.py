"""Models on images that are mounted one after the other, with nothing to tell them apart."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastload.cache.directory import CacheDir
from fastload.cache.memo import recall, remember, volumes_of
from fastload.source.detect import HDF5_SIGNATURE, detect
from fastload.source.fingerprint import fingerprint

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such images")
_UUID = "11111111-1111-1111-1111-111111111111"


def _ext4(folder: Path, image: Path) -> list[list[str]]:
    image.write_bytes(bytes(4 * 2**20))
    options = ["-q", "-U", _UUID, "-E", f"hash_seed={_UUID}", "-d", str(folder), str(image)]
    times = [f"set_inode_field m.h5 {name} @1000000000" for name in ("ctime", "ctime_extra")]
    return [
        ["mkfs.ext4", *options],
        *(["debugfs", "-w", "-R", each, str(image)] for each in times),
    ]


def _squashfs(folder: Path, image: Path) -> list[list[str]]:
    times = ["-all-time", "0", "-mkfs-time", "0"]
    return [["mksquashfs", str(folder), str(image), "-quiet", *times]]


def _is_done(command: list[str]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return not subprocess.run(command, capture_output=True, check=False).returncode


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """Mount *image*, read-only; skip the test where that is not allowed."""
    if not _is_done(["mount", "-o", "loop,ro", str(image), str(folder)]):
        pytest.skip("this user may not mount images")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(params=[_ext4, _squashfs])
def images(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """Two images whose stats are the same, with models of the same length."""
    make: Callable[[Path, Path], list[list[str]]] = request.param
    model = tmp_path / "tree" / "m.h5"
    model.parent.mkdir()
    made = []
    for content in (b"a", b"b"):
        model.write_bytes(HDF5_SIGNATURE + content * 3000)
        image = tmp_path / f"{content.decode()}.img"
        subprocess.run(["touch", "-d", "@1000000000", str(model.parent), str(model)], check=True)
        if not all(map(_is_done, make(model.parent, image))):
            pytest.skip("this system makes no such images")
        made.append(image)
    return made


def test_images_that_follow_one_another_are_told_apart(
    images: list[Path], cache: CacheDir, tmp_path: Path
) -> None:
    """On read-only file systems, times are what they were built with."""
    place = tmp_path / "mnt"
    place.mkdir()
    path = place / "m.h5"
    with mounted(images[0], place):
        files = detect(path).files
        settled = fingerprint(detect(path))
        remember(cache, path, fingerprint(detect(path)), converter="any")
        volumes = volumes_of(path, files)
        again = volumes_of(path, files)
    with mounted(images[1], place):
        files_then, files = files, detect(path).files
        memo = recall(cache, path, files, converter="any")
        others = volumes_of(path, files)

    assert files == files_then
    assert memo is not None
    assert settled.digest == memo.digest
    assert not memo.is_current
    assert volumes == again != others


def test_what_stays_mounted_stays_known(cache: CacheDir, tmp_path: Path) -> None:
    """No more than the stats is asked for where a file system can be written to."""
    path = tmp_path / "m.h5"
    path.write_bytes(HDF5_SIGNATURE)
    files = detect(path).files

    assert volumes_of(path, files) == volumes_of(path, files) != {}


def test_a_file_that_is_gone_has_no_known_volume(tmp_path: Path) -> None:
    """It ends no load."""
    path = tmp_path / "m.h5"
    path.write_bytes(HDF5_SIGNATURE)
    files = detect(path).files
    path.unlink()

    assert set(volumes_of(path, files).values()) == {""}
