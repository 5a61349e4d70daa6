"""What was tried against the promise: tests note it, and a page has the sums.

A run with FASTLOAD_TRIED=FILE adds a line to the file for each test that tries something;
`python -m tests.tried FILE` writes the tables of docs/reliability.md from it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Asked once: tests take such variables out of the environment.
FILE = os.environ.get("FASTLOAD_TRIED")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- tried -->", "<!-- end of tried -->"

#: What a fault is called on the page, and what tries it.
FAULTS = {
    "fork": (
        "fork while another thread loads, at a step of the load; the child loads two models",
        "FASTLOAD_FORK_EVERY={every} pytest tests/process/test_forks.py -m full",
    ),
    "interrupt": (
        "interrupt at a step of a load; then stock and fastload load two models",
        "FASTLOAD_INTERRUPT_EVERY={every} pytest tests/process/test_interrupts.py -m full",
    ),
    "alarm": (
        "interrupt by an alarm at a random moment of a load; then the same",
        "FASTLOAD_INTERRUPT_MOMENTS={every} pytest tests/process/test_interrupts.py -m full",
    ),
    "failing call": (
        "a call of the C library on the cache fails, HDF5's too, six errors in turn; then a load",
        "FASTLOAD_FAIL_EVERY={every} pytest tests/process/test_failing_calls.py -m slow",
    ),
    "kill": (
        "kill -9 at a moment of a conversion; then the next conversion",
        "FASTLOAD_KILL_MOMENTS={every} pytest tests/process/test_kill.py",
    ),
    "soak": (
        "{processes} processes load, warm, prune and save over a rotating zoo; {faults} calls fail",
        "nox -s soak -- {seconds} {processes}",
    ),
    "hostile twin": (
        "a twin whole by its digests with an index of nonsense is read",
        "pytest tests/twin/test_hostile.py",
    ),
    "side by side": (
        "models, classes, limits, formats and rooms of caches that change around processes",
        "pytest tests/process/test_side_by_side.py -m slow",
    ),
}
_RESOURCES = ("descriptors", "mappings", "resident KiB")


def note(fault: str, tries: int = 1, *, wrong: int = 0, failed: int = 0, **more: Any) -> None:
    """Add a line to the file of the run, if there is one.

    Args:
        fault: one of FAULTS, or `growth`.
        tries: how often it was tried.
        wrong: how many loads gave what stock does not give.
        failed: how many loads raised, hung or ended the process where stock loads.
        more: what the text of the fault names.
    """
    if FILE:
        line = {"fault": fault, "tries": tries, "wrong": wrong, "failed": failed, **more}
        with Path(FILE).open("a") as file:
            file.write(json.dumps(line) + "\n")


def note_told(fault: str, told: list[dict[str, Any]], **more: Any) -> None:
    """Note tries of which a process told: what was wrong with each, and with stock's."""
    ours = [each["wrong"] for each in told if each["wrong"] and not each.get("stock")]
    failed = sum(any(_is_failure(str(part)) for part in each) for each in ours)
    as_stock = sum(bool(each["wrong"] and each.get("stock")) for each in told)
    note(fault, len(told), wrong=len(ours) - failed, failed=failed, as_stock=as_stock, **more)


def _is_failure(text: str) -> bool:
    return "Traceback" in text or "it ended with" in text


@contextmanager
def one_try(fault: str, **more: Any) -> Iterator[None]:
    """Note what comes of the block, which asserts."""
    try:
        yield
    except BaseException as error:
        is_wrong = isinstance(error, AssertionError)
        note(fault, wrong=int(is_wrong), failed=int(not is_wrong), **more)
        raise
    note(fault, **more)


def page(lines: Iterable[dict[str, Any]]) -> str:
    """Return the text between the marks of the page."""
    lines = list(lines)
    names = ("tensorflow-cpu", "tensorflow", "keras", "tf-keras")
    versions = ", ".join(f"{name} {found}" for name in names if (found := _version(name)))
    told = [f"Measured with {versions}, on {os.cpu_count()} cores.", ""]
    return "\n".join([*told, *_faults(lines), "", *_growths(lines)])


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _faults(lines: list[dict[str, Any]]) -> Iterator[str]:
    yield "| fault | tries | wrong | failed | as in stock | command |"
    yield "|---|---:|---:|---:|---:|---|"
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for line in lines:
        if line["fault"] in FAULTS:
            text, command = (each.format_map(line) for each in FAULTS[line["fault"]])
            numbers = {name: line.get(name, 0) for name in ("tries", "wrong", "failed", "as_stock")}
            found[text, command].update(numbers)
    for (text, command), sums in found.items():
        numbers = (f"{sums[name]:,}" for name in ("tries", "wrong", "failed", "as_stock"))
        yield f"| {text} | {' | '.join(numbers)} | `{command}` |"


def _growths(lines: list[dict[str, Any]]) -> Iterator[str]:
    yield "| growth of | loads | descriptors (stock) | mappings (stock) | memory in MiB (stock) |"
    yield "|---|---:|---:|---:|---:|"
    for line in lines:
        if line["fault"] == "growth":
            ours, stock = line["fastload"], line["stock"]
            cells = [f"{ours[name]} ({stock[name]})" for name in _RESOURCES[:2]]
            cells.append(f"{ours[_RESOURCES[2]] / 1024:.1f} ({stock[_RESOURCES[2]] / 1024:.1f})")
            yield f"| {line['of']} | {line['tries']:,} | {' | '.join(cells)} |"


def main(*files: str) -> None:
    """Write the tables of the page from the files of some runs."""
    lines = [json.loads(line) for file in files for line in Path(file).read_text().splitlines()]
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{page(lines)}\n{END}{after}")


if __name__ == "__main__":
    main(*sys.argv[1:])
