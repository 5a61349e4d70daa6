"""Loads a model where a private name is missing: `python -m tests.runtime.missing_names ...`.

The process has TensorFlow and Keras imported, and nothing in them started, so that a child for each
name can load and predict. A name is taken away for real where stock does without it; where stock
uses it, fastload's look at it fails as if it had moved.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

import fastload
from fastload.errors import UnsupportedRuntimeError
from fastload.runtime import importing, internals
from fastload.runtime.core.transplant import Overlay

INPUTS: Final = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)
_MISSING: Final = object()
#: Without them stock fails in the middle of a device scope, and in every load after that.
_HALFWAY: Final = frozenset({"_STRING_TO_COMPONENTS_CACHE", "_COMPONENTS_TO_STRING_CACHE"})


@contextmanager
def taken_away(row: internals.Row, works: Callable[[], None]) -> Iterator[None]:
    """Take the name of *row* away: from its module, or from fastload's eyes where *works* fails."""
    holder, name = _holder(row)
    had = vars(holder).get(name, _MISSING) if holder is not None else _MISSING
    if had is not _MISSING and name not in _HALFWAY:
        delattr(holder, name)
        try:
            is_inherited = hasattr(holder, name)
            if not is_inherited and _does(works):
                yield
                return
        finally:
            setattr(holder, name, had)
    with _hidden(row):
        yield


def _does(works: Callable[[], object]) -> bool:
    try:
        works()
    except Exception:
        return False
    return True


def _holder(row: internals.Row) -> tuple[Any, str]:
    """Return the module or class that has the name, and the last part of the name."""
    if importing.INSTANCE in row.name.path or not row.name.path:
        return None, ""
    module = internals._module_of(row)
    path, _, name = row.name.path.rpartition(".")
    found = importing.look_up(module, path) if path else module
    return (found if importing.exists(found) else None), name


@contextmanager
def _hidden(row: internals.Row) -> Iterator[None]:
    """Have every look at the name of *row* find nothing; a module cannot be imported."""
    stock_look_up, stock_importlib = importing.look_up, importing.importlib
    module = internals._module_of(row)
    places = {*row.part.places("keras"), *row.part.places("tf_keras")}

    def look_up(at: Any, path: str) -> Any:
        is_it = at is module and path == row.name.path
        return stock_look_up(at, "no.such.name" if is_it else path)

    def import_module(name: str) -> Any:
        if not row.name.path and name in places:
            raise ModuleNotFoundError(name, name=name)
        return stock_importlib.import_module(name)

    importing.look_up = internals.look_up = look_up
    importing.importlib = Overlay(stock_importlib, {"import_module": import_module})
    try:
        yield
    finally:
        importing.look_up = internals.look_up = stock_look_up
        importing.importlib = stock_importlib


class Way(NamedTuple):
    """A way to load a model and predict; both functions take a Keras and a path.

    Attributes:
        name: of the function.
        stock: returns what stock makes of it.
        ours: returns what fastload does.
        most: by how much results may differ: a predictor of a file runs the model's call, and
            `predict` a graph around it, in which tf-keras fuses other operations.
    """

    name: str
    stock: Callable[[Any, Path], Any]
    ours: Callable[[Any, Path], Any]
    most: float = 0.0


def _stock_model(keras: Any, path: Path) -> list[Any]:
    return _of_model(keras.models.load_model(path))


def _our_model(keras: Any, path: Path) -> list[Any]:
    return _of_model(fastload.load_model(path, keras=keras.__name__))


def _of_model(model: Any) -> list[Any]:
    return [*model.get_weights(), model.predict(INPUTS, verbose=0)]


def _stock_objects(_: Any, path: Path) -> Any:
    return _signature(_tensorflow().saved_model.load(path))


def _our_objects(_: Any, path: Path) -> Any:
    return _signature(fastload.load_saved_model(path))


def _signature(loaded: Any) -> Any:
    served = loaded.signatures["serving_default"]
    (name,) = served.structured_input_signature[1]
    return _only(served(**{name: _tensorflow().constant(INPUTS)}))


def _stock_prediction(keras: Any, path: Path) -> Any:
    return keras.models.load_model(path).predict(INPUTS, verbose=0)


def _our_prediction(keras: Any, path: Path) -> Any:
    return _only(fastload.load_predictor(path, keras=keras.__name__)(INPUTS))


def _only(outputs: Any) -> Any:
    (value,) = outputs.values() if isinstance(outputs, dict) else (outputs,)
    return np.asarray(value)


def _tensorflow() -> Any:
    return importlib.import_module("tensorflow")


_OF_FILES: Final = (
    Way("load_model", _stock_model, _our_model),
    Way("load_predictor", _stock_prediction, _our_prediction, most=1e-6),
)
_OF_SAVED_MODELS: Final = (
    Way("load_model", _stock_model, _our_model),
    Way("load_saved_model", _stock_objects, _our_objects),
    Way("load_predictor", _stock_objects, _our_prediction),
)


def look(row: internals.Row, keras: Any, folder: Path) -> list[str]:
    """Load everything in *folder* without the name of *row*; return what is wrong, if anything."""
    return [
        f"{way.name} {path.name}: {wrong}"
        for path in sorted(folder.glob(f"{keras.__name__}-model*"))
        for way in (_OF_FILES if path.suffix else _OF_SAVED_MODELS)
        for wrong in _compare(row, way, keras, path)
    ]


def _compare(row: internals.Row, way: Way, keras: Any, path: Path) -> Iterator[str]:
    with taken_away(row, lambda: way.stock(keras, path)):
        if internals.examine(row) is internals.State.FOUND:
            yield "doctor finds it"
        expected = way.stock(keras, path)
        for _ in range(2):
            try:
                if not _same(expected, way.ours(keras, path), way.most):
                    yield "it differs"
            except UnsupportedRuntimeError as error:
                if way.name != "load_predictor":  # which has no stock loader to go to
                    yield str(error)
            report = fastload.last_load()
            if report is None or report.code not in (None, "FL105", "FL204"):
                yield str(report)


def _same(one: Any, other: Any, most: float) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other, [most] * len(one)))
    return one.dtype == other.dtype and bool(np.all(np.abs(one - other) <= most))


def in_a_child(row: internals.Row, keras: Any, folder: Path) -> list[str]:
    """Do `look` in a child of this process."""
    for note in Path(os.environ["FASTLOAD_CACHE_DIR"]).glob("*.failures.json"):
        note.unlink()  # each name is a failure of its own
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        try:
            wrong = look(row, keras, folder)
        except BaseException:
            wrong = [traceback.format_exc()]
        os.write(writing, json.dumps(wrong).encode()[-60_000:])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        answer = told.read()
    os.wait()
    return json.loads(answer) if answer else ["it ended"]


def main(package: str, folder: str, *numbers: str) -> None:
    """Try the rows of these *numbers*; print what is wrong as JSON, by the name of the row."""
    keras = importlib.import_module(package)
    _tensorflow()
    rows = list(internals.rows())
    found = {}
    for number in map(int, numbers):
        row = rows[number]
        wrong = in_a_child(row, keras, Path(folder))
        if wrong:
            found[f"{number} {row.feature.what}: {row.module}.{row.name.path}"] = wrong
    sys.stdout.write(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
