"""The code record of a trace, attacked: each function that took part is changed, one at a time.

The functions are found by instrumenting a trace of stock's, not by what a record says.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
import operator
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

import fastload
from fastload.runtime.core.code_record import CodeRecord, OtherCodeError, Ran
from fastload.runtime.importing import first_module
from tests.small_models import INPUTS, KERAS3_ARCHIVE, SAVED_MODEL, Form

pytest.importorskip("tensorflow")
_TRACING = "tensorflow.python.eager.polymorphic_function.tracing_compilation"
pytestmark = [
    pytest.mark.usefixtures("cache_root"),
    pytest.mark.skipif(first_module(_TRACING) is None, reason="an older TensorFlow always traces"),
]
#: A quick run changes each of so many.
EVERY = 23
#: Python's own start; tools whose functions no name leads to; ours, which have versions; what
#: AutoGraph wrote, and how it finds that again at the second trace of a process.
LEFT_OUT = (
    *("<frozen ", "<string>", "/importlib/", "/numpy/", "/gast/", "/astunparse/"),
    *("/src/fastload/", "__autograph_generated", "autograph/pyct/transpiler.py"),
)


@pytest.fixture(params=[KERAS3_ARCHIVE, pytest.param(SAVED_MODEL, marks=pytest.mark.full)])
def record(
    request: pytest.FixtureRequest,
    saved_once: Callable[..., Path],
    cache_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[CodeRecord, Form, Path]:
    """The record of a trace that was kept just now."""
    form: Form = request.param
    made: list[CodeRecord] = []
    stock = CodeRecord.of.__func__  # type: ignore[attr-defined]

    def of(cls: Any, *arguments: Any) -> CodeRecord:
        made.append(stock(cls, *arguments))
        return made[-1]

    monkeypatch.setattr(CodeRecord, "of", classmethod(of))
    path = saved_once(form)
    fastload.load_model(path, keras=form.package).predict(INPUTS, verbose=0)
    return made[-1], form, path


def run_in_a_trace(form: Form, path: Path) -> set[CodeType]:
    """Return the code that runs while TensorFlow traces stock's predict function."""
    module: Any = importlib.import_module(_TRACING)
    stock_create = module._create_concrete_function
    found: set[CodeType] = set()

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            found.add(frame.f_code)

    def create(*arguments: Any) -> Any:
        found.clear()  # `predict` makes smaller functions before its own
        gc.disable()  # what a collection runs (callbacks of tools, finalizers) takes no part
        sys.setprofile(note)
        try:
            return stock_create(*arguments)
        finally:
            sys.setprofile(None)
            gc.enable()

    module._create_concrete_function = create
    try:
        form.stock.models.load_model(path).predict(INPUTS, verbose=0)
    finally:
        module._create_concrete_function = stock_create
    return {code for code in found if __file__ not in code.co_filename}


def with_change(code: CodeType, target: CodeType) -> CodeType:
    """Return *code* with one more constant in *target*, which is *code* itself or nested in it."""
    if code is target:
        return code.replace(co_consts=(*code.co_consts, "changed"))
    constants = tuple(
        with_change(each, target) if type(each) is CodeType else each for each in code.co_consts
    )
    same = all(map(operator.is_, constants, code.co_consts))
    return code if same else code.replace(co_consts=constants)


def nested_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if type(each) is CodeType:
            yield from nested_in(each)


def holders() -> dict[int, list[FunctionType]]:
    """Return all functions of this process by the id of the code that they hold."""
    gc.unfreeze()  # what tests/conftest.py froze is not listed
    found: dict[int, list[FunctionType]] = {}
    for each in gc.get_objects():
        if type(each) is FunctionType:
            for code in nested_in(each.__code__):
                found.setdefault(id(code), []).append(each)
    gc.freeze()
    return found


def test_each_function_that_took_part(
    record: tuple[CodeRecord, Form, Path], request: pytest.FixtureRequest
) -> None:
    kept, form, path = record
    require(kept)
    is_full = "full" in (request.config.getoption("-m") or "").replace("not full", "")
    ran = run_in_a_trace(form, path)
    held = holders()
    targets = sorted(
        (code for code in ran if id(code) in held and not is_left_out(code)),
        key=lambda code: (code.co_filename, code.co_firstlineno),
    )
    unnoticed = []
    for target in targets[:: 1 if is_full else EVERY]:
        functions = held[id(target)]
        codes = [function.__code__ for function in functions]
        for function, code in zip(functions, codes, strict=True):
            function.__code__ = with_change(code, target)
        try:
            require(kept)
            unnoticed.append(f"{target.co_filename}:{target.co_firstlineno} {target.co_name}")
        except OtherCodeError:
            pass
        finally:
            for function, code in zip(functions, codes, strict=True):
                function.__code__ = code

    assert unnoticed == [], "\n".join(unnoticed)
    assert len(targets) > 400
    require(kept)


def is_left_out(code: CodeType) -> bool:
    return any(part in code.co_filename for part in LEFT_OUT)


def require(record: CodeRecord) -> None:
    """Check that *record* holds, but for the model that it was made with."""
    dataclasses.replace(record, state=CodeRecord.of(Ran(is_known=True)).state).require_here()
