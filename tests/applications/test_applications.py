"""Published packages, unmodified, under `FASTLOAD=1` and `fastload run`: `nox -s applications`.

The programs beside this file use a package as its documentation shows. They run under stock and
under fastload on an empty and then a filled cache; what they print must be the same.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastload.cli.run import find_pth

HERE = Path(__file__).parent
PACKAGES = {"sleep_stages.py": "sleepecg", "pitches.py": "basic_pitch"}
PROGRAMS = (
    ("sleep_stages.py", "ws-gru-mesa"),
    ("sleep_stages.py", "wrn-gru-mesa"),
    ("sleep_stages.py", "wrn-gru-mesa-weighted"),
    ("pitches.py", "saved_models/icassp_2022/nmp"),
)
#: Keras 3 refuses the SavedModels that sleepecg brings.
LEGACY = {"TF_USE_LEGACY_KERAS": "1"} if importlib.util.find_spec("tf_keras") else {}


@pytest.mark.parametrize("way", ["FASTLOAD=1", "fastload run"])
@pytest.mark.parametrize(("program", "argument"), PROGRAMS)
def test_a_published_package_is_served(
    program: str, argument: str, way: str, cache_root: Path
) -> None:
    argument = _argument(program, argument)
    if way == "FASTLOAD=1" and find_pth() is None:
        pytest.skip("fastload is not installed here, only on the path")
    stock = _run([], program, argument)
    first = _served(way, program, argument)
    second = _served(way, program, argument)

    assert first == second == stock
    assert _outcomes() == {"hits": 1, "misses": 1, "bypasses": 0}


def _argument(program: str, argument: str) -> str:
    """Return what the program takes; skip where its package is not installed."""
    package = importlib.util.find_spec(PACKAGES[program])
    if package is None or package.origin is None:
        pytest.skip(f"{PACKAGES[program]} is not installed: see `nox -s applications`")
    in_package = Path(package.origin).parent / argument
    return str(in_package) if in_package.exists() else argument


def _served(way: str, program: str, argument: str) -> str:
    if way == "fastload run":
        return _run(["-m", "fastload", "run"], program, argument)
    return _run([], program, argument, FASTLOAD="1")


def _run(under: list[str], program: str, argument: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *under, HERE / program, argument],
        env=os.environ | LEGACY | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]  # what the packages print before has temporary paths


def _outcomes() -> dict[str, int]:
    asked = [sys.executable, "-m", "fastload", "stats", "--json"]
    told = json.loads(subprocess.check_output(asked, text=True))
    return {name: told[name] for name in ("hits", "misses", "bypasses")}
