"""A TensorFlow or Keras that lacks any one of the private names: loads are right all the same."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fastload.runtime import internals
from fastload.runtime.requirements import FEATURES
from tests.small_models import FORMS, Form

pytest.importorskip("tensorflow")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="each name has a child of its own"),
]
ROWS = list(internals.rows())
#: A quick run takes each of so many away.
EVERY = 83


def numbers_for(package: str) -> list[int]:
    """Return which rows concern loads with this Keras: names that are here, of it or TensorFlow."""
    other = {"keras": "tf_keras", "tf_keras": "keras"}[package]
    return [
        number
        for number, row in enumerate(ROWS)
        if row.feature in FEATURES
        and row.module.partition(".")[0] != other
        and row.module.partition(".")[0] in (package, "tensorflow")
        and internals.examine(row) is internals.State.FOUND
        and internals.INSTANCE not in row.name.path
    ]


@pytest.mark.parametrize(
    "share",
    [pytest.param(1, marks=[pytest.mark.full, pytest.mark.timeout(3600)]), EVERY],
)
@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_each_name_may_be_missing(
    package: str, share: int, saved_once: Callable[[Form], Path], tmp_path: Path
) -> None:
    """It is served, or goes to stock; what stock itself cannot do without is only hidden from us.

    `doctor --internals` names it.
    """
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"no {package} in this environment")
    for form in FORMS:
        if form.package == package:
            copied = tmp_path / f"{package}-model{form.suffix}"
            copy = shutil.copyfile if form.suffix else shutil.copytree
            copy(saved_once(form), copied)
    numbers = numbers_for(package)[::share]
    cache = tmp_path / "cache"

    command = [sys.executable, "-m", "tests.runtime.missing_names", package, str(tmp_path)]
    done = subprocess.run(
        [*command, *map(str, numbers)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "FASTLOAD_CACHE_DIR": str(cache)},
    )

    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout) == {}
    assert len(numbers) > 3
