"""The promise, for weights: what `load_weights` leaves in a model cannot be told from stock's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from zoo.catalogue import GENERATIONS, catalogue
from zoo.selection import SMOKE

from tests.conftest import SRC
from tests.contract.conftest import _has_generation

WORKER = Path(__file__).with_name("weights_worker.py")
#: Files are no models that can be built, and what cannot be opened has no weights.
NAMES = sorted(
    name
    for name in SMOKE
    if not catalogue()[name].is_files and name not in ("unknown_layer", "lambda_refused")
)


def told(generation: str, folder: Path, names: list[str]) -> list[dict[str, Any]]:
    """Return what the worker says of the models of a Keras."""
    done = subprocess.run(
        [sys.executable, WORKER, generation, folder, *names],
        env=os.environ | {"PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.smoke
@pytest.mark.parametrize("generation", GENERATIONS)
def test_weights_of_the_zoo(generation: str, tmp_path: Path) -> None:
    """Bits, errors and warnings, in each form, from a cold and a warm twin; and each is served."""
    if not _has_generation(generation):
        pytest.skip(f"no {generation} in this environment")
    lines = told(generation, tmp_path, NAMES)
    compared = [each for each in lines if "unsaved" not in each]
    assert [each for each in compared if each["differs"] is not None] == []
    assert [each for each in compared if not each["as_expected"] and not each["raised"]] == []
    assert len({each["name"] for each in compared}) > len(NAMES) // 2
    assert {each["state"] for each in compared} == {"cold", "warm", "eager"}
