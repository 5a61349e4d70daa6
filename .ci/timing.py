"""Run commands and say what they cost: wall seconds, and CPU seconds of all their processes.

    python .ci/timing.py --budget 14 "make test" pytest tests    runs it, and prints the tables
    SUITE_TIMES=FOLDER python .ci/timing.py lint ruff check   runs it as one section of more
    SUITE_TIMES=FOLDER python .ci/timing.py --budget 50       prints the tables of all sections
    SUITE_TIMES=FOLDER python .ci/timing.py --page docs/testing.md 9b77fb9   writes what they cost

Tests add what they cost to the same folder (`tests/timing.py`). The exit status is the command's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDER = "SUITE_TIMES"
SECTION = "SUITE_SECTION"
SLOWEST = 20
#: The section whose tests are told by folder.
MAIN = "make test"
BEGIN = "<!-- costs:begin (written by python .ci/timing.py --page) -->"
END = "<!-- costs:end -->"
#: What took less is not in the page.
LEAST_S = 0.5
#: What says how fast a machine is, in CPU seconds; budgets are meant for half a second.
LOOP = "s=0\nfor i in range(10**7): s+=i"


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_AsWritten)
    parser.add_argument("--budget", type=float, help="CPU minutes that all of it may take")
    parser.add_argument("--page", type=Path, help="write the tables there; NAME is the commit")
    parser.add_argument("name", nargs="?", help="of the section")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    if FOLDER in os.environ:
        folder = Path(os.environ[FOLDER])
        if asked.page:
            write_page(folder, asked.page, asked.name)
            return 0
        if asked.name:
            return run(folder, asked.name, asked.command)
        print_tables(folder, asked.budget)
        return 0
    with tempfile.TemporaryDirectory() as made:
        status = run(Path(made), asked.name, asked.command)
        print_tables(Path(made), asked.budget)
    return status


def run(folder: Path, name: str, command: list[str]) -> int:
    """Run *command*, add what it cost to *folder*, and return its exit status."""
    start_s = time.perf_counter()
    environment = os.environ | {FOLDER: str(folder), SECTION: name}
    status = subprocess.run(command, env=environment, check=False).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = {
        "wall_s": time.perf_counter() - start_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "status": status,
    }
    with (folder / "sections.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"name": name, **spent}) + "\n")
    return status


def print_tables(folder: Path, budget_min: float | None) -> None:
    """Print what each section and the slowest tests took, and whether that is too much."""
    sections, tests = _lines(folder / "sections.jsonl"), _lines(folder / "tests.jsonl")
    slowest = sorted(tests, key=lambda test: -test["cpu_s"])[:SLOWEST]
    _print_rows(f"the slowest {len(slowest)} of {len(tests)} tests", slowest)
    _print_rows("sections", sections)
    cpu_min = sum(section["cpu_s"] for section in sections) / 60
    print(f"{os.cpu_count()} cores; the loop of .ci/timing.py takes {_loop_s():.2f} s here.")
    if budget_min is not None:
        verdict = "OVER" if cpu_min > budget_min else "within"
        print(f"{cpu_min:.1f} CPU minutes: {verdict} the budget of {budget_min:g}.")


def write_page(folder: Path, page: Path, commit: str) -> None:
    """Write into *page* what each section of a run took, and the tests of each folder."""
    sections, tests = _lines(folder / "sections.jsonl"), _lines(folder / "tests.jsonl")
    main = [test for test in tests if test["section"] == MAIN]
    by_folder: dict[str, float] = {}
    for test in main:
        name = "/".join(test["test"].split("::")[0].split("/")[:2])
        by_folder[name] = by_folder.get(name, 0.0) + test["cpu_s"]
    costs = [(each["name"], each["cpu_s"]) for each in sections]
    tables = [
        f"Of a run of `.ci/run` on commit {commit}, by section, and by folder of `{MAIN}`.",
        *_table("section", costs),
        *_table("tests", sorted(by_folder.items(), key=lambda item: -item[1])),
    ]
    text = page.read_text(encoding="utf-8")
    begin, _, rest = text.partition(BEGIN)
    _, _, end = rest.partition(END)
    written = "\n\n".join(["", *tables, ""])
    page.write_text(f"{begin}{BEGIN}{written}{END}{end}", encoding="utf-8")


def _table(title: str, costs: list[tuple[str, float]]) -> list[str]:
    rows = [f"| {name} | {cpu_s:.0f} |" for name, cpu_s in costs if cpu_s >= LEAST_S]
    return ["\n".join([f"| {title} | CPU s |", "| --- | ---: |", *rows])]


def _print_rows(title: str, rows: list[dict]) -> None:
    print(f"\n{'wall s':>8} {'CPU s':>8}  {title}")
    for row in rows:
        failed = " FAILED" if row.get("status") else ""
        name = f"{row['section']}: {row['test']}" if "test" in row else row["name"]
        print(f"{row['wall_s']:8.1f} {row['cpu_s']:8.1f}  {name}{failed}")


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _loop_s() -> float:
    start_s = time.process_time()
    exec(LOOP, {})  # noqa: S102 - as `python -c` runs it, where names are global
    return time.process_time() - start_s


class _AsWritten(argparse.RawDescriptionHelpFormatter):
    """Help keeps the lines of the docstring above."""


if __name__ == "__main__":
    sys.exit(main())
