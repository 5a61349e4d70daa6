"""A conversion that is killed at any moment leaves a cache from which the next one is right."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastload.twin.reader import Twin
from tests.tried import one_try

from .conftest import StartPython

MOMENTS = int(os.environ.get("FASTLOAD_KILL_MOMENTS", "5"))

#: Says `ready` when all is imported, then converts, then says how that went and where the twin is.
_CONVERT = """
import os, sys
from pathlib import Path
from fastload.cache.directory import CacheDir
from fastload.convert import convert as keras_model
from fastload.loading import behind
from fastload.loading.plan import Plan, identify
from fastload.loading.request import Request
from fastload.loading.build import build
from fastload.report import PhaseClock
from fastload.settings import Settings
from fastload.source.detect import detect

settings = Settings.from_env(os.environ)
print("ready", flush=True)
identity = identify(CacheDir.locate(settings), detect(Path(sys.argv[1])), "keras3")
request = Request(filepath=sys.argv[1], settings=settings)
behind.LEAST_BYTES = 0
opened = build(Plan(request=request, identity=identity), PhaseClock(), behind=True)
print(opened.outcome.value, identity.entry.path, flush=True)
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")


def convert(start_python: StartPython, model: Path, cache: Path) -> tuple[str, Path, float]:
    """Convert undisturbed; return outcome, twin and seconds."""
    with started(start_python, model, cache) as process:
        start = time.perf_counter()
        assert process.stdout is not None
        # What came along with the first line is in the buffer of the file; `communicate` skips it.
        answer = process.stdout.read().split()
    assert process.returncode == 0
    return answer[0], Path(answer[1]), time.perf_counter() - start


def convert_and_kill(
    start_python: StartPython, model: Path, cache: Path, *, after_s: float
) -> None:
    """Start to convert, and end the process without warning *after_s* seconds later."""
    with started(start_python, model, cache) as process:
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)


def started(start_python: StartPython, model: Path, cache: Path) -> subprocess.Popen[str]:
    """Return a process that is about to convert."""
    process = start_python(_CONVERT, model, cache=cache)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def stored_weights(model: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield path and value of every dataset in an HDF5 file."""
    with h5py.File(model) as file:
        names: list[str] = []
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        for name in names:
            yield name, file[name][()]


def assert_right(twin_path: Path, model: Path) -> None:
    """The twin is whole, and holds the weights of the source to the bit."""
    twin = Twin.open(twin_path)
    assert twin.verify() == ()
    expected = dict(stored_weights(model))
    assert len(expected) == 120
    assert {
        name for name in expected if twin.array(name).tobytes() != expected[name].tobytes()
    } == set()


@pytest.fixture(scope="module")
def whole_s(
    start_python: StartPython, hdf5_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> float:
    """Seconds that a conversion takes here when nobody kills it."""
    outcome, twin, seconds = convert(start_python, hdf5_model, tmp_path_factory.mktemp("cache"))
    assert outcome == "miss"
    assert_right(twin, hdf5_model)
    return seconds


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_after_a_kill_at_any_moment_the_next_conversion_is_right(
    moment: int,
    whole_s: float,
    start_python: StartPython,
    hdf5_model: Path,
    tmp_path: Path,
) -> None:
    """A twin is visible only when it is whole; what the killed process left is in nobody's way."""
    cache = tmp_path / "cache"
    with one_try("kill", every=MOMENTS):
        convert_and_kill(start_python, hdf5_model, cache, after_s=whole_s * moment / MOMENTS)
        for visible in cache.glob("*.h5"):
            assert_right(visible, hdf5_model)

        outcome, twin, _ = convert(start_python, hdf5_model, cache)

        assert outcome in {"miss", "hit"}
        assert_right(twin, hdf5_model)
