"""One holder at a time, among processes and among threads."""

from __future__ import annotations

import errno
import os
import threading

import filelock
import pytest

from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.locking import entry_lock
from fastload.errors import CacheLockTimeoutError, CacheUnwritableError

from .conftest import StartPython

HOLD = """
import sys
from pathlib import Path
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.locking import entry_lock
with entry_lock(CacheEntry(cache=CacheDir(root=Path(sys.argv[1])), name=sys.argv[2]), 60):
    print("held", flush=True)
    sys.stdin.read()
"""
FORK_WHILE_HELD = """
import gc, os, sys, threading
from pathlib import Path
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.locking import entry_lock
held, done = threading.Event(), threading.Event()
def hold():
    with entry_lock(CacheEntry(cache=CacheDir(root=Path(sys.argv[1])), name=sys.argv[2]), 60):
        held.set()
        done.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    gc.collect()
    os._exit(0)
os.waitpid(child, 0)
print("child ended", flush=True)
sys.stdin.read()
"""
BUILD_ONCE = """
import sys, time
from pathlib import Path
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.locking import entry_lock
from fastload.cache.publish import replacing
cache = CacheDir(root=Path(sys.argv[1]))
cache.ensure()
entry = CacheEntry(cache=cache, name=sys.argv[2])
with entry_lock(entry, 60):
    if not entry.path.exists():
        with replacing(entry.path) as partial:
            time.sleep(0.1)
            partial.write_bytes(b"twin")
        print("built")
"""


def test_a_lock_of_another_process_times_out(entry: CacheEntry, start_python: StartPython) -> None:
    """The wait is bounded, and the message says what to set."""
    holder = start_python(HOLD, entry.cache.root, entry.name)
    assert holder.stdout is not None
    holder.stdout.readline()

    with (
        pytest.raises(CacheLockTimeoutError, match=r"within 0\.1 s.*FASTLOAD_LOCK_TIMEOUT"),
        entry_lock(entry, 0.1),
    ):
        pytest.fail("two holders at once")


def test_a_killed_holder_frees_the_lock(entry: CacheEntry, start_python: StartPython) -> None:
    """The system lets go for a process that is gone; the lock file stays."""
    holder = start_python(HOLD, entry.cache.root, entry.name)
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.kill()
    holder.wait()

    with entry_lock(entry, 10):
        assert entry.lock_path.exists()
    assert entry.lock_path.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_that_ends_does_not_free_the_lock_of_its_parent(
    entry: CacheEntry, start_python: StartPython
) -> None:
    """A program that forks while another thread of it converts keeps its lock."""
    holder = start_python(FORK_WHILE_HELD, entry.cache.root, entry.name)
    assert holder.stdout is not None
    printed = holder.stdout.readline()

    assert printed == "child ended\n"
    with pytest.raises(CacheLockTimeoutError), entry_lock(entry, 0.1):
        pytest.fail("two holders at once")


def test_threads_of_one_process_exclude_each_other(entry: CacheEntry) -> None:
    """A lock of this process is a lock all the same."""
    outcomes: list[str] = []

    def try_to_enter() -> None:
        try:
            with entry_lock(entry, 0.1):
                outcomes.append("entered")
        except CacheLockTimeoutError:
            outcomes.append("timed out")

    with entry_lock(entry, 0):
        thread = threading.Thread(target=try_to_enter)
        thread.start()
        thread.join()
    try_to_enter()

    assert outcomes == ["timed out", "entered"]


def test_eight_processes_that_miss_at_once_build_once(
    entry: CacheEntry, start_python: StartPython
) -> None:
    """All make the same new folder, one makes the twin, the others find it."""
    root = entry.cache.root / "new"
    workers = [start_python(BUILD_ONCE, root, entry.name) for _ in range(8)]
    printed = [worker.communicate()[0] for worker in workers]

    assert [worker.returncode for worker in workers] == [0] * 8
    assert sorted(printed) == [""] * 7 + ["built\n"]


def test_entries_do_not_wait_for_each_other(entry: CacheEntry) -> None:
    """Each entry has its own lock."""
    other = CacheEntry(cache=entry.cache, name="cd" * 16)

    with entry_lock(entry, 0), entry_lock(other, 0):
        assert {entry.lock_path, other.lock_path} == set(entry.cache.lock_dir.iterdir())


def test_a_lock_is_freed_when_the_block_fails(entry: CacheEntry) -> None:
    """An error inside passes, and the next holder gets in."""
    with pytest.raises(ValueError, match="broken"), entry_lock(entry, 0):
        raise ValueError("broken")

    with entry_lock(entry, 0):
        pass


def test_a_folder_without_locks_is_the_fault_of_the_cache(cache: CacheDir) -> None:
    """A lock file that cannot be made says so."""
    cache.lock_dir.rmdir()
    cache.lock_dir.write_text("")

    with (
        pytest.raises(CacheUnwritableError, match="no lock can be taken"),
        entry_lock(CacheEntry(cache=cache, name="ab" * 16), 0),
    ):
        pytest.fail("nothing was locked")


def test_a_lock_whose_release_fails_is_released(
    entry: CacheEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be waited for until the process ends."""
    if filelock.__version__.startswith("3.12."):
        pytest.skip("this filelock forgets the file before it unlocks it")
    fcntl = pytest.importorskip("fcntl")
    stock, failed = fcntl.flock, []

    def flock(descriptor: int, operation: int) -> None:
        if operation == fcntl.LOCK_UN and not failed:
            failed.append(operation)
            raise OSError(errno.EIO, "Input/output error")
        stock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with entry_lock(entry, timeout_s=1):
        pass
    with entry_lock(entry, timeout_s=1):
        pass

    assert failed
