"""`python -m tests.upstream` runs the tests of Keras and others with and without fastload.

A test that stock decides one way must end the same way under fastload, on an empty and on a warm
cache. The exit status is 1 where one does not, or where fastload served no load at all.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.upstream.page import found_differences, markdown, write_page
from tests.upstream.running import Report, Runner
from tests.upstream.suites import SUITES, Suite, SuiteError

logger = logging.getLogger("upstream")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the figures, and write the page if asked."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asked = _parse(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        work = asked.work or Path(temporary)
        try:
            reports = [_report(SUITES[name], asked, work) for name in asked.suites]
        except SuiteError as error:
            logger.error("%s", error)  # noqa: TRY400 - the message says it all
            return 1
    logger.info("\n%s\n", markdown(reports))
    if asked.page:
        write_page(reports, asked.page)
    return 1 if list(_problems(reports)) else 0


def _report(suite: Suite, asked: argparse.Namespace, work: Path) -> Report:
    files = suite.files(is_quick=asked.quick)
    chosen = [path for path in files if not asked.files or path.name in asked.files]
    tests = suite.quick_tests if asked.quick else ""
    return Runner(suite=suite, files=chosen, work=work, jobs=asked.jobs, tests=tests).report()


def _problems(reports: Iterable[Report]) -> Iterable[str]:
    """Yield and log what makes the runs fail."""
    for report in reports:
        for problem in problems(report):
            logger.error("%s: %s", report.suite.name, problem)
            yield problem


def problems(report: Report) -> list[str]:
    """Return what is wrong: tests that end otherwise, and loads in the wrong place."""
    found = [
        f"{each} ({name} cache)\n    {each.fastload.message}"
        for name, each in found_differences(report)
    ]
    if report.loads["stock"].total:
        found.append("the stock runs went through fastload")
    if not report.loads["cold"].misses:
        found.append("fastload made no twin: is it installed, so that FASTLOAD=1 has an effect?")
    return found


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.upstream", description=__doc__)
    add = parser.add_argument
    add("--suites", nargs="+", choices=SUITES, default=list(SUITES), help="which tests (all)")
    add("--files", nargs="+", metavar="NAME", help="only files of these names (x_test.py)")
    add("--quick", action="store_true", help="a few files: minutes less")
    add("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="files that run at once")
    add("--page", type=Path, help="write the figures into this page (docs/upstream.md)")
    add("--work", type=Path, help="keep records, logs and caches in this new folder")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
