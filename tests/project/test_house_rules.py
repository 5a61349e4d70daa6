"""What the linters cannot say about the repository holds."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "src").rglob("*.py"))
MOST_LINES_OF_A_FUNCTION = 60
#: Modules are split by subject; one that is longer than this has more than one.
MOST_LINES_OF_A_MODULE = 500
#: On the package index this name belongs to another project; put together so that this file passes.
FOREIGN = "fast" + "load"
INSTALLS_FOREIGN = re.compile(rf"pip3? install [^\n;&|`#]*(?<![\w./-]){FOREIGN}(?![\w./-])")


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Yield name and text of each file that git knows or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path.stat().st_size < 2**20:
            yield name, path.read_text(errors="replace")


def function_lengths(path: Path) -> Iterator[tuple[str, int]]:
    """Yield name and lines of each function in *path*, docstrings left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            first = node.body[0]
            has_docstring = ast.get_docstring(node, clean=False) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
            yield f"{path.name}:{node.name}", lines - docstring


def test_every_lock_has_an_answer_to_forks() -> None:
    """`unfinished.lock` makes them; a plain one stays locked in a child for good."""
    plain = re.compile(r"\bR?Lock\(\)|\bCondition\(\)")
    found = [path.name for path in MODULES if plain.search(path.read_text())]

    assert found == ["unfinished.py"]


def test_one_module_asks_what_system_it_is() -> None:
    """Tests play other systems there; the other two are about Linux alone."""
    asks = re.compile(r"\bsys\.platform\b|\bos\.(?:name|uname|kill)\b|\bplatform\.system\b")
    found = {path.name for path in MODULES if asks.search(path.read_text())}

    assert found == {"system.py", "linking.py", "apart.py"}


def test_no_text_tells_to_install_the_other_project_of_that_name() -> None:
    """The distribution is tf-fastload."""
    texts = dict(tracked_texts())
    if not texts:
        pytest.skip("not a git checkout")
    assert [name for name, text in texts.items() if INSTALLS_FOREIGN.search(text)] == []


@pytest.mark.parametrize(
    ("text", "is_foreign"),
    [
        (f"pip install {FOREIGN}", True),
        (f"python -m pip install -U '{FOREIGN}[legacy]'", True),
        ("pip install tf-fastload", False),
        ("pip install 'tf-fastload[tensorflow]'", False),
        ("pip install ./fastload", False),
        ("pip install tf-fastload && python -m fastload ls", False),
    ],
)
def test_the_search_for_the_foreign_name_finds_it_alone(text: str, is_foreign: bool) -> None:
    """Our own name contains the other."""
    assert (INSTALLS_FOREIGN.search(text) is not None) == is_foreign


def test_no_function_of_the_package_is_longer_than_a_screen() -> None:
    """Ruff counts statements, not lines."""
    lengths = dict(length for path in MODULES for length in function_lengths(path))
    assert lengths
    assert {name for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FUNCTION} == set()


def test_no_module_of_the_package_outgrows_its_budget() -> None:
    """A module that does is split, or a decision record says why not."""
    tables = {"requirements.py"}  # a list is read entry by entry, and lives in one place
    modules = (path for path in MODULES if path.name not in tables)
    lengths = {path.name: len(path.read_text().splitlines()) for path in modules}
    assert {name for name, lines in lengths.items() if lines > MOST_LINES_OF_A_MODULE} == set()


def test_the_package_ships_its_types() -> None:
    """Type checkers look for the marker."""
    assert (ROOT / "src" / "fastload" / "py.typed").read_bytes() == b""
