"""Processes that share a cache while models, classes, versions and limits change around them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastload.twin.format import FORMAT_VERSION
from tests.conftest import SRC, SavedOnce
from tests.process.test_forks import aged
from tests.small_models import KERAS3_ARCHIVE, SAVED_MODEL, Form, copy_model
from tests.tried import one_try

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.slow
_PROGRAM = Path(__file__).with_name("side_by_side.py")
SECONDS = 6
VERSIONS = 3

Start = Callable[..., "subprocess.Popen[str]"]
in_both = pytest.mark.parametrize("form", [SAVED_MODEL, KERAS3_ARCHIVE], ids=lambda form: form.id)


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts the program in a process with the cache of the test."""

    def begin(
        *arguments: object, errors: int | None = None, **environment: str
    ) -> subprocess.Popen[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("FASTLOAD")}
        return subprocess.Popen(
            [sys.executable, str(_PROGRAM), *map(str, arguments)],
            env=kept
            | {
                "PYTHONPATH": f"{SRC}{os.pathsep}{SRC.parent}",
                "FASTLOAD_CACHE_DIR": str(tmp_path / "cache"),
                "TF_NUM_INTRAOP_THREADS": "1",
            }
            | environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )

    return begin


def told(process: subprocess.Popen[str]) -> list[Any]:
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    return [json.loads(line) for line in out.splitlines()]


#: How the report of a crash in TensorFlow's reader of checkpoints begins.
IN_TENSORFLOW = re.compile(
    r"Segmentation fault\s+Current thread .*\s+"
    r"File .*py_checkpoint_reader\.py.* NewCheckpointReader"
)


def told_if_tensorflow_lives(process: subprocess.Popen[str]) -> list[Any]:
    """Return what a process told; nothing where TensorFlow's reader ended it.

    It does so in stock as well, where an index is written over while it opens it: within seconds,
    in a loop of `tf.train.load_checkpoint` (TensorFlow 2.21).
    """
    out, errors = process.communicate()
    if process.returncode == -signal.SIGSEGV and IN_TENSORFLOW.search(errors):
        return []
    assert process.returncode == 0, errors
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def versions(saved_once: SavedOnce, tmp_path: Path) -> Callable[[Form], Path]:
    """Gives a folder of models of one architecture with different weights, an hour old."""

    def of(form: Form) -> Path:
        folder = tmp_path / "versions"
        folder.mkdir()
        for seed in range(1, VERSIONS + 1):
            copy_model(saved_once(form, seed=seed), folder / f"{seed}{form.suffix}")
        aged(folder)
        return folder

    return of


def test_a_file_that_is_replaced_again_and_again(
    start: Start, versions: Callable[[Form], Path], tmp_path: Path
) -> None:
    """Each load gives one of the models that were there, and no twin holds another one."""
    folder, path = versions(KERAS3_ARCHIVE), tmp_path / "m.keras"
    copy_model(folder / "1.keras", path)
    writer = start("replace", path, folder, SECONDS + 20)
    loads = [start("load_on", KERAS3_ARCHIVE.package, path, folder, SECONDS) for _ in range(2)]
    try:
        found = [told(each)[0] for each in loads]
    finally:
        writer.kill()
        writer.communicate()

    for each in found:
        with one_try("side by side"):
            assert set(each["counts"]) == {"version"}
            assert each["wrong"] == []


def test_a_folder_that_is_saved_over_again_and_again(
    start: Start, versions: Callable[[Form], Path], tmp_path: Path
) -> None:
    """Stock, too, mixes what it reads meanwhile; what is kept is of one version."""
    folder, path = versions(SAVED_MODEL), tmp_path / "m"
    copy_model(folder / "1", path)
    writer = start("save_over", path, folder, SECONDS + 20)
    report = {"errors": subprocess.PIPE, "PYTHONFAULTHANDLER": "1"}
    command = ("load_on", SAVED_MODEL.package, path, folder, SECONDS)
    loads = [start(*command, **report) for _ in range(2)]
    try:
        found = [row for each in loads for row in told_if_tensorflow_lives(each)]
        if not found:
            found = told_if_tensorflow_lives(start(*command, **report))
    finally:
        writer.kill()
        writer.communicate()

    assert found
    for each in found:
        with one_try("side by side"):
            assert each["counts"]["version"] > 0
            assert each["wrong"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads what is open from /proc")
@pytest.mark.parametrize(
    ("kind", "form"),
    [("model", SAVED_MODEL), ("model", KERAS3_ARCHIVE), ("objects", SAVED_MODEL)],
    ids=lambda each: getattr(each, "id", each),
)
def test_a_process_with_few_descriptors(
    start: Start, saved_once: SavedOnce, kind: str, form: Form
) -> None:
    """Where stock can load the model, so can fastload."""
    rows = told(start("few_descriptors", kind, form.package, aged(saved_once(form))))

    assert len(rows) > 10
    for row in rows:
        with one_try("side by side"):
            is_served = len(row["stock"][0]) == 64
            assert not is_served or set(row["found"]) == set(row["stock"]), row


@pytest.mark.parametrize("form", [SAVED_MODEL, KERAS3_ARCHIVE], ids=lambda form: form.id)
def test_a_class_and_a_loss_that_a_notebook_defines_anew(
    start: Start, tmp_path: Path, form: Form
) -> None:
    rows = told(start("notebook", form.package, tmp_path / f"m{form.suffix}"))

    assert len({str(row["predicted"]) for row in rows}) == 3
    for row in rows:
        with one_try("side by side"):
            assert row["same"], row


_PACKAGE = """
import {package} as keras

class Scale(keras.layers.Layer):
    def call(self, x):
        return x * {factor}

def loss(y, p):
    return abs(y - p) ** {power}
"""


@in_both
def test_two_packages_of_one_name(start: Start, tmp_path: Path, form: Form) -> None:
    """In two environments, say: each process has the classes and losses of its own."""
    folders = []
    for number, (factor, power) in enumerate([(2.0, 1), (3.0, 1), (3.0, 2)]):
        folder = tmp_path / f"environment{number}" / "own_layers"
        folder.mkdir(parents=True)
        text = _PACKAGE.format(package=form.package, factor=factor, power=power)
        (folder / "__init__.py").write_text(text)
        folders.append(folder.parent)
    path, found = tmp_path / f"m{form.suffix}", []
    for number, folder in enumerate([*folders, *folders]):
        process = start("package_of", folder, form.package, path, "old" if number else "new")
        found += told(process)

    assert len({str(each["told"]) for each in found}) == 2
    for each in found:
        with one_try("side by side"):
            assert each["same"]
            assert each["outcomes"][1] == "hit"


@pytest.fixture
def newer(tmp_path: Path) -> str:
    """Where a fastload is whose twins are of a format of their own; for PYTHONPATH."""
    folder = tmp_path / "newer"
    shutil.copytree(SRC / "fastload", folder / "fastload")
    module, line = folder / "fastload" / "twin" / "format.py", "FORMAT_VERSION: Final = "
    text = module.read_text()
    assert f"{line}{FORMAT_VERSION}" in text
    module.write_text(text.replace(f"{line}{FORMAT_VERSION}", f"{line}{FORMAT_VERSION + 1}"))
    return str(folder)


@in_both
def test_two_formats_of_twins_in_one_cache(
    start: Start, saved_once: SavedOnce, form: Form, newer: str
) -> None:
    """Neither takes the other's for its own, nor away."""
    path = aged(saved_once(form))
    places = [os.pathsep.join([each, str(SRC.parent)]) for each in (str(SRC), newer)]

    def begin(place: str, times: int) -> subprocess.Popen[str]:
        return start("load_again", form.package, path, times, PYTHONPATH=place)

    alone = [told(begin(place, 3))[0] for place in 2 * places]
    together = [told(each)[0] for each in [begin(place, 8) for place in 2 * places]]

    assert alone[:2] == [{"miss": 1, "hit": 2}] * 2
    for each in [*alone[2:], *together]:
        with one_try("side by side"):
            assert set(each) == {"hit"}


@in_both
def test_a_cache_with_room_for_one_model(
    start: Start, versions: Callable[[Form], Path], form: Form
) -> None:
    """Four processes load three models, and each miss evicts what the others map."""
    folder = versions(form)
    room = {"FASTLOAD_CACHE_MAX_SIZE": "60KB"}
    loads = [
        start("under_eviction", form.package, folder, seed, SECONDS, **room) for seed in range(4)
    ]

    found = [told(each)[0] for each in loads]

    assert sum(each.get("miss", 0) for each in found) > VERSIONS
    for each in found:
        with one_try("side by side"):
            assert set(each) <= {"hit", "miss", "bypass"}
