"""The pages that list all of something list all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fastload
from fastload import errors

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: Not in `__all__`, for its module imports Keras 3.
LATE = {"SavedFunctionLayer"}
#: Set for the processes that `fastload run` starts, and by nobody else.
INTERNAL = {"FASTLOAD_RUN"}


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_reference_has_every_public_name_once() -> None:
    """Those that it does not place, mkdocs_hooks.py puts where the comment is."""
    page = text_of("reference/python.md")
    listed = re.findall(r"^::: fastload\.(\w+)$", page, re.MULTILINE)

    assert len(listed) == len(set(listed))
    assert {*listed} <= {*fastload.__all__, *LATE}
    assert "\n<!-- every other public name -->\n" in page


def test_every_variable_that_is_read_is_in_the_table() -> None:
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    read = set(re.findall(r"[\"'](FASTLOAD(?:_[A-Z]+)*)[\"']", code)) - INTERNAL
    listed = re.findall(r"^\| `(FASTLOAD\w*)` \|", text_of("usage.md"), re.MULTILINE)

    assert len(read) > 10
    assert set(listed) == read


@pytest.mark.parametrize("group", [errors.CacheError, errors.BypassError])
def test_the_decision_tree_has_every_code_of_a_bypass(group: type[errors.FastloadError]) -> None:
    page = text_of("why_not_faster.md")
    codes = {kind.code for kind in group.__subclasses__()}
    linked = set(re.findall(r"\[(FL\d{3})\]\(errors\.md#fl\d{3}\)", page))

    assert codes <= linked
