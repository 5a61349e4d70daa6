"""Under each global setting that can be found, a kept trace gives what stock gives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path

import pytest

from fastload.runtime.importing import first_module
from tests.conftest import SRC, RunPython
from tests.small_models import KERAS3_ARCHIVE, SAVED_MODEL, Form

pytest.importorskip("tensorflow")
_TRACING = "tensorflow.python.eager.polymorphic_function.tracing_compilation"
pytestmark = [
    pytest.mark.usefixtures("cache_root"),
    pytest.mark.skipif(first_module(_TRACING) is None, reason="an older TensorFlow always traces"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="each setting is tried in a fork"),
]
WORKER = Path(__file__).with_name("settings_worker.py")
#: One sets up a cluster, one has TensorFlow look at numpy's pages, one has it refuse a newer numpy.
LEFT_OUT = {"TF_CONFIG", "TF_NP_CHECK_LINK", "TF_NP_SIG_MISMATCH_IS_ERROR"}
LEARN = """
import sys
import numpy as np
import fastload
inputs = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)
for _ in range(2):
    fastload.load_model(sys.argv[1], keras=sys.argv[2]).predict(inputs, verbose=0)
"""
PREDICT = """
import importlib, sys
import numpy as np
import fastload
inputs = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)
keras = importlib.import_module(sys.argv[2])
ours = fastload.load_model(sys.argv[1], keras=sys.argv[2]).predict(inputs, verbose=0)
stock = keras.models.load_model(sys.argv[1]).predict(inputs, verbose=0)
print(ours.tobytes() == stock.tobytes())
"""


@pytest.mark.parametrize(
    ("form", "step", "fewest"),
    [
        pytest.param(KERAS3_ARCHIVE, 97, 1, marks=pytest.mark.slow),
        pytest.param(KERAS3_ARCHIVE, 1, 60, marks=pytest.mark.full),
        pytest.param(SAVED_MODEL, 1, 60, marks=pytest.mark.full),
    ],
)
def test_each_setting(
    form: Form,
    step: int,
    fewest: int,
    *,
    saved_once: Callable[..., Path],
    run_python: RunPython,
    tmp_path: Path,
) -> None:
    path = saved_once(form)
    run_python(LEARN, path, form.package)

    done = subprocess.run(
        [sys.executable, str(WORKER), str(path), form.package, str(step)],
        env=os.environ | {"PYTHONPATH": str(SRC)},
        cwd=tmp_path,  # `enable_dump_debug_info` takes any of the texts for a folder to write in
        capture_output=True,
        text=True,
        check=False,
    )

    told = [
        line
        for line in done.stdout.splitlines()
        if line.startswith(("tensorflow", "keras", "tf_keras"))
    ]
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line for line in told if not line.endswith(": same")] == []
    assert len(told) >= fewest


def variables() -> Iterator[str]:
    """Yield the names of the environment's variables that TensorFlow's Python code reads."""
    spec = util.find_spec("tensorflow")
    assert spec is not None
    assert spec.origin is not None
    reading = re.compile(r"""(?:environ(?:\.get)?|getenv)[\[(]\s*["'](TF_\w+)["']""")
    for path in sorted(Path(spec.origin).parent.glob("python/**/*.py")):
        yield from reading.findall(path.read_text(encoding="utf-8"))


@pytest.mark.full
def test_each_variable_of_the_environment(
    saved_once: Callable[..., Path], run_python: RunPython
) -> None:
    path = saved_once(KERAS3_ARCHIVE)
    run_python(LEARN, path, "keras")
    names = sorted(set(variables()) - LEFT_OUT)

    told = {name: run_python(PREDICT, path, "keras", **{name: "1"}) for name in names}

    assert len(told) > 5
    assert {name for name, text in told.items() if text.splitlines()[-1] != "True"} == set()
