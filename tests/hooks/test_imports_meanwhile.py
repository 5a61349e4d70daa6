"""Hooks that are installed while another thread imports Keras, or by what is imported.

The Keras of these programs has one function, and calls `meanwhile` before it has that.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunPython

KERAS = {
    "keras/__init__.py": "from keras.src.saving.saving_api import load_model\n",
    "keras/src/__init__.py": "",
    "keras/src/saving/__init__.py": "",
    "keras/src/saving/saving_api.py": (
        "import __main__; __main__.meanwhile()\n"
        "def load_model(filepath, custom_objects=None, compile=True): ...\n"
    ),
}
#: One more module with a hook, which is imported when the other is finished.
LATER = {
    "keras/__init__.py": KERAS["keras/__init__.py"] + "import keras.src.saving.saving_lib\n",
    "keras/src/saving/saving_lib.py": "",
}
START = """
import importlib, os, signal, sys, threading, types
sys.path.insert(0, sys.argv[1])
import fastload
from fastload.hooks import installation

half, go = threading.Event(), threading.Event()

def begin(work, *args):
    thread = threading.Thread(target=work, args=args, daemon=True)
    thread.start()
    return thread

def found():
    return type(sys.modules["keras"].load_model).__name__

def pause():
    half.set()
    go.wait()
"""
#: wrapt up to 1.14 holds a lock while it registers a hook, and while it calls those of a module
#: that was imported. Here that is so in another thread when the second hook is to be registered.
OLD_WRAPT = """
import wrapt
wrapts_lock, hooks = threading.RLock(), {}

def register(hook, name):
    if hooks:
        half.set()
        go.wait()
    with wrapts_lock:
        hooks[name] = hook

def notify():
    half.wait()
    with wrapts_lock:
        go.set()
        called()

wrapt.register_post_import_hook = register
"""
RunWithKeras = Callable[..., str]


@pytest.fixture
def run_with_keras(tmp_path: Path, run_python: RunPython) -> RunWithKeras:
    """Run a program with this Keras, and with more files; return what it printed."""

    def run(program: str, files: dict[str, str] | None = None) -> str:
        for name, text in (KERAS | (files or {})).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return run_python(START + program, tmp_path)

    return run


@pytest.mark.parametrize("call", ["fastload.install", "scope.__enter__"])
def test_what_another_thread_has_half_imported_is_waited_for(
    call: str, run_with_keras: RunWithKeras
) -> None:
    program = (
        "meanwhile = pause\n"
        "importing = begin(importlib.import_module, 'keras')\n"
        "half.wait()\n"
        "scope = fastload.enabled()\n"
        f"installing = begin({call})\n"
        "installing.join(0.3)\n"
        "print(installing.is_alive())\n"
        "go.set(); installing.join(); importing.join()\n"
        "print(found())"
    )

    assert run_with_keras(program).split() == ["True", "StandIn"]


def test_what_this_thread_has_half_imported_is_patched_the_next_time(
    run_with_keras: RunWithKeras,
) -> None:
    program = (
        "meanwhile = fastload.install\n"
        "import keras\n"
        "print(found())\n"
        "fastload.install()\n"
        "print(found())\n"
        "fastload.uninstall()\n"
        "print(found())"
    )

    assert run_with_keras(program).split() == ["function", "StandIn", "function"]


def test_or_when_another_module_is_imported(run_with_keras: RunWithKeras) -> None:
    program = "meanwhile = fastload.install; import keras; print(found())"

    assert run_with_keras(program, LATER) == "StandIn"


def test_a_module_that_installs_hooks_does_not_wait(run_with_keras: RunWithKeras) -> None:
    """The other thread needs that module, and would get it half imported."""
    program = (
        "def meanwhile():\n"
        "    pause()\n"
        "    import program\n"
        "    print(program.is_finished)\n"
        "importing = begin(importlib.import_module, 'keras')\n"
        "half.wait()\n"
        "installing = begin(importlib.import_module, 'program')\n"
        "installing.join(0.3)\n"
        "go.set(); installing.join(); importing.join()\n"
        "print(found())"
    )
    files = LATER | {"program.py": "import fastload; fastload.install(); is_finished = True"}

    assert run_with_keras(program, files).split() == ["True", "StandIn"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")
def test_a_child_does_not_wait_for_a_thread_of_its_parent(run_with_keras: RunWithKeras) -> None:
    program = (
        "meanwhile = pause\n"
        "importing = begin(importlib.import_module, 'keras')\n"
        "half.wait()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    signal.alarm(20)\n"
        "    fastload.install()\n"
        "    print(fastload.is_installed(), flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)"
    )

    assert run_with_keras(program) == "True"


@pytest.mark.parametrize(
    "called",
    ["for name in list(hooks): hooks[name](types.ModuleType(name))", "fastload.install()"],
    ids=["ours", "one-that-installs"],
)
def test_threads_do_not_wait_for_each_other_in_an_old_wrapt(
    called: str, run_with_keras: RunWithKeras
) -> None:
    """One registers hooks, the other calls a hook when a module was imported."""
    program = (
        f"{OLD_WRAPT}\n"
        "def called():\n"
        f"    {called}\n"
        "threads = [begin(notify), begin(fastload.install)]\n"
        "for thread in threads: thread.join(10)\n"
        "print(*(thread.is_alive() for thread in threads), fastload.is_installed())"
    )

    assert run_with_keras(program) == "False False True"
