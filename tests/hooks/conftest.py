"""What tests of the hooks share: a Python that reads the start file, hooks that are taken out."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

import fastload
from tests.conftest import SRC, SavedOnce
from tests.small_models import Form

START_FILE = SRC / "tf-fastload.pth"
RunOpted = Callable[..., str]


@pytest.fixture
def hooks(cache_root: Path) -> Iterator[None]:
    """Install the hooks for one test."""
    fastload.install()
    yield
    fastload.uninstall()


@pytest.fixture
def archive(saved_once: SavedOnce, cache_root: Path) -> Path:
    """A `.keras` file of the Keras that is called `keras`, and a cache of its own."""
    pytest.importorskip("keras")
    generation = int(metadata.version("keras").partition(".")[0])
    return saved_once(Form(generation=generation, suffix=".keras"))


@pytest.fixture(scope="session")
def opted_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that reads fastload's start file, and sees all that this one sees."""
    folder = tmp_path_factory.mktemp("opted")
    venv.create(folder, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.check_output(asked, text=True).strip())
    paths = [str(SRC), *{sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}]
    (site / "paths.pth").write_text("\n".join(paths))
    (site / START_FILE.name).write_bytes(START_FILE.read_bytes())
    return python


@pytest.fixture
def run_opted(opted_python: Path, tmp_path: Path) -> RunOpted:
    """Run a program text in a fresh Python with `FASTLOAD=1`; return what it printed."""

    def run(program: str, *arguments: object, **environment: str) -> str:
        script = tmp_path / "program.py"
        script.write_text(program)
        done = subprocess.run(
            [opted_python, script, *map(str, arguments)],
            env=plain_environment() | {"FASTLOAD": "1"} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()

    return run


def plain_environment() -> dict[str, str]:
    """Return the environment without what brings fastload to a Python by another way."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
