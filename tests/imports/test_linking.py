"""TensorFlow's libraries are linked in a thread, and nothing else is different."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fastload
from fastload.imports import linking
from tests.deferral import needs_deferral
from tests.signature_modules import save_signed

pytestmark = [
    needs_deferral,
    pytest.mark.skipif(sys.platform != "linux", reason="libraries are linked as ever"),
]
RunPython = Callable[..., str]

#: Two processors, whatever the machine has, and whether there was a thread.
START = """
import os, sys
os.sched_getaffinity = lambda _: range({processors})
from fastload.imports import linking
def has_linked(): return linking._thread is not None
{before}
"""
PREDICT = """
import numpy as np
import fastload
predict = fastload.load_predictor(sys.argv[1], strict=True)
y = next(iter(predict(np.linspace(-1, 1, 6, dtype="float32").reshape(3, 2)).values()))
linking.wait()
print(fastload.last_load().outcome.value, has_linked(), y.numpy().tobytes().hex())
"""


def program(text: str, before: str = "", processors: int = 2) -> str:
    return START.format(before=before, processors=processors) + text


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A SavedModel with all in the cache that later processes use."""
    folder = tmp_path_factory.mktemp("linking")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTLOAD_CACHE_DIR", str(folder / "cache"))
        path = save_signed("dense", folder / "model")
        fastload.warm(path)
        yield path


@pytest.fixture(scope="module")
def as_ever(model: str, run_python: RunPython) -> str:
    """What a prediction is where Python links: one processor would gain nothing by a thread."""
    outcome, has_linked, found = run_python(program(PREDICT, processors=1), model).split()
    assert (outcome, has_linked) == ("hit", "False")
    return found


def test_a_predictor_has_tensorflow_linked_meanwhile(
    model: str, as_ever: str, run_python: RunPython
) -> None:
    assert run_python(program(PREDICT), model).split() == ["hit", "True", as_ever]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "environment"),
    [
        ("import tensorflow", {}),
        ("sys.platform = 'darwin'", {}),
        ("linking.SET_FIRST = {}", {}),
        ("", {"FASTLOAD_DEFER": "0"}),
    ],
)
def test_python_links_where_a_thread_is_of_no_use_or_not_known_to_work(
    before: str, environment: dict[str, str], model: str, as_ever: str, run_python: RunPython
) -> None:
    found = run_python(program(PREDICT, before), model, **environment).split()
    assert found == ["hit", "False", as_ever]


@pytest.mark.parametrize(
    "before",
    [
        "linking._FIRST_LIBRARY = 'absent.so'",
        "linking._LIST = 'TF_Absent'",
        "linking._BEFORE += ('absent',); linking.MEANWHILE = {'2.15': ('x',), '2.21': ('x',)}",
    ],
)
def test_what_goes_wrong_meanwhile_is_left_to_the_import(
    before: str, model: str, as_ever: str, run_python: RunPython
) -> None:
    found = run_python(f"import sys; sys.stderr = sys.stdout\n{program(PREDICT, before)}", model)
    assert found.splitlines()[-1].split() == ["hit", "True", as_ever]
    assert "Error" not in found


def test_a_process_without_a_thread_left_links_as_ever(
    model: str, as_ever: str, run_python: RunPython
) -> None:
    before = (
        "import threading\n"
        'def refuse(self): raise RuntimeError("can\'t start new thread")\n'
        "start, threading.Thread.start = threading.Thread.start, refuse\n"
        "linking.begin()\n"
        "threading.Thread.start = start; linking._is_of_use = lambda: False"
    )
    assert run_python(program(PREDICT, before), model).split() == ["hit", "False", as_ever]


def test_the_same_modules_are_imported(model: str, as_ever: str, run_python: RunPython) -> None:
    """What comes meanwhile would have come."""
    del as_ever
    told = PREDICT + "print(*sorted(sys.modules))"
    beside, ever = (
        set(run_python(program(told, processors=count), model).splitlines()[-1].split())
        for count in (2, 1)
    )
    # Not every version needs all the libraries of Python's own that come before.
    of_python = {name for name in linking._BEFORE if name in sys.stdlib_module_names}
    assert beside - ever <= {*of_python, "ctypes", "_ctypes", "ctypes._endian"}
    assert ever <= beside


def test_this_thread_links_nothing_meanwhile(model: str, run_python: RunPython) -> None:
    """It would wait for the other, and with it whatever Python could do."""
    watched = """
linked, is_watching = [], False
def watch(event, arguments):
    if is_watching and event == "import" and arguments[1]: linked.append(arguments[0])
sys.addaudithook(watch)
start, use = linking._started, linking.use_the_time
def watched_start(library):
    global is_watching
    is_watching = True
    return start(library)
def watched_use(version):
    global is_watching
    linking._import(linking.MEANWHILE.get(version, ()))
    is_watching = False
linking._started, linking.use_the_time = watched_start, watched_use
"""
    found = run_python(program(PREDICT + "print(linked)", watched), model).splitlines()
    assert found[0].split()[:2] == ["hit", "True"]
    assert found[1] == "[]"


@pytest.mark.slow
def test_processes_that_fork_meanwhile_have_all_of_it(run_python: RunPython) -> None:
    """The child must not begin with a linker that nobody ends."""
    forking = """
linking.begin()
child = os.fork()
if not child:
    import tensorflow as tf
    os._exit(int((tf.constant(20) + 1).numpy()))
print(has_linked(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run_python(program(forking)).split() == ["True", "21"]


@pytest.mark.slow
def test_an_import_meanwhile_is_the_stock_one(run_python: RunPython) -> None:
    importing = """
import threading
linking.begin()
import tensorflow as tf
print(type(tf).__name__, (tf.constant(20) + 1).numpy(), has_linked())
"""
    assert run_python(program(importing)).split() == ["module", "21", "True"]


def test_what_libraries_run_when_they_are_linked_needs_no_python() -> None:
    """As a thread runs it that does not hold Python's lock: here there is no interpreter at all."""
    variables = sysconfig.get_config_vars()
    python = Path(variables["LIBDIR"], variables["INSTSONAME"] or "")
    if python.suffix == ".a" or not python.is_file():
        pytest.skip("this Python is no library, which TensorFlow's need")
    found = linking.expected()
    assert found is not None
    linked = f"{python} {found[0]}/python/platform/_pywrap_cpu_feature_guard.so"
    done = subprocess.run(["/bin/true"], env=os.environ | {"LD_PRELOAD": linked}, check=False)
    assert done.returncode == 0
