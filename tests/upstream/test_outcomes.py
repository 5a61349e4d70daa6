"""Runs of other projects' tests are compared test by test, and every difference is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.upstream.__main__ import problems
from tests.upstream.outcomes import (
    Result,
    differences,
    read_record,
    read_records,
    shown,
    unstable,
)
from tests.upstream.page import (
    MARKERS,
    bypass_reasons,
    markdown,
    write_page,
)
from tests.upstream.running import Loads, Report
from tests.upstream.suites import KERAS, Suite, SuiteError

PASSED = Result(outcome="passed")
FAILED = Result(outcome="failed", message="AssertionError")
SKIPPED = Result(outcome="skipped")
STOCK = {"a": PASSED, "b": FAILED, "c": SKIPPED}
NO_LOADS = Loads(hits=0, misses=0, bypasses=0, reasons={})
COLD = Loads(hits=1, misses=5, bypasses=2, reasons={"the file '/tmp/x1' is odd": 2})
WARM = Loads(hits=6, misses=0, bypasses=1, reasons={"the file '/tmp/x2' is odd": 1})


def line(test: str, outcome: str, message: str = "", observed: Any = None) -> str:
    report = {"test": test, "outcome": outcome, "message": message, "observed": observed or {}}
    return json.dumps(report)


def report(
    *,
    cold: Mapping[str, Result] = STOCK,
    again: Mapping[str, Result] = STOCK,
    loads: Mapping[str, Loads] | None = None,
) -> Report:
    seen = {"stock": NO_LOADS, "cold": COLD, "warm": WARM} | dict(loads or {})
    return Report(suite=KERAS, stock=STOCK, again=again, cold=cold, warm=STOCK, loads=seen)


def told(found: list[Any]) -> list[str]:
    return [str(each) for each in found]


def test_the_gravest_part_of_a_test_counts() -> None:
    """A test may pass, and its tear-down fail; or its sub-tests may."""
    lines = [line("a", "passed"), line("a", "failed", "why"), line("a", "passed")]

    assert read_record(lines) == {"a": Result(outcome="failed", message="why")}


def test_a_record_that_a_crash_cut_short() -> None:
    """What was written before is read."""
    assert read_record([line("a", "passed"), '{"test": "b", "out']) == {"a": PASSED}


def test_a_record_that_was_never_written(tmp_path: Path) -> None:
    """The process died at once: its tests are missing."""
    (tmp_path / "one.jsonl").write_text(line("a", "passed"))

    found = read_records([tmp_path / "one.jsonl", tmp_path / "none.jsonl"])

    assert told(differences({"a": PASSED, "b": PASSED}, found, ())) == ["b: missing, not passed"]


def test_equal_runs_do_not_differ() -> None:
    """The same tests fail, whatever their messages say."""
    fastload = STOCK | {"b": Result(outcome="failed", message="in other words")}

    assert differences(STOCK, fastload, ()) == []


@pytest.mark.parametrize(
    ("test", "result", "expected"),
    [
        ("a", FAILED, "a: failed, not passed"),
        ("a", SKIPPED, "a: skipped, not passed"),
        ("b", PASSED, "b: passed, not failed"),
        ("d", PASSED, "d: passed, not missing"),
    ],
)
def test_another_end_is_a_difference(test: str, result: Result, expected: str) -> None:
    """In either direction: a test that fails in stock alone was changed as well."""
    assert told(differences(STOCK, STOCK | {test: result}, ())) == [expected]


def test_another_sight_is_a_difference() -> None:
    """Both pass, and saw models that are not the same."""
    stock = {"a": Result(outcome="passed", observed={"weights": "1", "names": ["x"]})}
    fastload = {"a": Result(outcome="passed", observed={"weights": "2", "names": ["x"]})}

    assert told(differences(stock, fastload, ())) == ["a: other weights"]


def test_an_unstable_test_does_not_count() -> None:
    """Stock decides it both ways."""
    ignored = unstable(STOCK, STOCK | {"a": FAILED})

    assert ignored == ["a"]
    assert differences(STOCK, STOCK | {"a": FAILED}, ignored) == []


def test_counts() -> None:
    assert shown(STOCK) == "1 passed of 3, 1 failed, 1 skipped"


def test_a_good_report_has_no_problems() -> None:
    assert problems(report()) == []


def test_problems_name_the_test_and_the_run() -> None:
    (problem,) = problems(report(cold=STOCK | {"a": FAILED}))

    assert problem == "a: failed, not passed (cold cache)\n    AssertionError"


def test_a_run_without_fastload_is_a_problem() -> None:
    """FASTLOAD=1 had no effect, so equality means nothing."""
    (problem,) = problems(report(loads={"cold": NO_LOADS}))

    assert "made no twin" in problem


def test_a_stock_run_with_fastload_is_a_problem() -> None:
    (problem,) = problems(report(loads={"stock": COLD}))

    assert problem == "the stock runs went through fastload"


def test_reasons_are_added_up_without_names() -> None:
    """Paths, layers and classes differ from load to load."""
    custom = "'{}', used by {}, is not known. Add `fastload.register({})`."
    reasons = {custom.format("A", "a_1", "A"): 1, custom.format("B", "b_2", "B"): 1}
    others = Loads(hits=0, misses=0, bypasses=2, reasons=reasons)

    assert bypass_reasons([COLD, WARM, others]) == {
        "the file '...' is odd": 3,
        "'...', used by a layer or the model, is not known": 2,
    }


def test_the_page_has_counts_loads_and_notes(tmp_path: Path) -> None:
    """And the text around the markers stays."""
    page = tmp_path / "page.md"
    page.write_text(f"before {MARKERS.begin} of last year {MARKERS.end} after")

    write_page([report(cold=STOCK | {"a": FAILED}, again=STOCK | {"c": PASSED})], page)

    text = page.read_text()
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert "of last year" not in text
    assert "| keras | cold | 8 | 1 | 5 | 2 |" in text
    assert "- `a`, cold cache: failed, not passed." in text
    assert "- `c` is not stable without fastload either" in text


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="one pair of markers"):
        MARKERS.replace("no markers", markdown([report()]))


def test_files_that_load_models_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the folders in any case; none that is left out, and none that is no test."""
    files = {
        "saving/any_test.py": "",
        "layers/loads_test.py": "load_model(path)",
        "layers/other_test.py": "pass",
        "layers/helper.py": "load_model(path)",
        "layers/odd_test.py": "load_model(path)",
    }
    for name, text in {"__init__.py": "", **files}.items():
        path = tmp_path / "upstream_example" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    suite = Suite(
        name="example",
        distribution="example",
        package="upstream_example",
        folders=("saving/",),
        left_out={"layers/odd_test.py": "is odd"},
    )

    assert [path.name for path in suite.files()] == ["loads_test.py", "any_test.py"]


def test_a_package_that_is_not_installed() -> None:
    suite = Suite(name="none", distribution="none", package="no_such_package_here")

    with pytest.raises(SuiteError, match="not installed"):
        suite.files()
