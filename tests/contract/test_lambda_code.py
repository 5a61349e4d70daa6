"""Configurations of lambdas are compared by what is in them, and not by what is chance."""

from __future__ import annotations

import base64
import json
import marshal
from types import CodeType
from typing import Any

from contract.lambda_code import without_references


def code_of(source: str) -> CodeType:
    """Return the code of a lambda, of which nobody else holds a part."""
    made: Any = eval(compile(f"lambda tensor, factor=2: {source}", "a file", "eval"))
    return made.__code__.replace(co_filename=f"the file of {source}")


def written(code: CodeType) -> str:
    """Return what Keras writes of *code*."""
    return json.dumps({"code": base64.encodebytes(marshal.dumps(code)).decode()})


def test_code_is_the_same_whoever_holds_parts_of_it() -> None:
    """A reference more makes other bytes of the same function."""
    code = code_of("tensor * factor")
    alone = written(code)
    holder = [code.co_consts]
    held = written(code)

    assert holder
    assert alone != held
    assert without_references(alone) == without_references(held)


def test_other_code_differs() -> None:
    """What it does is told."""
    texts = [written(code_of(source)) for source in ("tensor * factor", "tensor + factor")]

    assert without_references(texts[0]) != without_references(texts[1])


def test_what_is_no_code_stays() -> None:
    """Any text of base64 may begin as code does."""
    text = json.dumps({"name": "4w" + "A" * 80, "units": 3})

    assert without_references(text) == text
