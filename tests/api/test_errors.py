"""The catalogue of errors: one code each, a row each, and each survives a process boundary."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastload import errors
from fastload.errors import FastloadError
from fastload.loading.plan import refusal

CATALOGUE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"
ROW = re.compile(r"^\| (FL\d{3}) \| `(\w+)` \| (.+) \|$", re.MULTILINE)
#: A value for every field that an error has.
FIELDS = {
    "path": Path("some/where"),
    "reason": "a reason",
    "what": "Name=package.module:Name",
    "owner": "layer 'a'",
    "timeout_s": 1.5,
    "found": 2,
    "readable": 1,
    "name": "package>Name",
    "names": ["serving_default"],
    "user": "the layer",
    "missing": "tensorflow",
    "purpose": "this model",
    "limit": 1024,
    "needed": 2048,
    "is_known": True,
    "told": (),
    "digest": "ab" * 32,
    "url": "s3://bucket/twins",
}


def kinds(base: type[FastloadError] = FastloadError) -> Iterator[type[FastloadError]]:
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


KINDS = sorted(set(kinds()), key=lambda kind: kind.code)


def make(kind: type[FastloadError]) -> FastloadError:
    if not inspect.isfunction(kind.__init__):  # Python's own constructor
        return kind("a reason")
    _, *names = inspect.signature(kind.__init__).parameters
    return kind(**{name: FIELDS[name] for name in names})


def test_each_code_is_used_once() -> None:
    """And all errors are in one module."""
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert {kind.__module__ for kind in KINDS} == {"fastload.errors"}


def test_the_catalogue_has_a_row_for_each_error() -> None:
    """Code and class agree, no row is left over, and no cell is empty."""
    rows = {code: (name, cells) for code, name, cells in ROW.findall(CATALOGUE.read_text())}

    assert {code: name for code, (name, _) in rows.items()} == {
        kind.code: kind.__name__ for kind in KINDS
    }
    assert all(len(cells.split(" | ")) == 4 for _, cells in rows.values())


def test_the_tree_at_the_top_of_the_module_names_each_error() -> None:
    """The first thing that a reader sees is complete."""
    drawn = dict(re.findall(r"(\w+Error) +(FL\d{3})", errors.__doc__ or ""))
    leaves = {kind.__name__: kind.code for kind in KINDS if not kind.__subclasses__()}

    assert drawn == leaves


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling(kind: type[FastloadError]) -> None:
    """Workers send them to their parents: type, fields and message."""
    error = make(kind)
    found = pickle.loads(pickle.dumps(error))

    assert type(found) is kind
    assert vars(found) == vars(error)
    assert str(found) == str(error)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_message_begins_with_its_code(kind: type[FastloadError]) -> None:
    """So that it can be looked up."""
    error = make(kind)

    assert str(error) == f"[{kind.code}] {error.explanation()}"
    assert error.explanation()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_error_says_when_it_is_raised(kind: type[FastloadError]) -> None:
    """In its docstring."""
    assert (vars(kind)["__doc__"] or "").rstrip().endswith(".")


@pytest.mark.parametrize(
    ("name", "line"),
    [("Swish", "fastload.register(Swish)"), ("shop>Till", "fastload.register(Till)")],
)
def test_an_unresolved_name_comes_with_the_line_to_add(name: str, line: str) -> None:
    """A package is no part of what is written there."""
    message = str(errors.UnresolvedObjectError(name, "layer 'a'"))

    assert f"Add `{line}` before loading" in message
    assert repr(name) in message


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("FL201", errors.UnsupportedSourceError),
        ("FL202", errors.UnsafeSourceError),
        ("FL203", errors.UnconvertibleModelError),
        ("FL999", errors.BypassError),
    ],
)
def test_a_remembered_refusal_is_the_same_error(code: str, kind: type[FastloadError]) -> None:
    """A code that this version does not know is a bypass all the same."""
    error = refusal(code, "a reason")

    assert type(error) is kind
    assert error.explanation() == "a reason"
