"""Copies of a library's functions that see other neighbours than the library does."""

from __future__ import annotations

import functools
from types import ModuleType

import pytest

from fastload.errors import UnsupportedRuntimeError
from fastload.runtime.core.transplant import Overlay, require, transplant

LIBRARY = """
import os.path

LIMIT = 3

class Reader:
    def read(self):
        return source()

def source():
    return "stock"

def load(suffix="!", *, twice=False):
    return source() * (2 if twice else 1) + suffix

def load_all():
    return [load() for _ in range(LIMIT)]

def count(n):
    return n if n >= LIMIT else count(n + 1)

def make_counter():
    total = 0
    def counter():
        nonlocal total
        total += 1
        return total
    return counter

counter = make_counter()
"""

FILTERING = """
import functools

def filter_traceback(function):
    @functools.wraps(function)
    def error_handler(*args):
        return function(*args)
    return error_handler
"""


@pytest.fixture
def library() -> ModuleType:
    """A library whose functions call each other."""
    module = ModuleType("library")
    exec(LIBRARY, vars(module))
    return module


def test_a_copied_function_sees_the_new_neighbour(library: ModuleType) -> None:
    """Also through another function of the library."""
    names = transplant(library, {"source": lambda: "twin"})

    assert names["load"]() == "twin!"
    assert names["load_all"]() == ["twin!"] * 3


def test_the_library_itself_stays_as_it_was(library: ModuleType) -> None:
    """Other threads go on with the stock functions."""
    before = dict(vars(library))
    transplant(library, {"source": lambda: "twin", "LIMIT": 1})["load_all"]()

    assert vars(library) == before
    assert library.load_all() == ["stock!"] * 3


def test_constants_can_be_replaced(library: ModuleType) -> None:
    """A name is a name."""
    names = transplant(library, {"LIMIT": 5})

    assert names["count"](0) == 5
    assert library.count(0) == 3


def test_defaults_of_a_function_are_copied(library: ModuleType) -> None:
    """Those of keyword-only arguments too."""
    load = transplant(library, {})["load"]

    assert load() == "stock!"
    assert load("?", twice=True) == "stockstock?"
    assert (load.__name__, load.__module__) == ("load", library.load.__module__)


def test_a_default_that_is_replaced_is_the_new_one(library: ModuleType) -> None:
    """TensorFlow 2.8 hands its loader of objects on as a default."""
    source = "def run(reader=Reader, *, again=Reader):\n    return reader, again\n"
    exec(source, vars(library))

    copy = transplant(library, {"Reader": int})["run"]

    assert copy() == (int, int)
    assert library.run() == (library.Reader, library.Reader)


def test_closures_are_shared(library: ModuleType) -> None:
    """What a function remembers is the library's."""
    copied = transplant(library, {})["counter"]

    assert [library.counter(), copied(), library.counter()] == [1, 2, 3]


def test_classes_are_shared(library: ModuleType) -> None:
    """An instance is one of the stock class, with the stock neighbours."""
    reader = transplant(library, {"source": lambda: "twin"})["Reader"]

    assert reader is library.Reader
    assert reader().read() == "stock"


def test_functions_of_other_modules_are_left_alone(library: ModuleType) -> None:
    """Only the library's own functions can look names up in the library."""
    from posixpath import join

    vars(library)["join"] = join

    assert transplant(library, {})["join"] is join


def test_a_decorated_function_is_copied_without_its_decorator(library: ModuleType) -> None:
    """Keras wraps its loaders to shorten tracebacks, in another module."""

    tracebacks = ModuleType("keras.utils.traceback_utils")
    exec(FILTERING, vars(tracebacks))
    vars(library)["load"] = tracebacks.filter_traceback(library.load)
    names = transplant(library, {"source": lambda: "twin"})

    assert names["load"]() == "twin!"


def test_a_replaced_function_is_not_copied(library: ModuleType) -> None:
    """It is taken as it is given, with neighbours of its own."""

    def source() -> str:
        return "twin"

    assert transplant(library, {"source": source})["source"] is source


def test_a_missing_name_is_an_unsupported_runtime(library: ModuleType) -> None:
    """A new version that moved a function is told at once, by name."""
    message = "library has no 'moved': this version is not known to fastload"

    with pytest.raises(UnsupportedRuntimeError, match=message):
        transplant(library, {"source": None, "moved": None})


def test_require_names_the_class_of_an_instance() -> None:
    """An object has no name of its own."""
    with pytest.raises(UnsupportedRuntimeError, match=r"Overlay has no 'moved'"):
        require(Overlay(object(), {}), ["moved"])


def test_an_overlay_replaces_at_any_depth(library: ModuleType) -> None:
    """Dotted names lead to attributes of attributes; all else is as below."""
    outer = ModuleType("outer")
    outer.library = library  # type: ignore[attr-defined]
    seen = Overlay(outer, {"library.source": lambda: "twin", "library.LIMIT": 7, "extra": 1})

    assert (seen.library.source(), seen.library.LIMIT, seen.extra) == ("twin", 7, 1)
    assert seen.library.load is library.load
    assert seen.__class__.__name__ == "Overlay"
    assert library.LIMIT == 3


def test_an_overlay_follows_what_is_below(library: ModuleType) -> None:
    """It is a view, not a copy."""
    seen = Overlay(library, {"source": None})
    vars(library)["late"] = 1

    assert seen.late == 1
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = seen.nothing


def test_a_wrapper_of_somebody_else_stays(library: ModuleType) -> None:
    """Whoever put it there means it to be called; Keras's own wrappers change nothing."""
    calls = []

    @functools.wraps(library.source)
    def spy() -> str:
        calls.append("source")
        return "spied"

    library.source = spy
    names = transplant(library, {"LIMIT": 5})

    assert names["load"]() == "spied!"
    assert calls == ["source"]
