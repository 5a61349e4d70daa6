"""A short form of `nox -s soak`, and what grows when one model is loaded again and again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SRC, SavedOnce
from tests.small_models import KERAS3_ARCHIVE, SAVED_MODEL, Form
from tests.tried import note

pytest.importorskip("tensorflow")
if sys.platform != "linux":
    pytest.skip("only Linux tells what a process has", allow_module_level=True)
SECONDS = int(os.environ.get("FASTLOAD_SOAK_SECONDS", "40"))
PROCESSES = int(os.environ.get("FASTLOAD_SOAK_PROCESSES", "3"))
LOADS = int(os.environ.get("FASTLOAD_GROWTH_LOADS", "60"))


def lines_of(program: str, *arguments: object, cache: Path) -> list[dict[str, Any]]:
    folders = f"{SRC}{os.pathsep}{SRC.parent}"
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(program)), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": folders, "FASTLOAD_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(3 * SECONDS + 300)
def test_processes_that_load_warm_prune_and_save_over_with_faults(tmp_path: Path) -> None:
    """No wrong result, no load that fails, no stuck lock, nothing left behind."""
    [told] = lines_of("soak.py", SECONDS, PROCESSES, cache=tmp_path)

    assert told["problems"] == []
    assert told["counts"]["load"] > 10
    assert told["counts"]["faults"] > 0


@pytest.mark.slow
@pytest.mark.timeout(60 + 10 * LOADS)
@pytest.mark.parametrize("form", [KERAS3_ARCHIVE, SAVED_MODEL], ids=lambda form: form.id)
def test_loads_of_one_model_grow_by_no_more_than_in_stock(
    saved_once: SavedOnce, tmp_path: Path, form: Form
) -> None:
    """Descriptors, mappings but for a few of the allocator's, and memory."""
    ours, stock = lines_of("growth.py", saved_once(form), form.package, LOADS, cache=tmp_path)
    found, allowed = ours["fastload"], stock["stock"]
    of = f"one {form.id}, loaded by `load_model`"
    note("growth", LOADS, fastload=found, stock=allowed, of=of)

    assert found["descriptors"] <= max(allowed["descriptors"], 0)
    assert found["mappings"] <= max(allowed["mappings"], 0) + 16
    assert found["resident KiB"] <= max(allowed["resident KiB"], 0) + 4096 + 16 * LOADS
