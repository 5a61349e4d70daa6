"""A lean dataclass does what one of Python's does; messages and signatures are its own."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from fastload.lean_dataclass import dataclass

PYTHONS = dataclasses.dataclass(frozen=True, slots=True, kw_only=True)


class Plain:
    number: int
    text: str = "a"
    many: list[int] = dataclasses.field(default_factory=list)
    hidden: int = dataclasses.field(default=3, repr=False)
    total: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.number + self.hidden)

    def doubled(self) -> int:
        return 2 * self.number


def _plain(name: str) -> type:
    return type(name, (), dict(Plain.__dict__, __qualname__=name))


@PYTHONS
class Base:
    number: int


@PYTHONS
class Further(Base):
    text: str


Pythons: Any = PYTHONS(_plain("Pythons"))
Lean: Any = dataclass(frozen=True, slots=True, kw_only=True)(_plain("Lean"))
LeanBase: Any = dataclass(frozen=True, slots=True, kw_only=True)(
    type("LeanBase", (), {"__annotations__": {"number": "int"}, "__module__": __name__})
)
LeanFurther: Any = dataclass(frozen=True, slots=True, kw_only=True)(
    type("LeanFurther", (LeanBase,), {"__annotations__": {"text": "str"}, "__module__": __name__})
)


def _said(cls: Any, of: Callable[[Any], object]) -> str:
    try:
        return str(of(cls)).replace(cls.__name__, "")
    except Exception as error:
        return type(error).__name__


@pytest.mark.parametrize(
    "of",
    [
        lambda c: repr(c(number=1)),
        lambda c: c(number=1, text="b", many=[1]).doubled(),
        lambda c: c(number=1) == c(number=1),
        lambda c: c(number=1) == c(number=2),
        lambda c: c(number=1) == 1,
        lambda c: hash(c(number=1, many=())) == hash(c(number=1, many=())),
        lambda c: hash(c(number=1)),
        lambda c: c(),
        lambda c: c(1),
        lambda c: c(number=1, other=2),
        lambda c: setattr(c(number=1), "number", 2),
        lambda c: delattr(c(number=1), "number"),
        lambda c: c(number=1).__dict__,
        lambda c: c(number=1).total,
        lambda c: pickle.loads(pickle.dumps(c(number=1, many=[2]))),
        lambda c: copy.deepcopy(c(number=1, many=[2])),
        lambda c: copy.copy(c(number=1, many=[2])),
        lambda c: dataclasses.replace(c(number=1), text="b"),
        lambda c: dataclasses.replace(c(number=1), other="b"),
        lambda c: dataclasses.asdict(c(number=1, many=[2])),
        lambda c: [field.name for field in dataclasses.fields(c)],
        dataclasses.is_dataclass,
        lambda c: c(number=1).many is c(number=1).many,
        lambda c: c.__match_args__,
    ],
)
def test_it_does_what_pythons_does(of: Callable[[Any], object]) -> None:
    assert _said(Lean, of) == _said(Pythons, of)


def test_a_class_of_another_has_its_fields() -> None:
    assert _said(LeanFurther, lambda c: c(number=1, text="a")) == _said(
        Further, lambda c: c(number=1, text="a")
    )
    assert _said(LeanFurther, lambda c: c(text="a")) == "TypeError"
    assert LeanFurther(number=1, text="a") != LeanBase(number=1)


@pytest.mark.parametrize("given", [{"eq": False, "frozen": True}, {"frozen": False}])
def test_the_variants_that_are_used(given: dict[str, Any]) -> None:
    lean = dataclass(slots=True, kw_only=True, **given)(_plain("Lean"))
    pythons = dataclasses.dataclass(slots=True, kw_only=True, **given)(_plain("Pythons"))

    for of in (
        lambda c: c(number=1) == c(number=1),
        lambda c: isinstance(hash(c(number=1)), int),
        lambda c: setattr(c(number=1), "number", 2),
    ):
        assert _said(lean, of) == _said(pythons, of)
