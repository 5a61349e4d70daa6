"""How a deferred module behaves, on a stand-in for TensorFlow that is imported in no time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"
NAME = "tensorflow._api.v2.lite"
#: Each program starts so: what is deferred is bound, and has not run.
START = f"""
import pickle, sys, threading, types
from fastload.imports import lazy_module, light_import
light_import.add()
import tensorflow as tf
lite = sys.modules[{NAME!r}]
assert tf.lite is lite
def is_untouched():
    return type(lite) is lazy_module.LazyModule
"""
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, run_python: Callable[..., str]) -> Run:
    """Run a program beside a small package `tensorflow`, whose `lite` has *body*."""

    def run_beside(program: str, body: str = "x = 1", version: str = "2.21.0") -> str:
        files = {
            "tensorflow/__init__.py": "import tensorflow.python.framework.versions\n"
            "from tensorflow._api.v2 import lite",
            "tensorflow/python/framework/versions.py": f"__version__ = {version!r}",
            "tensorflow/_api/v2/lite/__init__.py": body,
            "tensorflow/_api/v2/lite/part.py": "y = 2",
        }
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return run_python(program, PYTHONPATH=os.pathsep.join([str(SRC), str(tmp_path)]))

    return run_beside


def test_a_deferred_module_runs_at_its_first_touch_and_is_plain_then(run: Run) -> None:
    program = START + "assert is_untouched(); print(lite.x, type(lite) is types.ModuleType)"
    assert run(program) == "1 True"


@pytest.mark.parametrize(
    "look",
    [
        "lite.__name__, lite.__spec__, lite.__file__, lite.__loader__, lite.__package__",
        "isinstance(lite, types.ModuleType), isinstance(lite, int), lite.__class__",
        "repr(lite)",
        "getattr(lite, '__warningregistry__', None)",
        "[getattr(m, '__file__', None) for m in sys.modules.values()]",
        "__import__('inspect').getmodule(is_untouched)",
        f"__import__({NAME!r})",
        f"__import__('importlib').import_module({NAME!r})",
    ],
)
def test_looking_is_not_touching(run: Run, look: str) -> None:
    assert run(START + f"{look}\nprint(is_untouched())") == "True"


@pytest.mark.parametrize(
    "touch",
    [
        "lite.x",
        "dir(lite)",
        "vars(lite)",
        "lite.__doc__",
        "lite.__path__",
        "hasattr(lite, 'absent')",
        "lite.z = 3",
        "del lite.x",
        f"import {NAME}.part",
        f"from {NAME} import x",
        f"from {NAME} import part",
        f"from {NAME} import *",
        f"__import__('importlib').reload(sys.modules[{NAME!r}])",
    ],
)
def test_everything_else_is(run: Run, touch: str) -> None:
    assert run(START + f"{touch}\nprint(is_untouched())") == "False"


def test_what_looking_gives_is_what_the_stock_import_gives(run: Run) -> None:
    looks = """
spec = lite.__spec__
print(repr(lite), lite.__class__, lite.__name__, lite.__file__, lite.__cached__, lite.__package__)
print(type(lite.__loader__), type(spec.loader), spec.origin, spec.submodule_search_locations)
print(type(tf.__loader__), type(tf.__spec__.loader), tf.__spec__.loader is tf.__loader__)
"""
    stock = START.replace("light_import.add()", "")
    assert run(START + "assert is_untouched()" + looks) == run(stock + looks)


def test_setting_and_deleting_come_after_running(run: Run) -> None:
    program = START + "lite.x = 5; print(lite.x); del lite.x; print(hasattr(lite, 'x'))"
    assert run(program).split() == ["5", "False"]


def test_mock_patches_a_deferred_module_and_restores_it(run: Run) -> None:
    program = START + (
        f"from unittest import mock\nwith mock.patch('{NAME}.x', 7): print(lite.x)\nprint(lite.x)"
    )
    assert run(program).split() == ["7", "1"]


def test_assert_warns_works_beside_deferred_modules(run: Run) -> None:
    program = START + (
        "import unittest, warnings\n"
        "with unittest.TestCase().assertWarns(UserWarning): warnings.warn('w')\n"
        "print(is_untouched())"
    )
    assert run(program) == "True"


def test_many_threads_touch_first_and_the_module_runs_once(run: Run) -> None:
    body = "import builtins, time\nbuiltins.runs = getattr(builtins, 'runs', 0) + 1\n"
    body += "time.sleep(0.2)\nx = 1"
    program = START + (
        "import builtins\n"
        "seen = []\n"
        "threads = [threading.Thread(target=lambda: seen.append(lite.x)) for _ in range(16)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "print(builtins.runs, seen == [1] * 16, type(lite) is types.ModuleType)"
    )
    assert run(program, body=body) == "1 True True"


def test_two_threads_that_need_each_others_module_do_not_wait_for_ever(run: Run) -> None:
    """One touches `lite`, which imports `other`; one imports `other`, which touches `lite`."""
    body = "import time\nx = 1\ntime.sleep(0.3)\nimport tensorflow.other"
    other = f"import sys, time\ntime.sleep(0.3)\nz = sys.modules[{NAME!r}].x"
    program = START + (
        "import importlib, pathlib\n"
        f"pathlib.Path(tf.__file__).with_name('other.py').write_text({other!r})\n"
        "importlib.invalidate_caches()\n"
        "threads = [threading.Thread(target=lambda: lite.x, daemon=True), threading.Thread(\n"
        "    target=importlib.import_module, args=['tensorflow.other'], daemon=True)]\n"
        "[t.start() for t in threads]; [t.join(20) for t in threads]\n"
        "print([t.is_alive() for t in threads], lite.x, tf.other.z)"
    )
    assert run(program, body=body) == "[False, False] 1 1"


def test_a_module_that_imports_itself_sees_itself_as_far_as_it_ran(run: Run) -> None:
    body = f"x = 1\nimport sys\nseen = sys.modules[{NAME!r}].x\nfrom {NAME} import part"
    assert run(START + "print(lite.seen, lite.part.y)", body=body) == "1 2"


def test_a_class_that_a_module_gives_itself_stays(run: Run) -> None:
    body = "import sys, types\nclass Own(types.ModuleType): pass\n"
    body += "sys.modules[__name__].__class__ = Own\nx = 1"
    assert run(START + "print(lite.x, type(lite).__name__)", body=body) == "1 Own"


def test_a_module_level_getattr_is_asked(run: Run) -> None:
    body = "def __getattr__(name):\n    return name.upper()"
    assert run(START + "print(lite.abc, lite.abc)", body=body) == "ABC ABC"


def test_an_error_is_the_one_of_the_module_and_the_next_touch_tries_again(run: Run) -> None:
    body = (
        "import builtins\nhalf = 1\nbuiltins.runs = getattr(builtins, 'runs', 0) + 1\n"
        "if builtins.runs < 3: raise ImportError('not today', name='elsewhere')\nx = 1"
    )
    program = START + (
        "for _ in range(2):\n"
        "    try: lite.x\n"
        "    except ImportError as error: print(error, error.name, is_untouched())\n"
        "print(lite.x, lite.half, type(lite) is types.ModuleType)"
    )
    expected = ["not today elsewhere True"] * 2 + ["1 1 True"]
    assert run(program, body=body).splitlines() == expected


def test_picklers_that_know_modules_by_type_get_a_reference(run: Run) -> None:
    program = START + "print(pickle.loads(pickle.dumps(lite)) is lite, lite.x)"
    assert run(program) == "True 1"


def test_another_version_of_tensorflow_is_imported_as_ever(run: Run) -> None:
    assert run(START + "print(is_untouched())", version="2.22.0") == "False"
    assert run(START + "print(is_untouched())", version="what?") == "False"


def test_what_cannot_be_loaded_in_its_stead_undoes_the_deferral(run: Run) -> None:
    start = START.replace(
        "light_import.add()",
        f"light_import.DEFERRED['2.21'] = {{{NAME!r}: ('not.there',)}}; light_import.add()",
    )
    assert run(start + "print(is_untouched(), lite.x)") == "False 1"


def test_what_other_threads_import_meanwhile_is_not_deferred(run: Run) -> None:
    program = """
import sys
from fastload.imports import light_import
light_import.DEFERRED["2.21"] = {"json.tool": ()}
light_import.add()
import tensorflow
print(type(sys.modules["json.tool"]).__name__)
"""
    in_thread = (
        "import importlib, threading\n"
        "t = threading.Thread(target=importlib.import_module, args=['json.tool'])\n"
        "t.start(); t.join()"
    )
    assert run(program, body=in_thread) == "module"
    assert run(program, body="import json.tool") == "LazyModule"


def test_adding_twice_adds_once_and_the_finder_stays_where_it_is(run: Run) -> None:
    """A thread that walks the list would skip a finder behind one that is taken out."""
    program = """
import sys
from fastload.imports import light_import
before = list(sys.meta_path)
light_import.add(); light_import.add()
finder, *others = added = list(sys.meta_path)
print(others == before, finder.find_spec("tensorflow") is not None, finder.find_spec("json"))
light_import.remove(); light_import.remove()
print(sys.meta_path == added, finder.find_spec("tensorflow"))
light_import.add()
import tensorflow
light_import.add()
names = "tensorflow", "keras", "matplotlib.pyplot", "tensorflow._api.v2.lite"
print(sys.meta_path == added, [name for name in names if finder.find_spec(name)])
"""
    assert run(program).splitlines() == ["True True None", "True None", "True []"]


def test_removing_before_the_import_leaves_it_as_it_is_and_adding_arms_again(run: Run) -> None:
    removed = START.replace("import tensorflow", "light_import.remove()\nimport tensorflow")
    again = removed.replace(".remove()", ".remove(); light_import.add()")
    assert run(removed + "print(is_untouched())") == "False"
    assert run(again + "print(is_untouched())") == "True"


def test_adding_while_tensorflow_is_about_to_run(run: Run) -> None:
    """As the start file does: the module is in `sys.modules`, and the spec is asked for again."""
    program = """
import os, sys
os.environ.update(FASTLOAD="1")
from fastload.hooks import bootstrap
from fastload.imports import lazy_module
bootstrap.start()
import tensorflow
print(type(sys.modules["tensorflow._api.v2.lite"]) is lazy_module.LazyModule)
print(type(tensorflow.__loader__).__name__, tensorflow.__spec__.loader is tensorflow.__loader__)
"""
    assert run(program).splitlines() == ["True", "SourceFileLoader True"]


def test_an_import_that_fails_can_be_tried_again(run: Run) -> None:
    program = """
import builtins, gc, sys
from fastload.imports import lazy_module, light_import
light_import.DEFERRED["2.21"] = {"json.tool": ()}
light_import.add()
try: import tensorflow
except KeyError as error: print(error)
print(gc.isenabled(), "tensorflow" in sys.modules)
builtins.okay = True
import tensorflow
print(type(sys.modules["json.tool"]) is lazy_module.LazyModule, tensorflow.lite.x)
"""
    fails_once = (
        "import builtins\n"
        "if not hasattr(builtins, 'okay'): raise KeyError('first')\n"
        "x = 1\nimport json.tool"
    )
    assert run(program, body=fails_once).splitlines() == ["'first'", "True False", "True 1"]


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_collector_is_left_as_it_was(run: Run, is_enabled: bool) -> None:
    program = f"import gc\n(gc.enable if {is_enabled} else gc.disable)()\n" + START
    program = "import gc\nbefore = gc.get_freeze_count()\n" + program
    program += "print(gc.isenabled(), gc.get_freeze_count() <= before)"
    assert run(program) == f"{is_enabled} True"


def test_what_was_frozen_stays_frozen(run: Run) -> None:
    program = "import gc\nkept = [[]]\ngc.freeze()\ncount = gc.get_freeze_count()\n" + START
    program += "print(gc.get_freeze_count() > count // 2, gc.isenabled())"
    assert run(program) == "True True"


def test_no_collection_runs_during_the_import(run: Run) -> None:
    body = "kept = [[] for _ in range(100_000)]\nimport gc\nruns = len(starts)"
    program = (
        "import builtins, gc\nbuiltins.starts = []\n"
        "gc.callbacks.append(lambda phase, info: starts.append(phase))\n"
        "from fastload.imports import light_import\nlight_import.add()\n"
        "light_import.DEFERRED['2.21'].clear()\nstarts.clear()\nimport tensorflow\n"
        "print(tensorflow.lite.runs)"
    )
    assert run(program, body=body) == "0"


def test_the_hook_imports_what_a_bare_interpreter_has(run: Run) -> None:
    """The package above it is not this module's to weigh."""
    program = """
import fastload, sys
before = set(sys.modules)
from fastload.imports import light_import
print(sorted(set(sys.modules) - before))
"""
    names = ["collector", "frames", "lazy_module", "light_import"]
    expected = ["fastload.imports", *(f"fastload.imports.{name}" for name in names)]
    expected.append("fastload.unfinished")
    assert run(program) == str(expected)
