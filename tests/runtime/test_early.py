"""When TensorFlow's eager runtime comes before the rest, and when all is imported as ever."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deferral import IS_KNOWN, needs_deferral

START = "import sys\nfrom fastload.runtime.core import early\n{}\nearly.start(may_defer={})\n"
WAITS = "print(type(sys.modules['tensorflow']).__name__ == 'LazyModule')"
RunPython = Callable[..., str]


def waits(run_python: RunPython, before: str = "", may_defer: bool = True, **names: str) -> bool:
    """Say whether TensorFlow waits after a start in a fresh process."""
    return run_python(START.format(before, may_defer) + WAITS, **names).endswith("True")


def test_only_a_version_that_was_compared_is_deferred(run_python: RunPython) -> None:
    assert waits(run_python) == IS_KNOWN


@pytest.mark.parametrize(
    "before",
    [
        "import tensorflow",
        pytest.param("early.linking.SET_FIRST = {{}}", marks=pytest.mark.slow),
        pytest.param(
            "import site; site.getusersitepackages = lambda: {folder!r}", marks=pytest.mark.slow
        ),
        pytest.param("sys.path.append({folder!r})", marks=pytest.mark.full),
        pytest.param(
            "from fastload.imports import lazy_module; lazy_module.SUPPORTED = False",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_tensorflow_is_imported_as_ever(before: str, run_python: RunPython, tmp_path: Path) -> None:
    """Where it is there, unknown, or has plugins, or Python is not as known."""
    (tmp_path / "tensorflow-plugins").mkdir()
    assert not waits(run_python, before.format(folder=str(tmp_path)))


SHOWN = "import tensorflow as tf; print((tf.constant(1) + 1).numpy(), sorted(vars(tf)))"


@pytest.fixture(scope="module")
def shown_by_stock(run_python: RunPython) -> str:
    return run_python(SHOWN)


@pytest.mark.slow
@pytest.mark.parametrize("lacking", ["('tensorflow.python.absent',)", "(context,), 'absent'"])
def test_a_tensorflow_that_is_not_as_expected_is_imported_and_refused(
    lacking: str, shown_by_stock: str, run_python: RunPython
) -> None:
    """Another loader than ours still finds all of it."""
    program = (
        "from fastload.runtime import importing, requirements\n"
        "context = 'tensorflow.python.eager.context'\n"
        f"requirements.EAGER.parts['context'] = importing.Part({lacking})"
    )
    start = START.format(program, True).replace(
        "early.start(may_defer=True)",
        "try: early.start(may_defer=True)\nexcept Exception as error: print(type(error).__name__)",
    )
    found = run_python(f"{start}{WAITS}\n{SHOWN}").splitlines()
    assert found[0] in {"ModuleNotFoundError", "UnsupportedRuntimeError"}
    assert found[1:] == ["False", shown_by_stock]


@pytest.mark.parametrize("name", ["TF_PLUGGABLE_DEVICE_LIBRARY_PATH", "TF_USE_MODULAR_FILESYSTEM"])
def test_libraries_of_others_are_left_to_tensorflows_own_import(
    name: str, run_python: RunPython
) -> None:
    program = START.format("from fastload.imports import deferred", True)
    program = program.replace(
        "early.start", "deferred.defer = None; early.tensorflow = int\nearly.start"
    )
    program = program.replace("early.start(", "early.eager.runtime = int; early.start(")
    assert run_python(program + "print('tensorflow' in sys.modules)", **{name: "0"}) == "False"


def test_it_can_be_turned_off(run_python: RunPython) -> None:
    assert not waits(run_python, may_defer=False)


def test_a_missing_tensorflow_is_an_error_of_ours(run_python: RunPython) -> None:
    program = (
        "import importlib.util, sys\nfound = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: name != 'tensorflow' and found(name, *rest)"
        " or None\n"
    )
    program += START.format(
        "from fastload.runtime.core import early, tensorflow as t",
        True,
    ).replace(
        "early.start(may_defer=True)",
        "early.linking.find_spec = importlib.util.find_spec\n"
        "try: early.start(may_defer=True)\nexcept Exception as error: print(type(error).__name__)",
    )
    assert run_python(program) == "MissingTensorFlowError"


@needs_deferral
def test_a_failed_import_can_be_tried_again_and_brings_the_stock_error(
    run_python: RunPython,
) -> None:
    """Operators of tensors bring it too, and what was loaded works on."""
    program = START.format(
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'tensorflow.python.compat.v2_compat': raise ImportError('refused')\n",
        True,
    )
    program += """
import numpy as np
from fastload.runtime.core import eager
tensor = eager.tensor_of(np.ones(2, "float32"))
sys.meta_path.insert(0, Refuse())
def told(text):
    try: exec(text, globals())
    except BaseException as error: print(type(error).__name__, error)
told("import tensorflow as tf; tf.constant")
told("tensor + 1")
told("from tensorflow import constant")
told("import tensorflow.python.compat.v2_compat")
print(eager.copied(tensor).numpy())
"""
    found = run_python(program).splitlines()
    assert found[0] == "ImportError refused"
    assert len(found) == 5
    assert all("Error" in line for line in found[1:4])
    assert found[4] == "[1. 1.]"


@needs_deferral
def test_threads_that_start_together_start_it_once(run_python: RunPython) -> None:
    program = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from fastload.runtime.core import early
from fastload.runtime.core import eager
def start(_):
    early.start(may_defer=True)
    return eager.executing_eagerly()
with ThreadPoolExecutor(8) as threads: print(all(threads.map(start, range(8))))
print([type(each).__name__ for each in sys.meta_path].count("_Rest"))
"""
    assert run_python(program + WAITS).split() == ["True", "1", "True"]


@needs_deferral
def test_a_thread_that_imports_tensorflow_meanwhile_gets_all_of_it(run_python: RunPython) -> None:
    program = """
import sys, threading
from fastload.runtime.core import early
from fastload.runtime.core import eager
seen = []
def use():
    import tensorflow as tf
    seen.append((tf.constant(1) + 1).numpy())
threads = [threading.Thread(target=use, daemon=True) for _ in range(4)]
threads[0].start(); threads[1].start()
early.start(may_defer=True)
threads[2].start(); threads[3].start()
[thread.join(60) for thread in threads]
print(*seen, eager.executing_eagerly())
"""
    assert run_python(program) == "2 2 2 2 True"


@pytest.mark.slow
def test_the_variables_of_the_environment_are_those_of_a_stock_import(
    run_python: RunPython,
) -> None:
    shown = "import os; print(sorted(os.environ.items()))"
    stock = run_python("import tensorflow\n" + shown, PYTHONPATH=os.environ.get("PYTHONPATH", ""))
    assert (
        run_python(START.format("", True) + shown).split("PYTHONPATH")[0]
        == (stock.split("PYTHONPATH")[0])
    )
