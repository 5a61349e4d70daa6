"""Faults of the cache: every load succeeds, one warning and the report say why, strict raises."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fastload
from fastload.cache.directory import CacheDir
from fastload.errors import (
    CacheError,
    CacheLockTimeoutError,
    CacheUnwritableError,
    TwinCorruptError,
    TwinVersionError,
)
from fastload.twin.format import FORMAT_VERSION, USER_BLOCK_BYTES, Header
from tests.small_models import SavedModel, assert_same_model

pytest.importorskip("tensorflow")
posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no such permissions")
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def check_fault(
    model: SavedModel, caplog: pytest.LogCaptureFixture, error: type[CacheError], reason: str
) -> None:
    """Check that loads go on in spite of a fault that stays, and how they speak of it."""
    stock = model.load_stock()
    with caplog.at_level(logging.WARNING, logger="fastload"):
        loaded = [fastload.load_model(model.path, keras=model.form.package) for _ in range(2)]
    report = fastload.last_load()
    warnings = [each for each in caplog.records if each.name == "fastload"]

    for each in loaded:
        assert_same_model(stock, each)
    assert report is not None
    assert (report.outcome.value, report.code) == ("bypass", error.code)
    assert reason in str(report.reason)
    assert len(warnings) == 1
    assert reason in warnings[0].getMessage()
    with pytest.raises(error, match=error.code):
        fastload.load_model(model.path, keras=model.form.package, strict=True)


def test_a_cache_folder_that_is_a_file(
    saved_model: SavedModel, cache_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody set FASTLOAD_CACHE_DIR to it."""
    cache_root.write_text("a file")

    check_fault(saved_model, caplog, CacheUnwritableError, str(cache_root))


@posix_only
@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_cache_folder_that_others_can_write(
    saved_model: SavedModel, cache_root: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    """Even where it holds a good twin: anybody may have put it there."""
    fastload.warm(saved_model.path, keras=saved_model.form.package)
    cache_root.chmod(mode)

    check_fault(saved_model, caplog, CacheUnwritableError, "other users can write to it")


@pytest.mark.skipif(not IS_ROOT, reason="only root may give files away")
def test_a_cache_folder_of_another_user(
    saved_model: SavedModel, cache_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not read either."""
    fastload.warm(saved_model.path, keras=saved_model.form.package)
    os.chown(cache_root, 54321, 54321)

    check_fault(saved_model, caplog, CacheUnwritableError, "belongs to another user (uid 54321)")


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_root: Path) -> Iterator[Path]:
    """A cache on a file system of 64 kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(folder)]
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("this system mounts no file system in memory")
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount file systems")
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", str(folder / "cache"))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(
    saved_model: SavedModel, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The message says how much is needed, and no partial file stays behind."""
    check_fault(saved_model, caplog, CacheUnwritableError, "bytes are needed and")

    assert not list(small_disk.rglob("*.partial"))
    assert not list(small_disk.rglob("*.h5"))


def test_a_read_only_disk_without_the_twin(
    saved_model: SavedModel, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An image that was built without warming."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    check_fault(saved_model, caplog, CacheUnwritableError, "Read-only file system")


def test_a_read_only_cache_with_the_twin_hits(
    saved_model: SavedModel, tmp_path: Path, cache_root: Path
) -> None:
    """An image that was warmed when it was built: nothing needs to be written."""
    package = saved_model.form.package
    fastload.warm(saved_model.path, keras=package)
    command = ["mount", "--bind", str(cache_root), str(cache_root)]
    if (
        sys.platform != "linux"
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        pytest.skip("this user may not mount file systems")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(cache_root)], check=True)
        loaded = fastload.load_model(saved_model.path, keras=package, strict=True)
    finally:
        subprocess.run(["umount", "-l", str(cache_root)], check=True)
    report = fastload.last_load()

    assert report is not None
    assert report.outcome.value == "hit"
    assert_same_model(saved_model.load_stock(), loaded)


HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_that_another_process_holds(
    saved_model: SavedModel,
    cache_root: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A load waits as long as it may, and no longer."""
    monkeypatch.setenv("FASTLOAD_LOCK_TIMEOUT", "0.2")
    twin = fastload.explain(saved_model.path, keras=saved_model.form.package).twin
    assert twin is not None
    CacheDir(root=cache_root).ensure()
    lock = cache_root / "locks" / f"{twin.stem}.lock"
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=pipe, stdout=pipe, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        check_fault(saved_model, caplog, CacheLockTimeoutError, "was not released within 0.2 s")
        holder.communicate("")
    fastload.load_model(saved_model.path, keras=saved_model.form.package, strict=True)


def damage(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Replace a published file, as a broken disk would."""
    content = change(path.read_bytes())
    path.unlink()
    path.write_bytes(content)


def flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]


def in_index(content: bytes) -> int:
    header = Header.from_bytes(content[:USER_BLOCK_BYTES])
    return header.index_offset + header.index_nbytes // 2


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda content: b"", "does not begin with a fastload header"),
    "cut in the header": (lambda content: content[:40], "does not begin with a fastload header"),
    "cut": (lambda content: content[:-64], "bytes where"),
    "longer": (lambda content: content + b"\0", "bytes where"),
    "magic": (lambda content: flipped(content, 0), "does not begin with a fastload header"),
    "header": (lambda content: flipped(content, 20), "header does not match its own digest"),
    "index": (lambda c: flipped(c, in_index(c)), "index does not match its digest"),
    "text": (lambda content: b"not a twin" * 1000, "does not begin with a fastload header"),
}


@pytest.mark.parametrize(("change", "reason"), DAMAGE.values(), ids=DAMAGE)
def test_a_corrupt_twin_is_removed_and_built_anew(
    saved_model: SavedModel,
    cache_root: Path,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[bytes], bytes],
    reason: str,
) -> None:
    """The load that finds it is stock's, with a warning; the next one writes the twin again."""
    package = saved_model.form.package
    twin = fastload.warm(saved_model.path, keras=package).twin
    assert twin is not None
    damage(twin, change)
    with caplog.at_level(logging.WARNING, logger="fastload"):
        first = fastload.load_model(saved_model.path, keras=package)
    found = fastload.last_load()
    second = fastload.load_model(saved_model.path, keras=package, strict=True)
    after = fastload.last_load()

    assert found is not None
    assert after is not None
    assert (found.outcome.value, found.code) == ("bypass", "FL103")
    assert reason in str(found.reason)
    assert caplog.text.count("It will be rebuilt") == 1
    assert after.outcome.value == "miss"
    for each in (first, second):
        assert_same_model(saved_model.load_stock(), each)


def test_a_corrupt_twin_is_raised_by_a_strict_load(
    saved_model: SavedModel, cache_root: Path
) -> None:
    """So that tests and batch jobs notice a dying disk."""
    package = saved_model.form.package
    twin = fastload.warm(saved_model.path, keras=package).twin
    assert twin is not None
    damage(twin, lambda content: content[:-64])
    with pytest.raises(TwinCorruptError, match=r"\[FL103\] the twin .* is unusable"):
        fastload.load_model(saved_model.path, keras=package, strict=True)


def newer(content: bytes) -> bytes:
    old = Header.from_bytes(content[:USER_BLOCK_BYTES])
    header = Header(
        format_version=FORMAT_VERSION + 1,
        index_offset=old.index_offset,
        index_nbytes=old.index_nbytes,
        file_nbytes=old.file_nbytes,
        index_sha256=old.index_sha256,
    )
    return header.to_bytes() + content[USER_BLOCK_BYTES:]


def test_a_twin_of_a_newer_fastload_is_left_in_place(
    saved_model: SavedModel, cache_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is somebody's; both versions of fastload may be in use."""
    twin = fastload.warm(saved_model.path, keras=saved_model.form.package).twin
    assert twin is not None
    damage(twin, newer)

    check_fault(saved_model, caplog, TwinVersionError, f"has format version {FORMAT_VERSION + 1}")
    assert twin.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"a": 1}', b"null"], ids=str)
def test_damaged_output_specs_are_recorded_again_or_passed_over(
    model: SavedModel, cache_root: Path, content: bytes
) -> None:
    """They only save time."""
    package = model.form.package
    fastload.warm(model.path, keras=package)
    for path in cache_root.glob("*.calls-*.json"):
        damage(path, lambda _: content)
    loaded = fastload.load_model(model.path, keras=package, strict=True)

    assert_same_model(model.load_stock(), loaded)


def test_specs_whose_values_are_nonsense_are_passed_over(
    model: SavedModel, cache_root: Path
) -> None:
    """The keys are right and what they stand for is not: the load still gives the model."""
    import json

    package = model.form.package
    fastload.warm(model.path, keras=package)
    for path in cache_root.glob("*.calls-*.json"):
        damage(path, lambda old: json.dumps(dict.fromkeys(json.loads(old), 7)).encode())
    loaded = fastload.load_model(model.path, keras=package)

    assert_same_model(model.load_stock(), loaded)


def test_a_cache_that_vanishes_is_made_again(saved_model: SavedModel, cache_root: Path) -> None:
    """Users delete caches at any time; a model that is mapped lives on."""
    package = saved_model.form.package
    first = fastload.load_model(saved_model.path, keras=package, strict=True)
    shutil.rmtree(cache_root)
    second = fastload.load_model(saved_model.path, keras=package, strict=True)

    assert_same_model(first, second)
