"""A process that forks while another thread loads: the child loads what stock loads, and no hang.

Children of processes in which TensorFlow has run load, but run no function: stock hangs there too,
since TensorFlow's threads are not in the child. Where TensorFlow had not run, functions are run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SRC, SavedOnce
from tests.small_models import KERAS2_HDF5, KERAS3_ARCHIVE, SAVED_MODEL, Form
from tests.tried import note_told

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")
_PROGRAM = Path(__file__).with_name("forked_loads.py")
#: Forks at every so many steps; a load has some hundreds.
EVERY = int(os.environ.get("FASTLOAD_FORK_EVERY", "30"))


def aged(path: Path) -> Path:
    """Have *path* look as if it had been saved an hour ago, so that its stats are believed."""
    for each in [path, *path.rglob("*")]:
        os.utime(each, (each.stat().st_mtime - 3600,) * 2)
    return path


def forks(
    load: tuple[str, Form, str], every: int, paths: list[Path], cache: Path
) -> list[dict[str, object]]:
    """Return what is told of each fork."""
    kind, form, state = load
    command = [sys.executable, str(_PROGRAM), kind, form.package, state]
    done = subprocess.run(
        [*command, *map(str, paths), str(every), "1"],
        env=os.environ
        | {"PYTHONPATH": f"{SRC}{os.pathsep}{SRC.parent}", "FASTLOAD_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(told: list[dict[str, object]]) -> None:
    """Where stock goes wrong in a child of the same moment, so may fastload."""
    assert len(told) > 2
    assert [each for each in told if each["wrong"] and not each["stock"]] == []


LOADS = [
    *(("model", KERAS3_ARCHIVE, state) for state in ("warm", "cold", "fresh")),
    *(("model", form, state) for form in (SAVED_MODEL, KERAS2_HDF5) for state in ("warm", "cold")),
    *(("objects", SAVED_MODEL, state) for state in ("warm", "fresh")),
    *(("predictor", SAVED_MODEL, state) for state in ("warm", "fresh")),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "every"),
    [
        pytest.param(LOADS[0], 6 * EVERY, id="few steps"),
        *(
            pytest.param(
                each, EVERY, marks=pytest.mark.full, id=f"{each[0]}-{each[1].id}-{each[2]}"
            )
            for each in LOADS
        ),
    ],
)
def test_a_child_of_a_process_in_which_another_thread_loads(
    saved_once: SavedOnce, tmp_path: Path, load: tuple[str, Form, str], every: int
) -> None:
    """At many steps of the load, with locks held, patches in place, modules half imported."""
    form = load[1]
    paths = [aged(saved_once(form)), aged(saved_once(form, "sequential"))]

    told = forks(load, every, paths, tmp_path / "cache")
    note_told("fork", told, every=every)

    check(told)


_SHARED = """
import os, sys, threading
from pathlib import Path
from types import SimpleNamespace
from fastload.lazy_weights.pages import ReadPages

path = Path(sys.argv[1])
path.write_bytes(b"".join(bytes([each]) * 4096 for each in range(256)))
pages = ReadPages(path)
child = os.fork()
wrong = 0
for turn in range(20_000):
    number = (turn * (7 if child else 5)) % 256
    ref = SimpleNamespace(offset=number * 4096, nbytes=4096)
    wrong += pages.content(SimpleNamespace(ref=ref, name="w")) != bytes([number]) * 4096
if not child:
    os._exit(wrong > 0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert not wrong, wrong
"""


def test_a_child_reads_lazy_weights_beside_its_parent(tmp_path: Path) -> None:
    """They share the open file, and with it the place at which is read."""
    command = [sys.executable, "-c", _SHARED, str(tmp_path / "file")]

    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(SRC)}, check=True)
