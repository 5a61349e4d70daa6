"""What tests of several parts share: small models, a cache of their own, fresh interpreters."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import fastload
from fastload import switch
from tests.drawing import pytest_collection_modifyitems
from tests.small_models import (
    FORMS,
    SAVED_MODEL,
    Form,
    SavedModel,
    by_format,
    copy_model,
    functional_model,
    save,
    sequential_model,
)
from tests.timing import pytest_runtest_protocol

__all__ = ["pytest_collection_modifyitems", "pytest_runtest_protocol"]

# Before anything imports TensorFlow: the tests are about bits, which differ between devices.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Machines differ in speed by up to four times, and work beside the tests slows them down further.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

SRC = Path(__file__).resolve().parents[1] / "src"
#: The file whose tests are run.
_AT_WORK_ON: pytest.StashKey[Path] = pytest.StashKey()
SavedOnce = Callable[..., Path]
RunPython = Callable[..., str]


@pytest.fixture(scope="session")
def saved_once(tmp_path_factory: pytest.TempPathFactory) -> SavedOnce:
    """Give the path of a model in a form, saved when it is first asked for; not to be edited."""
    folder = tmp_path_factory.mktemp("models")
    makers = {"functional": functional_model, "sequential": sequential_model}

    def path_of(form: Form, layout: str = "functional", seed: int = 1) -> Path:
        stock = form.stock
        path = folder / f"{layout}-{seed}-{form.id}{form.suffix}"
        if not path.exists():
            save(makers[layout](stock, seed=seed), path)
        return path

    return path_of


@pytest.fixture(params=[by_format(form) for form in FORMS])
def model(request: pytest.FixtureRequest, saved_once: SavedOnce, tmp_path: Path) -> SavedModel:
    """A functional model for this test alone: a SavedModel, a `.keras`; in a full run each form."""
    return _own_copy(request.param, saved_once, tmp_path)


@pytest.fixture
def saved_model(saved_once: SavedOnce, tmp_path: Path) -> SavedModel:
    """A SavedModel, for this test alone."""
    return _own_copy(SAVED_MODEL, saved_once, tmp_path)


@pytest.fixture
def cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder, not made yet, that every load of the test uses; nothing is declared."""
    for name in [name for name in os.environ if name.startswith("FASTLOAD")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FASTLOAD_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True, scope="session")
def interrupts_arrive() -> None:
    """A shell has what it starts in the background ignore Ctrl-C, and the children of that."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_hooks_are_left() -> Iterator[None]:
    """Fail the test that leaves stock's loaders replaced: later ones would compare us with us."""
    before = fastload.is_installed()  # under FASTLOAD=1 they are
    yield
    assert fastload.is_installed() is before
    assert switch.choice() is None


@pytest.fixture(scope="session")
def run_python() -> RunPython:
    """Run a program text in a fresh interpreter and return what it printed."""

    def run(program: str, *arguments: object, **environment: str) -> str:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        done = subprocess.run(
            command,
            env=os.environ | {"PYTHONPATH": str(SRC)} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()

    return run


def _own_copy(form: Form, saved_once: SavedOnce, tmp_path: Path) -> SavedModel:
    return SavedModel(form=form, path=copy_model(saved_once(form), tmp_path / f"m{form.suffix}"))


def pytest_collection_finish() -> None:
    """Leave out of garbage collections what was imported: TensorFlow is a million objects."""
    _freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Leave out also what the first test of a file imported, and what Keras keeps of all of them.

    A third of the time of some files went into collections.
    """
    is_last = nextitem is None or nextitem.path != item.path
    if is_last or item.path != item.session.stash.get(_AT_WORK_ON, None):
        _freeze()
    item.session.stash[_AT_WORK_ON] = item.path


def _freeze() -> None:
    gc.collect()
    gc.freeze()
