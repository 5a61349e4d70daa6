"""What one process kept is used by the next: nothing that processes differ in is taken for code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_models import USUAL_FORMS, Form

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.slow
_PROGRAM = Path(__file__).with_name("remembered.py")


def run(cache: Path, *words: str) -> str:
    # Sets are in another order in each process.
    environment = {**os.environ, "FASTLOAD_CACHE_DIR": str(cache), "PYTHONHASHSEED": "random"}
    command = [sys.executable, str(_PROGRAM), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


@pytest.mark.parametrize("form", USUAL_FORMS, ids=lambda form: form.id)
def test_no_code_is_taken_for_other_code(form: Form, tmp_path: Path) -> None:
    """Layers that trace loops, look classes up by name, or make operations of masks."""
    package = form.package
    path, cache = str(tmp_path / f"model{form.suffix}"), tmp_path / "cache"
    try:
        run(cache, package, path)
    except AssertionError as error:
        if "objects could not be loaded" not in str(error):
            raise
        pytest.skip("stock cannot open it")
    run(cache, package, path, "use")
    kept = {file.name for file in cache.glob("*.code*.json")}
    told = run(cache, package, path, "use")

    assert kept
    assert "was recorded with other code" not in told
    assert {file.name for file in cache.glob("*.code*.json")} == kept
