"""Files of the cache appear whole or not at all."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.eviction import prune, stale_partials
from fastload.cache.publish import going_on, is_partial, is_stale_partial, replacing
from fastload.errors import CacheUnwritableError
from fastload.twin.reader import Twin

from .conftest import StartPython

WRITE_HALF = """
import sys
from pathlib import Path
from fastload.cache.publish import replacing
with replacing(Path(sys.argv[1])) as partial:
    partial.write_bytes(b"half")
    print("half written", flush=True)
    sys.stdin.read()
"""
WRITE_OWN = """
import sys
from pathlib import Path
from fastload.cache.publish import replacing
for turn in range(20):
    with replacing(Path(sys.argv[1])) as partial:
        partial.write_bytes(sys.argv[2].encode() * 100_000)
"""
#: Publishes files while a thread prints to closed streams, as a C library of a daemon does.
WRITE_WITHOUT_STREAMS = """
import os, sys, threading
from contextlib import suppress
from pathlib import Path
import numpy as np
from fastload.cache.directory import CacheDir
from fastload.cache.publish import publish
from fastload.twin.format import Manifest, WeightSpec
from fastload.twin.writer import write_twin

def log():
    while not ended.is_set():
        for stream in 0, 1, 2:
            with suppress(OSError):
                os.write(stream, b"a line of a log")

cache, ended, values = CacheDir(root=Path(sys.argv[1])), threading.Event(), np.arange(10_000.0)
about = Manifest(source_kind="keras_hdf5", source_digest="5" * 64, generation="keras3")
spec = WeightSpec(name="a/kernel", dtype="float64", shape=values.shape)
os.closerange(0, 3)
logging = threading.Thread(target=log)
logging.start()
try:
    cache.ensure()
    for turn in range(20):
        publish(cache.root / f"{turn}.json", bytes(100_000))
        write_twin(cache.root / f"{turn}.h5", about, [spec], [(spec.name, values)])
finally:
    ended.set()
    logging.join()
"""
#: Another thread gives the places back between the look at them and the opening.
OPEN_TOO_LATE = """
import os, sys
from fastload import system
system._is_closed = lambda _: False
os.closerange(0, 3)
descriptor = system.open_to_write(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600)
free = os.open(sys.argv[1], os.O_RDONLY)
sys.exit(0 if descriptor > 2 and free == 0 and not os.get_inheritable(descriptor) else 1)
"""


def test_the_file_appears_when_the_block_ends(entry: CacheEntry) -> None:
    """Before that there is only the partial beside it."""
    with replacing(entry.path) as partial:
        partial.write_bytes(b"twin")
        seen_inside = entry.path.exists()

    assert not seen_inside
    assert entry.path.read_bytes() == b"twin"
    assert not partial.exists()


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps published files writable")
def test_a_published_file_is_read_only(entry: CacheEntry) -> None:
    """A twin is never edited, and only its user reads it."""
    with replacing(entry.path) as partial:
        mode_inside = partial.stat().st_mode & 0o777

    assert mode_inside == 0o600
    assert entry.path.stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize("error", [ValueError("bad weight"), KeyboardInterrupt(), SystemExit(1)])
def test_a_failed_block_leaves_the_old_file(entry: CacheEntry, error: BaseException) -> None:
    """Whatever goes wrong, the partial goes and the old file stays."""
    entry.path.write_bytes(b"old")

    with pytest.raises(type(error)), replacing(entry.path):
        raise error
    assert entry.path.read_bytes() == b"old"
    assert [path for path in entry.cache.root.iterdir() if is_partial(path)] == []


def test_a_file_that_was_about_to_be_published_can_be_written_again(
    entry: CacheEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer was killed, or could not rename it, when it was read-only already."""

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "the disk is gone")

    def publish(content: bytes) -> None:
        with going_on(entry.path, "c0ffee", needed_bytes=4) as path:
            path.write_bytes(content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fails)
        with pytest.raises(CacheUnwritableError):
            publish(b"tw")
    with going_on(entry.path, "c0ffee", needed_bytes=4) as path:
        is_writable = bool(path.stat().st_mode & 0o200)
        with path.open("ab") as file:
            file.write(b"in")

    assert is_writable
    assert entry.path.read_bytes() == b"twin"


def test_a_missing_folder_is_the_fault_of_the_cache(tmp_path: Path) -> None:
    """The folder is found unusable before any work is done."""
    with pytest.raises(CacheUnwritableError, match="No such file"), replacing(tmp_path / "a" / "b"):
        pytest.fail("the block must not run")


def test_a_full_disk_is_the_fault_of_the_cache(small_disk: Path) -> None:
    """The write that fails becomes the error that names the folder, and leaves nothing."""
    with (
        pytest.raises(CacheUnwritableError, match="No space left on device"),
        replacing(small_disk / "twin.h5") as partial,
    ):
        partial.write_bytes(bytes(2**21))
    assert list(small_disk.iterdir()) == []


def test_a_disk_without_room_is_refused_before_the_work(small_disk: Path) -> None:
    """A length that is known is checked first."""
    with (
        pytest.raises(CacheUnwritableError, match="2,097,152 bytes are needed"),
        replacing(small_disk / "twin.h5", needed_bytes=2**21),
    ):
        pytest.fail("the block must not run")
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT])
def test_an_error_of_the_source_stays_what_it_is(entry: CacheEntry, number: int) -> None:
    """A source that cannot be read is no fault of the cache."""
    with pytest.raises(OSError, match="source") as caught, replacing(entry.path):
        raise OSError(number, "source", "model.keras")

    assert caught.value.errno == number


def test_a_killed_writer_leaves_no_entry_and_prune_cleans_up(
    entry: CacheEntry, start_python: StartPython
) -> None:
    """After kill -9 there is a partial, which goes once its process is gone."""
    writer = start_python(WRITE_HALF, entry.path)
    assert writer.stdout is not None
    writer.stdout.readline()
    stale_while_alive = stale_partials(entry.cache)
    writer.kill()
    writer.wait()
    left = [path for path in entry.cache.root.iterdir() if is_partial(path)]
    report = prune(entry.cache, lambda _: {})

    assert stale_while_alive == ()
    assert not entry.path.exists()
    assert len(left) == 1
    assert report.leftovers == tuple(left)
    assert report.freed_bytes == len(b"half")
    assert not left[0].exists()


def test_a_partial_of_another_host_goes_after_a_day(cache: CacheDir) -> None:
    """A process number of another host says nothing, so age decides."""
    partial = cache.root / "0123.h5.00000001-1-0123456789ab.partial"
    partial.write_bytes(b"")
    now_s = time.time()

    assert not is_stale_partial(partial, now_s=now_s + 23 * 3600)
    assert is_stale_partial(partial, now_s=now_s + 25 * 3600)


@pytest.mark.parametrize("name", ["0123.h5", "notes.partial", "x.h5.00c0ffee-1-ab.partial"])
def test_other_files_are_never_stale(cache: CacheDir, name: str) -> None:
    """Only names that `replacing` makes are taken for partials."""
    (cache.root / name).write_bytes(b"")

    assert not is_stale_partial(cache.root / name, now_s=time.time() + 10**9)


def test_eight_writers_of_one_entry_publish_whole_files(
    entry: CacheEntry, start_python: StartPython
) -> None:
    """A reader sees the file of one writer or of another, never a mixture."""
    writers = [start_python(WRITE_OWN, entry.path, letter) for letter in "abcdefgh"]
    seen: set[bytes] = set()
    while any(writer.poll() is None for writer in writers):
        if entry.path.exists():
            seen.add(entry.path.read_bytes())
    seen.add(entry.path.read_bytes())

    assert [writer.returncode for writer in writers] == [0] * 8
    assert seen <= {letter.encode() * 100_000 for letter in "abcdefgh"}
    assert [path for path in entry.cache.root.iterdir() if is_partial(path)] == []


@pytest.mark.skipif(os.name == "nt", reason="where POSIX gives the lowest number")
def test_what_is_printed_to_closed_streams_goes_into_no_file(
    start_python: StartPython, tmp_path: Path
) -> None:
    """Their numbers are those that the next files would get."""
    root = tmp_path / "cache"
    assert start_python(WRITE_WITHOUT_STREAMS, root).wait(timeout=120) == 0

    assert {path.read_bytes() for path in root.glob("*.json")} == {bytes(100_000)}
    assert [Twin.open(path).verify() for path in root.glob("*.h5")] == [()] * 20
    assert len({path.read_bytes() for path in root.glob("*.h5")}) == 1
    assert b"a line of a log" not in (root / "CACHEDIR.TAG").read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="where POSIX gives the lowest number")
def test_a_file_that_became_a_standard_stream_is_moved(
    start_python: StartPython, tmp_path: Path
) -> None:
    """It is not handed to processes that are started either."""
    assert start_python(OPEN_TOO_LATE, tmp_path / "file").wait(timeout=60) == 0
