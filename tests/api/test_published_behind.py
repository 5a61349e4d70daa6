"""The first load returns the model before the disk has its twin: a twin that is whole, later."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import fastload
from fastload import system
from fastload.cache.directory import CacheDir
from fastload.cache.listing import orphans
from fastload.loading import behind
from fastload.twin import writer
from fastload.twin.digests import NO_DIGEST
from fastload.twin.index import read_index
from fastload.twin.reader import Twin
from tests.conftest import SRC
from tests.small_models import INPUTS, SavedModel

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(system.IS_WINDOWS, reason="a mapped file cannot be renamed there")

#: Loads the model, says what it predicts, and goes on as its last argument says. `go` is set where
#: the disk may have the twin.
_PROGRAM = """
import os, signal, sys, threading
import numpy as np
import fastload
from fastload import system
from fastload.loading import behind

behind.LEAST_BYTES = 0
path, package, is_held, last = sys.argv[1:]
go, sync = threading.Event(), system.sync
if is_held == "True":
    system.sync = lambda path: (".h5." in path.name and go.wait(), sync(path))
load = lambda: fastload.load_model(path, keras=package)
inputs = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)
output = np.asarray(load()(inputs)).tobytes().hex()
print(fastload.last_load().outcome.value, output, flush=True)
exec(last)
"""


def is_twin(partial: Path) -> bool:
    return ".h5." in partial.name


@pytest.fixture
def slow_disk(cache_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk that has nothing before the event is set; each twin is published behind its load."""
    has_written, sync = threading.Event(), system.sync

    def wait_and_sync(path: Path) -> None:
        if is_twin(path):
            assert has_written.wait(30)
        sync(path)

    monkeypatch.setattr(behind, "LEAST_BYTES", 0)
    monkeypatch.setattr(system, "sync", wait_and_sync)
    yield has_written
    has_written.set()
    behind.wait_for_all()


def load(model: SavedModel) -> tuple[str, bytes]:
    """Return outcome and output of a load."""
    loaded = fastload.load_model(model.path, keras=model.form.package)
    return outcome(), np.asarray(loaded(INPUTS)).tobytes()


def outcome() -> str:
    report = fastload.last_load()
    assert report is not None
    return report.outcome.value


def names(folder: Path, suffix: str) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(suffix)]


def test_the_model_is_there_before_its_twin(
    model: SavedModel, cache_root: Path, slow_disk: threading.Event
) -> None:
    """It answers as stock's does; a later load finds what was published, with all its digests."""
    expected = np.asarray(model.load_stock()(INPUTS)).tobytes()

    assert load(model) == ("miss", expected)
    assert names(cache_root, ".h5") == []
    slow_disk.set()
    behind.wait_for_all()

    (twin,) = names(cache_root, ".h5")
    assert names(cache_root, ".partial") == []
    assert Twin.open(cache_root / twin).verify() == ()
    assert NO_DIGEST not in {ref.sha256 for ref in read_index(cache_root / twin).weights}
    assert load(model) == ("hit", expected)


def test_a_load_meanwhile_waits_for_the_twin(
    saved_model: SavedModel, cache_root: Path, slow_disk: threading.Event
) -> None:
    """It is not converted twice, nor does the lock of this process turn it away."""
    _, expected = load(saved_model)
    timer = threading.Timer(0.3, slow_disk.set)
    timer.start()

    assert load(saved_model) == ("hit", expected)
    timer.join()


def test_a_load_meanwhile_waits_no_longer_than_asked(
    saved_model: SavedModel,
    cache_root: Path,
    slow_disk: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stock does it then: a disk may hang."""
    _, expected = load(saved_model)
    monkeypatch.setenv("FASTLOAD_LOCK_TIMEOUT", "0.2")

    assert load(saved_model) == ("bypass", expected)
    assert "not released within 0.2 s" in str(fastload.last_load())


def test_another_process_meanwhile_waits_for_the_twin(
    saved_model: SavedModel, cache_root: Path, slow_disk: threading.Event
) -> None:
    """The lock of the entry is held until the twin is there."""
    _, expected = load(saved_model)
    other = started(saved_model, cache_root)
    with pytest.raises(subprocess.TimeoutExpired):
        other.wait(6)
    slow_disk.set()

    assert told(other) == ["hit", expected.hex()]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_meanwhile(
    saved_model: SavedModel,
    cache_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: int,
) -> None:
    """The model stays what it is; the twin is left to the next load."""
    monkeypatch.setattr(behind, "LEAST_BYTES", 0)
    with monkeypatch.context() as failing, caplog.at_level(logging.WARNING, "fastload"):
        failing.setattr(system, "sync", fails_with(code))
        found, expected = load(saved_model)
        behind.wait_for_all()

    assert found == "miss"
    assert "its twin could not be published" in caplog.text
    assert names(cache_root, ".h5") == names(cache_root, ".partial") == []
    assert load(saved_model) == ("miss", expected)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_what_the_disk_did_not_take_is_not_read_from_it(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux takes pages for clean that it could not write, and may read something else later."""
    monkeypatch.setattr(behind, "LEAST_BYTES", 0)
    with monkeypatch.context() as failing:
        failing.setattr(system, "sync", fails_with(errno.EIO))
        model = fastload.load_model(saved_model.path, keras=saved_model.form.package)
        behind.wait_for_all()

    assert pages_of_file_kib(cache_root) == 0
    assert model.get_weights()


def pages_of_file_kib(folder: Path) -> int:
    """Return how much of what is mapped of files in *folder* is still theirs."""
    found, is_mapped = {"Rss": 0, "Anonymous": 0}, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, rest = line.partition(":")
        if "-" in name.split()[0]:
            is_mapped = str(folder) in line
        elif is_mapped and name in found:
            found[name] += int(rest.split()[0])
    assert found["Rss"] > 0
    return found["Rss"] - found["Anonymous"]


def fails_with(code: int) -> Callable[[Path], None]:
    """Return what stands for a disk that takes no twin."""

    def fail(path: Path) -> None:
        if is_twin(path):
            raise OSError(code, os.strerror(code))

    return fail


def test_a_disk_that_is_full_before(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a fault of the cache, not of the model, and nothing is left."""

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(behind, "LEAST_BYTES", 0)
    monkeypatch.setattr(writer, "_write_all", fail)
    load(saved_model)
    report = fastload.last_load()

    assert report is not None
    assert (report.outcome.value, report.code) == ("bypass", "FL101")
    assert names(cache_root, ".h5") == names(cache_root, ".partial") == []


def test_a_system_without_threads(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is published before the load returns."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(behind, "LEAST_BYTES", 0)
    monkeypatch.setattr(behind.Thread, "start", refuse)
    load(saved_model)

    assert len(names(cache_root, ".h5")) == 1


def test_with_few_descriptors_nothing_goes_on_behind(
    saved_model: SavedModel, cache_root: Path, slow_disk: threading.Event
) -> None:
    """TensorFlow would end a process that can open no more files."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    slow_disk.set()
    resource.setrlimit(resource.RLIMIT_NOFILE, (len([*Path("/dev/fd").iterdir()]) + 40, limits[1]))
    try:
        load(saved_model)
        assert len(names(cache_root, ".h5")) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_an_interrupt_before_the_thread_is_about_it_leaves_nothing(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No partial file, and no lock that the next load would wait for."""

    def interrupt(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(behind, "LEAST_BYTES", 0)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(behind.Thread, "start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load(saved_model)

    assert names(cache_root, ".partial") == []
    monkeypatch.setenv("FASTLOAD_LOCK_TIMEOUT", "0.1")
    assert load(saved_model)[0] == "miss"


def test_a_load_by_stock_does_not_wait_for_the_disk(
    saved_model: SavedModel, slow_disk: threading.Event
) -> None:
    """It has enough descriptors, as a rule."""
    load(saved_model)
    with fastload.disabled():
        load(saved_model)

    assert not slow_disk.is_set()
    assert len(behind._running) == 1


def test_what_is_learnt_meanwhile_is_no_orphan(
    saved_model: SavedModel, cache_root: Path, slow_disk: threading.Event
) -> None:
    """`prune` leaves it to the twin that comes."""
    load(saved_model)
    CacheDir(root=cache_root).ensure()
    (partial,) = names(cache_root, ".partial")
    learnt = cache_root / f"{partial.partition('.')[0]}.specs.json"
    learnt.write_text("{}")

    assert learnt not in orphans(CacheDir(root=cache_root))


def test_warm_returns_with_the_twin_in_its_place(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who warms a cache copies it next."""
    monkeypatch.setattr(behind, "publish_behind", None)
    monkeypatch.setattr(behind, "LEAST_BYTES", 0)
    report = fastload.warm(saved_model.path, keras=saved_model.form.package)

    assert report.twin is not None
    assert Twin.open(report.twin).verify() == ()


#: A second model, loaded by a thread that nobody waits for; the disk is slow.
_IN_A_DAEMON = """
import shutil, time
system.sync = lambda path: (time.sleep(2), sync(path))
shutil.rmtree(os.environ["FASTLOAD_CACHE_DIR"])
thread = threading.Thread(target=load, daemon=True)
thread.start()
thread.join()
"""


def started(
    model: SavedModel, cache: Path, last: str = "", *, is_held: bool = False
) -> subprocess.Popen[str]:
    """Return a process that loads *model* and then runs *last*."""
    arguments = [str(model.path), model.form.package, str(is_held), last]
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments],
        env=environment(cache),
        stdout=subprocess.PIPE,
        text=True,
    )


def environment(cache: Path) -> dict[str, str]:
    more = {"PYTHONPATH": str(SRC), "FASTLOAD_CACHE_DIR": str(cache), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**os.environ, **more}


def told(process: subprocess.Popen[str]) -> list[str]:
    """Return what a process says until its end."""
    out, _ = process.communicate(timeout=120)
    return out.split()


@pytest.mark.parametrize(
    "last",
    [
        "",
        pytest.param("sys.exit(3)", marks=pytest.mark.slow),
        pytest.param("raise KeyboardInterrupt", marks=pytest.mark.slow),
        pytest.param(_IN_A_DAEMON, marks=pytest.mark.slow),
    ],
)
def test_a_process_that_ends_leaves_the_twin(
    saved_model: SavedModel, cache_root: Path, last: str
) -> None:
    """Programs that load, predict and end are what this is for."""
    process = started(saved_model, cache_root, last)

    assert told(process)[0] == "miss"
    assert (process.returncode == 0) == (last in {"", _IN_A_DAEMON})
    (twin,) = names(cache_root, ".h5")
    assert Twin.open(cache_root / twin).verify() == ()
    assert names(cache_root, ".partial") == []


@pytest.mark.parametrize(
    "last",
    ["os._exit(0)", pytest.param("os.kill(os.getpid(), signal.SIGKILL)", marks=pytest.mark.slow)],
)
def test_a_process_that_is_ended_meanwhile(
    saved_model: SavedModel, cache_root: Path, last: str
) -> None:
    """It leaves a partial file, which is in nobody's way, and a lock that the system has freed."""
    first = told(started(saved_model, cache_root, last, is_held=True))
    assert names(cache_root, ".h5") == []
    assert len(names(cache_root, ".partial")) == 1

    assert told(started(saved_model, cache_root)) == first
    (twin,) = names(cache_root, ".h5")
    assert Twin.open(cache_root / twin).verify() == ()
    assert names(cache_root, ".partial") == []


_POOL = """
import multiprocessing, sys, time
import fastload
from fastload import system
from fastload.loading import behind

def load(path, package):
    behind.LEAST_BYTES = 0
    sync = system.sync
    system.sync = lambda path: (time.sleep(1), sync(path))
    fastload.load_model(path, keras=package)

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(load, sys.argv[1:])
"""


def test_a_pool_whose_workers_are_killed_at_its_end(
    saved_model: SavedModel, cache_root: Path, tmp_path: Path
) -> None:
    """`with Pool()` ends so: what a worker loads is published before it says that it has it."""
    program = tmp_path / "pooled.py"
    program.write_text(_POOL)
    subprocess.run(
        [sys.executable, str(program), str(saved_model.path), saved_model.form.package],
        env=environment(cache_root),
        check=True,
    )

    (twin,) = names(cache_root, ".h5")
    assert Twin.open(cache_root / twin).verify() == ()


#: The child says how its load ended.
_FORK = """
child = os.fork()
if not child:
    signal.alarm(60)
    print(load() and fastload.last_load().outcome.value, flush=True)
    os._exit(0)
threading.Timer(0.3, go.set).start()
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")
def test_a_child_that_is_forked_meanwhile(saved_model: SavedModel, cache_root: Path) -> None:
    """It has no such thread, and waits for its parent's."""
    found = told(started(saved_model, cache_root, _FORK, is_held=True))

    assert found[0] == "miss"
    assert found[2] == "hit"
    (twin,) = names(cache_root, ".h5")
    assert Twin.open(cache_root / twin).verify() == ()
