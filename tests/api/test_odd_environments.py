"""Processes with odd limits, masks, clocks and homes load what stock loads."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.errors import UnsupportedSourceError
from fastload.loading import answer
from fastload.settings import Settings, parse_size
from tests.conftest import RunPython
from tests.small_models import INPUTS, SavedModel, assert_same_model

pytest.importorskip("tensorflow")
if sys.platform == "win32":
    pytest.skip("the limits are those of POSIX", allow_module_level=True)

#: Loads a model while a thread prints to closed streams, as a C library of a daemon does.
LOAD_WITHOUT_STREAMS = """
import os, sys, threading
from contextlib import suppress
import tensorflow as tf
import fastload

def log():
    while not ended.wait(0):
        for stream in 0, 1, 2:
            with suppress(OSError):
                os.write(stream, b"a line of a log")

path, keras, told = sys.argv[1:]
tf.zeros(1)
ended = threading.Event()
logging = threading.Thread(target=log)
os.closerange(0, 3)
logging.start()
outcomes = []
try:
    for turn in range(2):
        fastload.load_model(path, keras=keras)
        outcomes.append(fastload.last_load().outcome.value)
finally:
    ended.set()
    logging.join()
    with open(told, "w") as file:
        file.write(" ".join(outcomes))
"""


def loaded(model: SavedModel) -> str:
    """Load, check what came of it, and return how it was served."""
    found = fastload.load_model(model.path, keras=model.form.package)
    report = fastload.last_load()
    assert report is not None
    assert_same_model(model.load_stock(), found)
    return report.outcome.value


def test_a_limit_of_the_size_of_files(saved_model: SavedModel, cache_root: Path) -> None:
    """Writing beyond it fails, and leaves nothing behind."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        found = loaded(saved_model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert found == "bypass"
    assert not [*cache_root.glob("*.h5"), *cache_root.glob("*.partial")]
    assert loaded(saved_model) == "miss"


def test_no_mask_of_rights(saved_model: SavedModel, cache_root: Path) -> None:
    """What the cache holds is its user's alone all the same."""
    before = os.umask(0)
    try:
        found = [loaded(saved_model), loaded(saved_model)]
    finally:
        os.umask(before)
    paths = [cache_root, *cache_root.rglob("*")]

    assert found == ["miss", "hit"]
    assert [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o022] == []


def test_no_home(saved_model: SavedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a user that nobody told the system of."""
    for name in ("HOME", "XDG_CACHE_HOME", "FASTLOAD_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    unknown: Callable[..., str] = lambda path: path  # noqa: E731 - what it is with no such user
    monkeypatch.setattr(os.path, "expanduser", unknown)
    monkeypatch.chdir(tmp_path)

    assert loaded(saved_model) in {"miss", "bypass"}


def test_a_cache_in_the_home_of_nobody(
    saved_model: SavedModel, cache_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stock has the model, and no folder of that name is made in the working folder."""
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", "~no_such_user/twins")
    monkeypatch.chdir(tmp_path)
    found = loaded(saved_model)
    report = fastload.last_load()

    assert report is not None
    assert (found, report.code) == ("bypass", "FL101")
    assert "no home folder that '~no_such_user' stands for" in str(report.reason)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("~")] == []


def test_a_level_of_the_log_that_is_none(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told as any variable is, before a handler is added; a level of the program's own is one."""
    logger = logging.getLogger("fastload")
    before = [*logger.handlers], logger.level
    monkeypatch.setattr(logging.Logger, "hasHandlers", lambda _: False)  # pytest adds its own
    monkeypatch.setenv("FASTLOAD_LOG", "verbose")

    with pytest.raises(ValueError, match="FASTLOAD_LOG='verbose' is not understood"):
        fastload.load_model(saved_model.path, keras=saved_model.form.package)
    assert ([*logger.handlers], logger.level) == before
    monkeypatch.setitem(logging._nameToLevel, "TRACE", 5)
    assert Settings.from_env({"FASTLOAD_LOG": "trace"}).log_level == "TRACE"


@pytest.mark.parametrize("text", ["9" * 400, "9" * 308 + "T"])
def test_a_size_beyond_all_numbers(text: str) -> None:
    """As any other that is none."""
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)
    with pytest.raises(ValueError, match="FASTLOAD_CACHE_MAX_SIZE: not a size"):
        Settings.from_env({"FASTLOAD_CACHE_MAX_SIZE": text})


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_was_set(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """Back or forward, between two loads and an edit of the model."""
    loaded(saved_model)
    loaded(saved_model)
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() + days * 86_400)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + days * 86_400 * 10**9)
    before = loaded(saved_model)
    fastload.load_model(saved_model.path, keras=saved_model.form.package)
    model = saved_model.load_stock()
    model.set_weights([weight + 1 for weight in model.get_weights()])
    shutil.rmtree(saved_model.path)
    model.save(saved_model.path)
    for path in saved_model.path.rglob("*"):
        os.utime(path, (now() - 10**6, now() - 10**6))

    assert before == "hit"
    assert loaded(saved_model) == "miss"


@pytest.mark.parametrize("stage", ["open_plan", "restore"])
def test_a_cache_that_is_removed_between_two_steps(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Before the twin is opened, and while it is mapped."""
    loaded(saved_model)
    stock = getattr(answer, stage)

    def remove_first(*arguments: Any, **options: Any) -> Any:
        shutil.rmtree(cache_root, ignore_errors=True)
        return stock(*arguments, **options)

    monkeypatch.setattr(answer, stage, remove_first)

    assert loaded(saved_model) in {"hit", "miss", "bypass"}


def test_a_module_of_ours_that_cannot_be_opened(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many files are open by then; stock has the model, and a strict load says why not."""
    expected = np.asarray(saved_model.load_stock()(INPUTS)).tobytes()
    package = saved_model.form.package

    def fail(*_: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(answer, "restore", fail)
    found = fastload.load_model(saved_model.path, keras=package)

    assert np.asarray(found(INPUTS)).tobytes() == expected
    report = fastload.last_load()
    assert report is not None
    assert (report.outcome.value, "Too many open files" in str(report.reason)) == ("bypass", True)
    with pytest.raises(UnsupportedSourceError, match="Too many open files"):
        fastload.load_model(saved_model.path, keras=package, strict=True)


def test_a_twin_that_is_written_anew_while_it_is_mapped(
    saved_model: SavedModel, cache_root: Path
) -> None:
    """It is another file: no file that may be mapped is ever written to or cut."""
    first = fastload.load_model(saved_model.path, keras=saved_model.form.package)
    twin = next(cache_root.glob("*.h5"))
    inode = twin.stat().st_ino
    kept = twin.with_name("kept")
    os.link(twin, kept)
    twin.unlink()
    fastload.warm(saved_model.path, keras=saved_model.form.package)

    assert twin.stat().st_ino != inode
    assert not stat.S_IMODE(twin.stat().st_mode) & 0o222
    assert_same_model(saved_model.load_stock(), first)


def test_closed_streams(
    model: SavedModel, cache_root: Path, tmp_path: Path, run_python: RunPython
) -> None:
    """As a daemon has them. The files of the cache do not take their places."""
    told = tmp_path / "told"
    # Python's own files of bytecode would take those places too.
    environment = {"PYTHONDONTWRITEBYTECODE": "1"}
    run_python(LOAD_WITHOUT_STREAMS, model.path, model.form.package, told, **environment)
    lines = [
        path
        for path in cache_root.rglob("*")
        if path.suffix != ".lock" and path.is_file() and b"a line of" in path.read_bytes()
    ]

    assert told.read_text() == "miss hit"
    assert loaded(model) == "hit"
    assert lines == []
