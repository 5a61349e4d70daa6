"""The `compile` that `typing` has while TensorFlow is imported."""

from __future__ import annotations

import sys
import typing
from typing import Any, ForwardRef

import pytest

from fastload.imports.light_import import with_memo

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 14), reason="`typing` compiles no more")
NAMES: dict[str, Any] = vars(typing)


def test_references_of_one_text_share_their_code() -> None:
    made: list[ForwardRef] = []
    with_memo(lambda: made.extend(ForwardRef(text) for text in ("int", "int", "str")))
    one, same, other = made
    assert one.__forward_code__ is same.__forward_code__
    assert one.__forward_code__ == ForwardRef("int").__forward_code__
    assert other.__forward_code__ != one.__forward_code__
    assert one == same == ForwardRef("int")


def test_the_name_is_there_for_the_work_only() -> None:
    seen = []
    with_memo(lambda: seen.append("compile" in NAMES))
    assert seen == [True]
    assert "compile" not in NAMES


def test_the_name_goes_after_an_error_too() -> None:
    with pytest.raises(SyntaxError, match="Forward reference must be an expression"):
        with_memo(lambda: ForwardRef("not an expression"))
    assert "compile" not in NAMES


def test_what_somebody_else_put_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, it is used; meanwhile, it is not taken away."""
    seen = []
    monkeypatch.setitem(NAMES, "compile", compile)
    with_memo(lambda: seen.append(NAMES["compile"]))
    assert seen == [compile]
    monkeypatch.undo()
    with_memo(lambda: NAMES.update(compile=compile))
    assert NAMES.pop("compile") is compile


def test_a_forward_reference_that_does_not_compile_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    monkeypatch.setitem(NAMES, "ForwardRef", type("ForwardRef", (), {}))
    with_memo(lambda: seen.append("compile" in NAMES))
    assert seen == [False]


def test_other_calls_are_not_remembered() -> None:
    codes: list[Any] = []

    def work() -> None:
        codes.extend(NAMES["compile"]("1", "<string>", "exec") for _ in range(2))
        codes.extend(NAMES["compile"]("1", "<string>", "eval", flags=0) for _ in range(2))

    with_memo(work)
    assert len({id(code) for code in codes}) == 4
