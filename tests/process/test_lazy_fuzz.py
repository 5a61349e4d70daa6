"""Random models within random budgets: the same bits, never over the budget, and no hang."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SRC
from tests.small_models import package_of

pytest.importorskip("tensorflow")

ROUNDS = int(os.environ.get("FASTLOAD_LAZY_ROUNDS", "2"))
FIRST_SEED = int(os.environ.get("FASTLOAD_LAZY_SEED", "1"))
#: Of a model; reading ahead of nobody for half a minute is an error by then.
MOST_SECONDS = 90
_PROGRAM = Path(__file__).with_name("lazy_fuzz.py")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is in memory")
@pytest.mark.timeout(60 + ROUNDS * MOST_SECONDS)
@pytest.mark.parametrize(
    ("generation", "threads"),
    [
        (2, 8),
        (3, 8),
        pytest.param(3, 1, marks=pytest.mark.slow),
        *(pytest.param(*each, marks=pytest.mark.full) for each in [(2, 1), (2, 2), (3, 2)]),
    ],
)
def test_random_models_stay_within_random_budgets(
    generation: int, threads: int, tmp_path: Path
) -> None:
    """Called eagerly, in functions and by `predict`; a fault is told with its seed."""
    arguments = [package_of(generation), FIRST_SEED, ROUNDS, threads]
    told = tmp_path / "told.jsonl"
    with told.open("w") as output:
        done = subprocess.run(
            [sys.executable, str(_PROGRAM), *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(SRC), "TMPDIR": str(tmp_path)},
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=30 + ROUNDS * MOST_SECONDS,
        )
    lines = [json.loads(line) for line in told.read_text().splitlines()]

    assert [line for line in lines if line.get("faults")] == []
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line["ends"] for line in lines if "ends" in line] == [
        *range(FIRST_SEED, FIRST_SEED + ROUNDS)
    ]
