"""Programs that put functions of their own in the place of loaders, or stand-ins where others are.

What they do to a model is done once, as in stock, whether they came before the hooks or after.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import fastload
from tests.conftest import RunPython
from tests.hooks.conftest import RunOpted
from tests.needs import NEEDS_ARCHIVES

#: Wraps a loader where it is defined, and where programs find it; each use halves the weights.
HALVING = """
import functools, importlib, sys
import keras

def halve(module, name):
    stock = getattr(module, name)

    @functools.wraps(stock)
    def halving(*args, **kwargs):
        found = stock(*args, **kwargs)
        model = args[0] if found is None else found
        model.set_weights([weight / 2 for weight in model.get_weights()])
        return found

    setattr(module, name, halving)
    return halving

def sums(model):
    return [float(abs(weight).sum()) for weight in model.get_weights()]
"""
INSTALLED = "import fastload; fastload.install()\n"
WRAPPED = """
api = importlib.import_module(keras.models.load_model.__module__)
keras.models.load_model = halve(api, "load_model")
has_function = hasattr(api, "load_weights")  # before Keras 2.12, there is but the method
if has_function:
    halve(api, "load_weights")
"""
LOADED = """
model = keras.models.load_model(sys.argv[1])
print(sums(model))
if has_function:
    model.load_weights(sys.argv[1])
    print(sums(model))
"""


@pytest.mark.slow
def test_what_a_wrapper_does_is_done_once(archive: Path, run_python: RunPython) -> None:
    expected = run_python(HALVING + WRAPPED + LOADED, archive)

    for program in (HALVING + WRAPPED + INSTALLED + LOADED, INSTALLED + HALVING + WRAPPED + LOADED):
        assert [run_python(program, archive) for _ in range(2)] == [expected] * 2


def test_a_wrapper_that_is_put_in_place_at_the_import_is_called(
    archive: Path, run_opted: RunOpted
) -> None:
    """As agents do that trace programs."""
    package = importlib.import_module("keras").models.load_model.__module__
    program = f"""
import sys, wrapt
called = []

def note(wrapped, instance, args, kwargs):
    called.append(wrapped.__name__)
    return wrapped(*args, **kwargs)

@wrapt.when_imported({package!r})
def _(module):
    wrapt.wrap_function_wrapper(module, "load_model", note)

import keras
keras.models.load_model(sys.argv[1])
print(called)
"""
    assert run_opted(program, archive).strip() == "['load_model']"


def test_a_loader_of_the_programs_own_is_called(archive: Path, run_python: RunPython) -> None:
    program = """
import importlib, sys
import keras, fastload
api = importlib.import_module(keras.models.load_model.__module__)
stock = api.load_model

def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    return "mine", type(stock(filepath)).__name__

keras.models.load_model = api.load_model = load_model
fastload.install()
print(keras.models.load_model(sys.argv[1]))
"""
    assert run_python(program, archive) == "('mine', 'Functional')"


@pytest.fixture
def loader(hooks: None) -> Any:
    return importlib.import_module("keras").models.load_model


def test_a_stand_in_is_copied_and_pickled_wherever_it_is(loader: Any) -> None:
    @dataclasses.dataclass
    class Zoo:
        load: Any = loader

    assert Zoo.load is loader
    for held in (Zoo.load, Zoo().load):
        assert pickle.loads(pickle.dumps(held)) is loader
        assert copy.deepcopy(held) is loader
    assert dataclasses.asdict(Zoo()) == {"load": loader}


def test_a_stand_in_tells_what_its_function_does(loader: Any) -> None:
    stock = loader.__wrapped__

    assert repr(loader) == repr(stock)
    assert typing.get_type_hints(loader) == typing.get_type_hints(stock)


def test_a_stand_in_becomes_a_method_where_its_function_would(loader: Any, archive: Path) -> None:
    class OfPath(str):
        load = loader
        __slots__ = ()

    assert type(OfPath(archive).load()).__name__ == "Functional"
    assert type(loader.__get__(str(archive))()).__name__ == "Functional"


def test_methods_are_pickled(hooks: None) -> None:
    """Before Keras 2.12, `load_weights` is one that has a stand-in."""
    keras = importlib.import_module("keras")
    method = keras.Model.load_weights

    assert pickle.loads(pickle.dumps(method)) is method
    assert keras.Sequential.load_weights is method
    with pytest.raises(Exception) as raised:  # noqa: PT011 - it differs by version
        method(5, "weights.h5")
    assert "fastload" not in str(raised.value)
    assert "__self__" not in str(raised.value)


def test_errors_of_misuse_follow_from_no_other(loader: Any) -> None:
    with pytest.raises(TypeError) as raised:
        loader()

    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    "arguments", [{"custom_objects": [("A", dict)]}, {"safe_mode": "yes"}], ids=str
)
def test_arguments_of_an_unusual_kind_are_stocks(
    arguments: dict[str, Any], loader: Any, archive: Path
) -> None:
    if arguments.keys() - inspect.signature(loader).parameters:
        pytest.skip("this Keras has no such argument")

    def outcome(load: Any) -> Any:
        try:
            return type(load(str(archive), **arguments))
        except Exception as error:  # whatever stock raises
            return type(error), str(error)

    assert outcome(loader) == outcome(loader.__wrapped__)
    report = fastload.last_load()
    assert report is not None
    assert report.outcome.value == "bypass"


@NEEDS_ARCHIVES
@pytest.mark.parametrize("hooked", [True, False], ids=["stock's own", "fastload's"])
@pytest.mark.parametrize("safe_mode", ["yes", 1], ids=repr)
def test_what_stands_for_true_keeps_bytecode_out(
    safe_mode: Any, hooked: bool, loader: Any, tmp_path: Path
) -> None:
    """Stock takes it for true, and refuses."""
    if "safe_mode" not in inspect.signature(loader).parameters:
        pytest.skip("this Keras has no such argument")
    keras = importlib.import_module("keras")
    path = tmp_path / "m.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)]).save(path)

    for load in (loader.__wrapped__, loader if hooked else fastload.load_model):
        with pytest.raises(Exception, match=r"(?i)lambda"):
            load(str(path), safe_mode=safe_mode)


def test_a_fault_of_the_programs_own_is_not_remembered(
    loader: Any, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stock fails as well: it says nothing of the model."""
    loader(str(archive))
    module: ModuleType = pytest.importorskip("keras.src.saving.saving_lib")

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("mocked")

    with monkeypatch.context() as patch:
        patch.setattr(module, "deserialize_keras_object", fail)
        with pytest.raises(RuntimeError, match="mocked"):
            loader(str(archive))
    loader(str(archive))

    report = fastload.last_load()
    assert report is not None
    assert report.outcome.value == "hit"
