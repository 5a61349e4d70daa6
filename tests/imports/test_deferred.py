"""How a deferred package behaves, on a small one that is imported in no time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"
#: `pack` imports all of its modules, and `friend`; `pack.first` is what comes early.
FILES = {
    "pack/__init__.py": (
        "import runs\nruns.add('pack')\nfrom pack import first, second\nimport pack.inner.deep\n"
        "import friend\ninner = 'its own'\nx = 1\n"
    ),
    "pack/first.py": "import runs\nruns.add('first')\n",
    "pack/second.py": "import runs\nruns.add('second')\ny = 2\n",
    "pack/third.py": "import runs\nruns.add('third')\n",
    "pack/inner/__init__.py": "import runs\nruns.add('inner')\n",
    "pack/inner/deep.py": "import runs\nruns.add('deep')\n",
    "friend.py": "import runs\nruns.add('friend')\nimport pack\nz = pack.second.y\n",
    "runs.py": (
        "import time\nmodules = []\nslowly = 0.0\nfails = None\n"
        "def add(name):\n    modules.append(name)\n    time.sleep(slowly)\n"
        "    if name == fails: raise ImportError('not today', name=name)\n"
    ),
}
#: Each program starts so: the package is there, and waits.
START = """
import sys, threading, types
import runs
from fastload.imports import deferred, lazy_module
class Part:
    ended = 0
    def begin(self): import pack.first
    def end(self): self.ended += 1
part = Part()
def defer(): return deferred.defer("pack", part, companions=("friend",))
def waits(): return type(sys.modules["pack"]) is lazy_module.LazyModule
def together(*programs):
    def run(text):
        barrier.wait()
        try: exec(text, globals())
        except BaseException as error: errors.append((text, repr(error)))
    errors, barrier = [], threading.Barrier(len(programs))
    threads = [threading.Thread(target=run, args=[text], daemon=True) for text in programs]
    [thread.start() for thread in threads]
    [thread.join(20) for thread in threads]
    return errors, [thread.is_alive() for thread in threads].count(True)
"""
DEFERRED = START + "assert defer() and waits() and runs.modules == ['first']\n"
WHOLE = "['first', 'pack', 'second', 'inner', 'deep', 'friend']"
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, run_python: Callable[..., str]) -> Run:
    """Run a program beside the small package, of which *files* are other than in `FILES`."""

    def run_beside(program: str, **files: str) -> str:
        for name, text in (FILES | {f"{k}.py": v for k, v in files.items()}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return run_python(program, PYTHONPATH=os.pathsep.join([str(SRC), str(tmp_path)]))

    return run_beside


@pytest.mark.parametrize(
    "touch",
    [
        "sys.modules['pack'].x",
        "import pack; pack.second",
        "from pack import x",
        "from pack import second",
        "from pack import *",
        "import pack.second",
        "import pack.inner",
        "import pack.inner.deep",
        "from pack.inner import deep",
        "import friend",
        "from importlib import import_module; import_module('pack.second')",
        "from importlib.util import find_spec; find_spec('pack.second')",
        "setattr(sys.modules['pack'], 'w', 1)",
    ],
)
def test_a_touch_runs_the_package_once_and_all_is_as_ever(run: Run, touch: str) -> None:
    """Nothing of it runs twice, and what the package binds to a name stays bound to it."""
    shown = """
import importlib, friend, pack, pack.first, pack.second
print(runs.modules, pack.x, pack.inner, pack.second.y, friend.z, pack.second.__spec__.loader)
print([type(each) for each in (pack, pack.second, friend)], pack.__spec__.loader_state)
for name in "pack", "pack.second", "pack.inner", "pack.inner.deep", "friend":
    module = sys.modules[name]
    print(module, type(module.__loader__), type(module.__spec__.loader), module.__spec__.name)
importlib.reload(pack.second); print(runs.modules[-1])
"""
    stock = run(START + "import pack.first, pack\nruns.modules.sort()" + touch_of(touch) + shown)
    found = run(DEFERRED + touch + "\nassert part.ended == 1" + shown)
    assert WHOLE in found
    assert found.splitlines()[1:] == stock.splitlines()[1:]


def touch_of(text: str) -> str:
    return f"\n{text}\n"


@pytest.mark.parametrize(
    "look",
    [
        "import pack",
        "import pack.first",
        "import json.tool, friendly",
        "repr(sys.modules['pack'])",
        "sys.modules['pack'].__spec__",
        "from importlib.util import find_spec; find_spec('pack')",
    ],
)
def test_a_look_does_not(run: Run, look: str) -> None:
    assert run(DEFERRED + look + "\nprint(waits(), part.ended)", friendly="") == "True 0"


def test_what_is_there_already_is_not_deferred(run: Run) -> None:
    program = START + "import pack; print(defer(), waits(), part.ended)"
    assert run(program) == "False False 0"


def test_what_is_not_installed_is_not_deferred(run: Run) -> None:
    assert run(START + "print(deferred.defer('absent', part))") == "False"


def test_reloading_runs_it_once_more_as_ever(run: Run) -> None:
    program = (
        "import importlib; importlib.reload(sys.modules['pack']); print(runs.modules, waits())"
    )
    assert run(DEFERRED + program) == f"{WHOLE[:-1]}, 'pack'] False"


#: Touches by several threads; each runs the package, or waits for it.
TOUCHES = [
    "import pack; assert pack.x == 1",
    "import pack.second; assert pack.second.y == 2",
    "from pack import second; assert second.y == 2",
    "import pack.third",
    "import pack.inner.deep",
    "import friend; assert friend.z == 2",
    "from importlib import import_module; import_module('pack.inner')",
]


def test_threads_that_touch_at_once_run_it_once_and_do_not_wait_for_each_other(run: Run) -> None:
    program = (
        DEFERRED + f"runs.slowly = 0.05\nprint(together(*{TOUCHES * 3}), sorted(runs.modules))"
    )
    names = sorted(["deep", "first", "friend", "inner", "pack", "second", "third"])
    assert run(program) == f"([], 0) {names}"


def test_threads_wait_while_another_one_imports_the_part(run: Run) -> None:
    """And no longer: what needs but the part, or nothing, does not run the package."""
    program = START + (
        "runs.slowly = 0.3\n"
        "part.begin = lambda: __import__('pack.first')\n"
        "print(together('defer()', 'import time; time.sleep(0.1); import pack.first',"
        " 'defer()', 'import time; time.sleep(0.1); import pack'), waits(), runs.modules)"
    )
    assert run(program) == "([], 0) True ['first']"


def test_threads_that_touch_while_another_one_imports_the_part(run: Run) -> None:
    late = ["import time; time.sleep(0.1); " + touch for touch in TOUCHES]
    program = START + f"runs.slowly = 0.3\nprint(together('defer()', *{late}), len(runs.modules))"
    assert run(program) == "([], 0) 7"


def test_an_error_comes_at_the_touch_and_the_next_one_tries_again(run: Run) -> None:
    """A second try of Python's own has the modules that did run; so it has here."""
    touches = """
for touch in 'import pack; pack.x', 'from pack import x', 'import pack.third', 'import friend':
    try: exec(touch)
    except ImportError as error: print(error, error.name, getattr(waits, '__name__', ''))
    else: print('no error')
runs.fails = None
import pack
print(pack.x, pack.second.y, type(pack) is types.ModuleType)
"""
    found = run(DEFERRED + "runs.fails = 'deep'" + touches + "print(part.ended)")
    assert found.splitlines() == ["not today deep waits"] * 4 + ["1 2 True", "1"]


def test_where_the_part_fails_the_package_is_imported_at_once(run: Run) -> None:
    program = (
        START + "part.begin = lambda: 1 / 0; print(defer(), waits(), runs.modules, part.ended)"
    )
    whole = "['pack', 'first', 'second', 'inner', 'deep', 'friend']"
    assert run(program) == f"False False {whole} 1"


def test_where_that_fails_too_the_error_is_the_one_of_the_import(run: Run) -> None:
    program = START + (
        "runs.fails = 'second'\npart.begin = lambda: 1 / 0\n"
        "try: defer()\n"
        "except ImportError as error: print(error, error.name, 'pack' in sys.modules, part.ended)\n"
        "runs.fails = None; import pack; print(pack.x, waits())"
    )
    assert run(program).splitlines() == ["not today second False 0", "1 False"]


def test_an_interrupted_start_leaves_nothing(run: Run) -> None:
    program = START + (
        "def begin(): raise KeyboardInterrupt\n"
        "part.begin = begin\n"
        "try: defer()\n"
        "except KeyboardInterrupt: print('pack' in sys.modules)\n"
        "import pack; print(pack.x, waits(), part.ended)"
    )
    assert run(program).splitlines() == ["False", "1 False 0"]


def test_who_seeded_random_sees_no_number_drawn_by_the_package(run: Run) -> None:
    program = DEFERRED + "import random; random.seed(5); {}; print(random.random())"
    drawing = FILES["pack/second.py"] + "import random; random.random()"
    found = [
        run(program.format(touch), **{"pack/second": drawing}) for touch in ("0", "import friend")
    ]
    assert found[0] == found[1]


def test_threads_that_draw_meanwhile_see_no_number_twice(run: Run) -> None:
    program = DEFERRED + (
        "import random\nrunning = threading.Event()\nrandom.seed(5); first = random.random()\n"
        "random.seed(5)\nthread = threading.Thread(target=running.wait); thread.start()\n"
        "import friend\nrunning.set(); print(random.random() == first)"
    )
    drawing = FILES["pack/second.py"] + "import random; random.random()"
    assert run(program, **{"pack/second": drawing}) == "False"
