"""Worker processes of real programs: gunicorn before the fork, joblib's workers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pytest

from fastload.cli.run import find_pth
from tests.conftest import SavedOnce
from tests.small_models import Form

HERE = Path(__file__).parent
TIMEOUT_S = 120


@pytest.fixture
def archive(saved_once: SavedOnce, cache_root: Path) -> Path:
    """A `.keras` file of the Keras that is called `keras`, and a cache of its own."""
    pytest.importorskip("keras")
    generation = int(metadata.version("keras").partition(".")[0])
    return saved_once(Form(generation=generation, suffix=".keras"))


@pytest.mark.skipif(find_pth() is None, reason="fastload is not installed here, only on the path")
def test_gunicorn_serves_master_and_workers(archive: Path, tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    with _gunicorn(archive, tmp_path) as address:
        of_master, of_worker = _get(address).splitlines()

    assert f"{archive}: miss in " in of_master
    assert f"{archive}: hit in " in of_worker


@pytest.mark.skipif(find_pth() is None, reason="fastload is not installed here, only on the path")
@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_joblib_serves_its_workers(backend: str, archive: Path, tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, joblib\n"
        "def work(path):\n"
        "    import keras, fastload\n"
        "    keras.models.load_model(path)\n"
        "    return str(fastload.last_load())\n"
        "if __name__ == '__main__':\n"
        "    jobs = [joblib.delayed(work)(sys.argv[1])] * 4\n"
        "    print(*joblib.Parallel(2, backend=sys.argv[2])(jobs), sep='\\n')\n"
    )
    command = [sys.executable, program, archive, backend]
    told = subprocess.check_output(command, env=os.environ | {"FASTLOAD": "1"}, text=True)

    assert len(told.splitlines()) == 4
    assert all(f"{archive}: hit in" in line or "miss in" in line for line in told.splitlines())


@contextmanager
def _gunicorn(archive: Path, folder: Path) -> Iterator[str]:
    """Serve with the application imported before the fork; yield the address."""
    log = folder / "gunicorn.log"
    words = [
        "--preload",
        "--workers=2",
        "--bind=127.0.0.1:0",
        "--timeout=120",
        "server:application",
    ]
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *words],
            cwd=HERE,
            env=os.environ | {"FASTLOAD": "1", "SERVED_MODEL": str(archive)},
            stderr=stream,
        )
    try:
        yield _address(log)
    finally:
        process.terminate()
        process.wait(timeout=TIMEOUT_S)


def _address(log: Path) -> str:
    """Wait for the line in which gunicorn says where it listens, and return the address."""
    for _ in range(TIMEOUT_S * 10):
        found = [word for word in log.read_text().split() if word.startswith("http://")]
        if found:
            return found[0]
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def _get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
        text: str = answer.read().decode()
    return text
