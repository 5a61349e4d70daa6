"""The figures of upstream runs, as a page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.page import Markers
from tests.upstream.outcomes import Difference, differences, shown, unstable
from tests.upstream.running import Loads, Report

MARKERS: Final = Markers("upstream", "tests.upstream")
_DISTRIBUTIONS: Final = (
    *("tensorflow", "tensorflow-cpu", "keras", "tf-keras", "numpy", "h5py"),
    *("tensorflow-recommenders", "tf-agents"),
)
_QUOTED: Final = re.compile(r"'[^']*'")
_USER: Final = re.compile(r"used by [^,]*,")


def found_differences(report: Report) -> list[tuple[str, Difference]]:
    """Return what fastload changed, with the name of the run."""
    ignored = unstable(report.stock, report.again)
    runs = {"cold": report.cold, "warm": report.warm}
    return [
        (name, each)
        for name, results in runs.items()
        for each in differences(report.stock, results, ignored)
    ]


def markdown(reports: Sequence[Report]) -> str:
    """Return the tables of *reports*."""
    blocks = [_versions(), _outcome_table(reports), _load_table(reports), _reasons(reports)]
    return "\n\n".join([*blocks, "\n".join(_notes(reports))])


def write_page(reports: Sequence[Report], page: Path) -> None:
    """Write the tables into *page*, between its markers."""
    MARKERS.write(page, markdown(reports))


def _versions() -> str:
    return "; ".join(f"{name} {found}" for name in _DISTRIBUTIONS if (found := _version(name)))


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _outcome_table(reports: Iterable[Report]) -> str:
    rows = [
        (each.suite.name, shown(each.stock), shown(each.cold), shown(each.warm), str(_count(each)))
        for each in reports
    ]
    head = (
        "tests of",
        "stock",
        "fastload, empty cache",
        "fastload, warm cache",
        "decided otherwise",
    )
    return _table(head, rows)


def _count(report: Report) -> int:
    return len({each.test for _, each in found_differences(report)})


def _load_table(reports: Iterable[Report]) -> str:
    rows = [
        (
            report.suite.name,
            name,
            *map(str, (loads.total, loads.hits, loads.misses, loads.bypasses)),
        )
        for report in reports
        for name, loads in report.loads.items()
        if name != "stock"
    ]
    return _table(("tests of", "cache", "loads", "hits", "misses", "bypasses"), rows)


def _reasons(reports: Iterable[Report]) -> str:
    loads = [each for report in reports for each in report.loads.values()]
    counted = sorted(bypass_reasons(loads).items(), key=lambda item: (-item[1], item[0]))
    return _table(("why the stock loader served it", "loads"), [(r, str(n)) for r, n in counted])


def bypass_reasons(loads: Iterable[Loads]) -> Mapping[str, int]:
    """Add up bypasses by reason; the names in a reason differ from load to load, and go."""
    counted: Counter[str] = Counter()
    for each in loads:
        for reason, count in each.reasons.items():
            counted[_general(reason)] += count
    return counted


def _general(reason: str) -> str:
    text = _QUOTED.sub("'...'", reason.splitlines()[0]).replace("|", "/")
    sentence = text.partition(". ")[0].rstrip(".")
    return _USER.sub("used by a layer or the model,", sentence)


def _notes(reports: Iterable[Report]) -> Iterator[str]:
    for report in reports:
        for test in unstable(report.stock, report.again):
            yield f"- `{test}` is not stable without fastload either, and does not count."
        for name, each in found_differences(report):
            yield f"- `{each.test}`, {name} cache: {each.fastload.against(each.stock)}."
        for name, reason in report.suite.left_out.items():
            yield f"- `{report.suite.name}`: `{name}` is left out: {reason}."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
