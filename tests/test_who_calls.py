"""The page of who calls what: its programs are programs, and its table is of what came of them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import who_calls
from benchmarks.measure import BenchmarkError
from benchmarks.who_programs import CALLERS, Caller

CALLER = Caller(
    name="one",
    package="click",
    calls="`load`",
    imports="import os",
    make="(folder / 'made').touch()",
    load="""
        loaded = (folder / "made").exists()
        outputs = lambda: [np.float32(loaded)]
    """,
)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have this Python be the environment of each package."""
    monkeypatch.setattr(who_calls, "environment", lambda *_: Path(sys.executable))
    monkeypatch.setattr(who_calls, "WARMING", 1)
    return tmp_path


@pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.name)
@pytest.mark.parametrize("step", ["make", "load"])
def test_each_program_is_one(caller: Caller, step: str) -> None:
    text = caller.program(step)
    compile(text, caller.name, "exec")

    assert ("outputs = " in text) is (step == "load")


def test_a_row_tells_what_came_of_a_caller(here: Path) -> None:
    row = who_calls.measure(CALLER, here, here, rounds=1)

    assert row.cells[:5] == [
        "one",
        row.version,
        "`load`",
        "not seen",
        "not seen",
    ]
    assert row.version
    assert row.stock_s is not None


def test_what_fails_in_stock_is_a_row(here: Path) -> None:
    failing = replace(CALLER, load="outputs = {}['not there']")
    row = who_calls.measure(failing, here, here, rounds=1)

    assert row.cells[3] == "fails in stock: KeyError: 'not there'"


def test_other_results_stop_the_run(here: Path) -> None:
    """What is told under `FASTLOAD=1` alone is no result of stock's."""
    other = replace(CALLER, load="outputs = lambda: [np.float32(os.environ['FASTLOAD'])]")
    with pytest.raises(BenchmarkError, match="the results differ"):
        who_calls.measure(other, here, here, rounds=1)


def test_the_page_is_written_of_all_rows(here: Path) -> None:
    """The last of a caller counts."""
    names = [caller.name for caller in CALLERS[:2]]
    rows = [
        who_calls.Row(name=name, calls="c", fault=fault)
        for name, fault in [(names[1], "a"), (names[0], "b"), (names[1], "c")]
    ]
    file = here / "rows.jsonl"
    for row in rows:
        who_calls.keep(row, file)

    assert [(row.name, row.fault) for row in who_calls.kept(file)] == [
        (names[0], "b"),
        (names[1], "c"),
    ]
