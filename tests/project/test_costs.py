"""`.ci/timing.py` writes what a run of the tests cost into a page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / ".ci" / "timing.py"
PAGE = (
    "before\n<!-- costs:begin (written by python .ci/timing.py --page) -->\nof before"
    "<!-- costs:end -->\nafter\n"
)


def test_a_page_has_the_costs_of_a_run(tmp_path: Path) -> None:
    """By section, and by folder of the main one; what cost nothing worth telling is left out."""
    sections = [{"name": "lint", "cpu_s": 0.1}, {"name": "make test", "cpu_s": 30.4}]
    tests = [
        {"section": "make test", "test": "tests/a/test_b.py::test_c", "cpu_s": 1.5},
        {"section": "make test", "test": "tests/a/test_d.py::test_e[x/y]", "cpu_s": 2.0},
        {"section": "make test", "test": "tests/f/test_g.py::test_h", "cpu_s": 9.0},
        {"section": "slow tests", "test": "tests/a/test_b.py::test_c", "cpu_s": 100.0},
    ]
    for name, rows in (("sections", sections), ("tests", tests)):
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    command = [sys.executable, str(SCRIPT), "--page", str(page), "abcdef0"]
    subprocess.run(command, env=os.environ | {"SUITE_TIMES": str(tmp_path)}, check=True)
    written = page.read_text()

    assert written.startswith("before\n")
    assert written.endswith("<!-- costs:end -->\nafter\n")
    assert "of before" not in written
    assert "commit abcdef0" in written
    rows = [line for line in written.splitlines() if line.startswith("| ") and "--" not in line]
    assert rows == [
        *("| section | CPU s |", "| make test | 30 |"),
        *("| tests | CPU s |", "| tests/f | 9 |", "| tests/a | 4 |"),
    ]
