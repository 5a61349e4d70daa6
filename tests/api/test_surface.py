"""What the package promises to the program that imports it."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import fastload
from tests.conftest import SRC, RunPython, SavedOnce
from tests.installed import is_before
from tests.small_models import FORMS, KERAS3_ARCHIVE, SAVED_MODEL, Form

BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[2].split(","):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
import importlib.util
stock = importlib.util.find_spec
blocked = sys.argv[2].split(",")
importlib.util.find_spec = lambda name, *a: None if name in blocked else stock(name, *a)
import fastload
try:
    fastload.load_model(sys.argv[1], keras=sys.argv[3])
except ImportError as error:
    print(type(error).__name__, error)
"""


def test_the_import_is_light(run_python: RunPython) -> None:
    """Neither TensorFlow nor Keras, h5py, numpy; nor what only some loads need."""
    heavy = {"tensorflow", "keras", "tf_keras", "h5py", "numpy", "filelock", "click", "rich"}
    loaded = run_python("import fastload, sys; print(*sys.modules)").split()

    assert heavy & set(loaded) == set()
    assert "fastload" in loaded


#: How many modules of fastload's a hit may import, packages' docstrings aside.
MOST_MODULES = {"load_model": 60, "load_predictor": 51, "load_saved_model": 46}


@pytest.fixture
def hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a model that was saved just now hashed by the first load only."""
    monkeypatch.setattr("fastload.source.fingerprint.WRITE_BACK_NS", 0)


@pytest.mark.slow
@pytest.mark.usefixtures("cache_root", "hashed_once")
@pytest.mark.parametrize("form", [SAVED_MODEL, KERAS3_ARCHIVE], ids=lambda form: form.id)
@pytest.mark.parametrize("function", MOST_MODULES)
def test_a_hit_imports_few_modules(
    run_python: RunPython, saved_once: SavedOnce, form: Form, function: str
) -> None:
    """Each costs a predictor's process part of a millisecond."""
    pytest.importorskip("tensorflow")
    if (form, function) == (KERAS3_ARCHIVE, "load_saved_model"):
        pytest.skip("no SavedModel")
    program = """
import sys, fastload
function, path, package = sys.argv[1:]
named = {} if function == "load_saved_model" else {"keras": package}
getattr(fastload, function)(path, strict=True, **named)
found = [name for name in sys.modules if name.startswith("fastload.")]
print(fastload.last_load().outcome.value)
print(len([name for name in found if not hasattr(sys.modules[name], "__path__")]), *found)
"""
    path, keras = saved_once(form), form.package
    named = {} if function == "load_saved_model" else {"keras": keras}
    getattr(fastload, function)(path, strict=True, **named)
    run_python(program, function, path, keras)  # compares with the code that is installed, once

    outcome, count, *_ = run_python(program, function, path, keras).split()

    assert outcome == "hit"
    assert int(count) <= MOST_MODULES[function]


def test_weights_that_are_mapped_bring_nothing_of_lending(
    run_python: RunPython, saved_once: SavedOnce, cache_root: Path
) -> None:
    """Whatever is loaded, whether the twin was there or not."""
    pytest.importorskip("tensorflow")
    program = """
import sys, fastload
archive, folder = sys.argv[1:]
for _ in range(2):
    for load, path, keras in [
        (fastload.load_model, archive, {"keras": "keras"}),
        (fastload.load_model, folder, {"keras": "tf_keras"}),
        (fastload.load_predictor, archive, {"keras": "keras"}),
        (fastload.load_predictor, folder, {}),
        (fastload.load_saved_model, folder, {}),
    ]:
        load(path, weights="mapped", strict=True, **keras)
        print(fastload.last_load().outcome.value)
ours = sorted(name for name in sys.modules if name.startswith("fastload."))
print([name for name in ours if "lazy_weights" in name])
"""
    archive, folder = saved_once(KERAS3_ARCHIVE), saved_once(SAVED_MODEL)

    *outcomes, imported = run_python(program, archive, folder).splitlines()

    assert outcomes[-5:] == ["hit"] * 5
    assert imported == "[]"


#: What `%load_ext fastload` and `%unload_ext fastload` call; not for anybody else.
IPYTHON_CALLS = {"load_ipython_extension", "unload_ipython_extension"}
#: For those who have it in an archive: it imports Keras, as `from fastload import *` must not.
LAYERS = {"SavedFunctionLayer"}


def test_the_public_names_are_sorted_and_there() -> None:
    """Each is imported when it is asked for, and belongs to one module."""
    for name in fastload.__all__:
        assert getattr(fastload, name) is getattr(
            import_module(f"fastload.{fastload._HOME[name]}"), name
        )
    assert fastload.__all__ == sorted(fastload.__all__, key=str)
    assert set(fastload._HOME) - set(fastload.__all__) == IPYTHON_CALLS | LAYERS
    assert set(fastload.__all__) <= set(fastload._HOME)
    assert set(fastload.__all__) <= set(dir(fastload))


def test_an_unknown_name_is_an_attribute_error() -> None:
    """With the message of Python."""
    with pytest.raises(AttributeError, match="module 'fastload' has no attribute 'load'"):
        _ = fastload.load  # type: ignore[attr-defined]


@pytest.mark.parametrize("generation", [2, 3])
def test_the_signature_starts_with_that_of_stock(generation: int) -> None:
    """Parameters, order and defaults; ours come after, by keyword only."""
    pytest.importorskip("tensorflow")
    if is_before("2.12"):
        pytest.skip("this Keras takes other arguments")
    form = next(form for form in FORMS if form.generation == generation)
    ours = list(inspect.signature(fastload.load_model).parameters.values())
    theirs = [
        parameter
        for parameter in inspect.signature(form.stock.models.load_model).parameters.values()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]

    assert [(p.name, p.default) for p in theirs] == [
        (p.name, p.default) for p in ours[: len(theirs)]
    ]
    assert {p.kind for p in ours[len(theirs) :]} == {
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    }


@pytest.mark.parametrize(
    ("missing", "keras", "extra"),
    [
        ("tensorflow", "auto", "tf-fastload[tensorflow]"),
        ("tf_keras", "tf_keras", "tf-fastload[legacy]"),
    ],
)
def test_a_missing_package_names_the_extra(
    missing: str, keras: str, extra: str, run_python: RunPython, tmp_path: Path
) -> None:
    """Whether there is a model or not."""
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    printed = run_python(BLOCKED, tmp_path / "m.h5", missing, keras)

    assert printed.startswith("MissingTensorFlowError [FL301] loading a model needs " + missing)
    assert f"python -m pip install '{extra}'" in printed


#: Modules that import TensorFlow, or the engine that they are for.
NEEDS = re.compile(r"fastload\.runtime\.|fastload\.fleet\.(beam|dask)$")


def modules_without_tensorflow() -> list[str]:
    names = (path.relative_to(SRC) for path in sorted((SRC / "fastload").rglob("*.py")))
    dotted = (".".join(name.with_suffix("").parts).removesuffix(".__init__") for name in names)
    return [each for each in dotted if not each.endswith("__main__") and not NEEDS.match(each)]


@pytest.mark.parametrize("name", modules_without_tensorflow())
def test_the_examples_in_docstrings_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each module's, with a cache of its own."""
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("fastload.report._last", None)
    before = dict(fastload.custom_objects)
    try:
        results = doctest.testmod(import_module(name), raise_on_error=False)
    finally:
        fastload.custom_objects.clear()
        fastload.custom_objects.update(before)

    assert results.failed == 0


def test_the_package_is_run_as_a_module_only_by_its_own_command() -> None:
    """Importing it never parses a command line."""
    done = subprocess.run(
        [sys.executable, "-c", "import fastload", "--not-an-option"],
        env={"PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
