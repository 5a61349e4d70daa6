"""`FASTLOAD=1` in real processes: what programs that nobody changes see of it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from fastload.hooks import bootstrap
from tests.hooks.conftest import START_FILE, RunOpted, plain_environment
from tests.small_models import FORMS, KERAS3_ARCHIVE, SAVED_MODEL, SavedModel, by_format

#: What `FASTLOAD=1` may import into a program that has nothing to do with models.
OWN_MODULES = {"fastload", "fastload.flags", "fastload.hooks", "fastload.hooks.bootstrap"}
MODULES = "import sys; print(*sys.modules)"
LOAD = """
import sys
{importing}
for _ in range(2):
    print(type(load(sys.argv[1])).__module__.partition(".")[0])
    import fastload
    report = fastload.last_load()
    print(report and report.outcome.value)
"""
IMPORTING = {
    "from": "from {package}.models import load_model as load",
    "module": "import {package}; load = lambda path: {package}.models.load_model(path)",
    "saving": "import {package}.saving; load = {package}.saving.load_model",
    "tensorflow first": "import tensorflow, {package}; load = {package}.models.load_model",
}
#: The ways of `IMPORTING` that `make test` tries.
USUALLY = {KERAS3_ARCHIVE: ("from", "saving"), SAVED_MODEL: ("module",)}


def test_a_program_without_models_has_the_hook_modules_only(run_opted: RunOpted) -> None:
    without = set(run_opted(MODULES, FASTLOAD="").split())

    assert set(run_opted(MODULES).split()) - without == OWN_MODULES


@pytest.mark.parametrize("value", ["", "0", "off"])
def test_a_program_that_is_not_opted_in_is_left_alone(value: str, run_opted: RunOpted) -> None:
    program = "import sys; print([type(finder).__name__ for finder in sys.meta_path])"

    assert "Watch" not in run_opted(program, FASTLOAD=value)
    assert "Watch" in run_opted(program)


def test_nothing_is_imported_for_a_variable_that_is_not_set(run_opted: RunOpted) -> None:
    assert "fastload" not in run_opted(MODULES, FASTLOAD="")


def test_the_start_file_is_one_line_that_python_runs() -> None:
    """Python takes other lines of a `.pth` file for folders."""
    lines = START_FILE.read_text().splitlines()

    assert len(lines) == 1
    assert lines[0].startswith("import ")


def test_looking_for_tensorflow_starts_nothing(run_opted: RunOpted) -> None:
    """Programs do so to see whether it is installed; what they find is as without fastload."""
    program = (
        "import copy, sys, importlib.util\n"
        "spec = importlib.util.find_spec('tensorflow')\n"
        "from importlib.machinery import SourceFileLoader\n"
        "print(isinstance(spec.loader, SourceFileLoader), spec.origin == spec.loader.path)\n"
        "plain = SourceFileLoader('tensorflow', spec.origin)\n"
        "print(plain == spec.loader == copy.copy(spec.loader), len({plain, spec.loader}))\n"
        "print(vars(plain) == vars(spec.loader), 'SourceFileLoader object' in repr(spec.loader))\n"
        "print('wrapt' in sys.modules, 'tensorflow' in sys.modules)"
    )

    assert run_opted(program) == "True True\nTrue 1\nTrue True\nFalse False"


_PACKAGES = {
    "warns": "import warnings\nwarnings.warn('old', DeprecationWarning, stacklevel=2)",
    "raises": "raise ValueError('no such backend')",
    "needs another": "import nowhere",
    "is no Python": "x = (",
}


@pytest.mark.parametrize("package", ["keras", "tensorflow"])
@pytest.mark.parametrize("content", _PACKAGES.values(), ids=_PACKAGES)
def test_an_import_tells_what_it_tells_without_fastload(
    content: str, package: str, tmp_path: Path, run_opted: RunOpted
) -> None:
    """A warning is blamed on the program, and shown; no frame of ours is in a traceback."""
    (tmp_path / f"{package}.py").write_text(content)
    program = (
        "import sys, traceback; sys.stderr = sys.stdout\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"try: import {package}\n"
        "except Exception: traceback.print_exc()"
    )
    plain = run_opted(program, FASTLOAD="")

    assert ("program.py:3: DeprecationWarning: old" in plain) == (content == _PACKAGES["warns"])
    assert run_opted(program) == plain


def test_finders_of_a_program_are_asked_once(tmp_path: Path, run_opted: RunOpted) -> None:
    """One that counts, or takes long, is not asked again for what was found."""
    (tmp_path / "tensorflow.py").touch()
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "asked = []\n"
        "class Finder:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path, target=None): asked.append(name)\n"
        "sys.meta_path.insert(1, Finder)\n"
        "import tensorflow\n"
        "print(asked.count('tensorflow'), 'wrapt' in sys.modules)"
    )

    assert run_opted(program, FASTLOAD="").split()[0] == "1"
    assert run_opted(program) == "1 True"


@pytest.mark.parametrize(
    ("model", "importing"),
    [
        by_format(form, importing, is_usual=importing in USUALLY.get(form, ()))
        for form in FORMS
        for importing in IMPORTING
    ],
    indirect=["model"],
)
def test_a_program_is_served(
    importing: str, model: SavedModel, cache_root: Path, run_opted: RunOpted
) -> None:
    program = LOAD.format(importing=IMPORTING[importing].format(package=model.form.package))
    saving = getattr(model.form.stock, "saving", None)
    if importing == "saving" and not hasattr(saving, "load_model"):
        pytest.skip("this Keras has no such name")

    package = model.form.package
    assert run_opted(program, model.path).split() == [package, "miss", package, "hit"]


def test_disable_wins(archive: Path, run_opted: RunOpted) -> None:
    program = LOAD.format(importing="from keras.models import load_model as load")

    assert run_opted(program, archive, FASTLOAD_DISABLE="1").split() == ["keras", "None"] * 2


def test_a_value_that_means_nothing_is_told_once_and_ignored(run_opted: RunOpted) -> None:
    program = (
        "import subprocess, sys\n"
        "child = [sys.executable, '-c', 'pass']\n"
        "print(subprocess.run(child, stderr=subprocess.PIPE, text=True, check=True).stderr)"
    )
    told = "fastload: FASTLOAD='maybe' is not understood: use 1 or 0. fastload is off."

    assert run_opted(program, FASTLOAD="maybe") == told


class Unwritable(io.StringIO):
    """Standard error on a full disk."""

    def write(self, _: str) -> int:
        raise OSError(28, os.strerror(28))


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, closed(), Unwritable()], ids=["none", "closed", "full"])
def test_a_program_without_standard_error_starts(
    stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under `pythonw` there is none; what would be told is lost, and that is all."""
    monkeypatch.setattr(bootstrap, "_complaints", [])
    monkeypatch.setattr("fastload.hooks.installation.install", lambda: 1 / 0)
    monkeypatch.setenv("FASTLOAD", "maybe")
    monkeypatch.setattr(sys, "stderr", stream)
    bootstrap.start()
    bootstrap.on_import(sys)

    assert bootstrap._complaints == [
        "fastload: FASTLOAD='maybe' is not understood: use 1 or 0. fastload is off.\n"
    ]


@pytest.mark.slow
def test_the_module_that_is_imported_has_its_own_loader(run_opted: RunOpted) -> None:
    """Nothing of ours stays on it."""
    program = (
        "import keras\n"
        "print(type(keras.__loader__).__name__, type(keras.__spec__.loader).__name__)\n"
        "print(keras.__loader__ is keras.__spec__.loader)"
    )

    assert run_opted(program) == "SourceFileLoader SourceFileLoader\nTrue"


@pytest.mark.slow
def test_a_loader_that_is_no_ordinary_object_is_stood_in_for(run_opted: RunOpted) -> None:
    program = (
        "import sys\n"
        "from importlib.machinery import PathFinder, ModuleSpec\n"
        "class Loader:\n"
        "    __slots__ = ('stock',)\n"
        "    def __init__(self, stock): self.stock = stock\n"
        "    def create_module(self, spec): return None\n"
        "    def exec_module(self, module):\n"
        "        module.__file__ = self.stock.path; self.stock.exec_module(module)\n"
        "class Finder:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path, target=None):\n"
        "        spec = PathFinder.find_spec(name, path, target)\n"
        "        if name == 'keras': spec.loader = Loader(spec.loader)\n"
        "        return spec\n"
        "sys.meta_path.insert(1, Finder)\n"
        "import keras, fastload\n"
        "print(fastload.is_installed(), type(keras.models.load_model).__name__)"
    )

    assert run_opted(program) == "True StandIn"


def test_hooks_that_cannot_be_installed_do_not_fail_an_import(
    tmp_path: Path, run_opted: RunOpted
) -> None:
    (tmp_path / "wrapt.py").write_text("raise ImportError('broken')")
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "sys.stderr = sys.stdout\n"
        "try: import keras\n"
        "except ImportError as error: print(error)"
    )

    assert "fastload: off: ImportError: broken" in run_opted(program)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "how"),
    [
        ("spawn", "environment"),
        ("fork", "environment"),
        ("forkserver", "environment"),
        ("spawn", "install"),
        pytest.param("fork", "install", marks=pytest.mark.full),
        pytest.param("forkserver", "install", marks=pytest.mark.full),
    ],
)
def test_worker_processes_are_served(
    method: str, how: str, archive: Path, run_opted: RunOpted
) -> None:
    program = (
        "import multiprocessing, sys\n"
        "def work(path):\n"
        "    from keras.models import load_model\n"
        "    load_model(path)\n"
        "    import fastload\n"
        "    return str(fastload.last_load())\n"
        "if __name__ == '__main__':\n"
        f"    {'import fastload; fastload.install()' if how == 'install' else 'pass'}\n"
        "    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:\n"
        "        print(pool.apply(work, sys.argv[2:]))"
    )
    environment = {"FASTLOAD": "" if how == "install" else "1"}

    assert f"{archive}: miss in" in run_opted(program, method, archive, **environment)


def test_a_process_that_a_program_starts_is_served(archive: Path, run_opted: RunOpted) -> None:
    inner = (
        "import sys, keras; keras.models.load_model(sys.argv[1]);"
        "import fastload; print(fastload.last_load())"
    )
    program = (
        "import subprocess, sys, fastload\n"
        "fastload.install()\n"
        f"print(subprocess.check_output([sys.executable, '-c', {inner!r}, sys.argv[1]], text=True))"
    )

    assert f"{archive}: miss in" in run_opted(program, archive, FASTLOAD="")


def test_forked_workers_share_the_hooks_of_their_parent(archive: Path, run_opted: RunOpted) -> None:
    """As gunicorn does with `--preload`: TensorFlow is imported before the fork."""
    program = (
        "import os, sys, keras\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    keras.models.load_model(sys.argv[1])\n"
        "    import fastload\n"
        "    print(fastload.last_load(), flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)"
    )

    assert f"{archive}: miss in" in run_opted(program, archive)


def test_each_load_is_a_line_in_the_log(archive: Path, run_opted: RunOpted) -> None:
    program = (
        "import sys; sys.stderr = sys.stdout\n"
        "import keras\n"
        "keras.models.load_model(sys.argv[1])\n"
        "try: keras.models.load_model('nowhere.keras')\n"
        "except (ValueError, OSError): pass\n"
    )
    lines = run_opted(program, archive, FASTLOAD_LOG="info").splitlines()
    ours = [line for line in lines if line.startswith("fastload: ")]

    assert ours[0].startswith(f"fastload: {archive}: miss in ")
    assert ours[1].startswith("fastload: nowhere.keras: bypass in ")
    assert ours[1].endswith(" [FL201]")
    assert len(ours) == 2


def test_another_backend_is_left_alone(run_opted: RunOpted, archive: Path) -> None:
    """And TensorFlow is not imported for it."""
    if metadata.version("keras").startswith("2."):
        pytest.skip("Keras 2 knows TensorFlow only")
    program = (
        "import sys, keras\n"
        "keras.models.load_model(sys.argv[1])\n"
        "import fastload\n"
        "print(fastload.last_load().reason, 'tensorflow' in sys.modules)"
    )
    try:
        told = run_opted(program, archive, KERAS_BACKEND="numpy")
    except AssertionError as error:
        if "No module named" in str(error):
            pytest.skip("Keras's numpy backend needs packages that are not here")
        raise

    assert told == "Keras runs on numpy False"


def test_a_fresh_python_without_the_start_file_is_left_alone(opted_python: Path) -> None:
    """`-S` reads no start files; that is Python's own rule."""
    done = subprocess.run(
        [opted_python, "-S", "-c", MODULES],
        env=plain_environment() | {"FASTLOAD": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "fastload" not in done.stdout
