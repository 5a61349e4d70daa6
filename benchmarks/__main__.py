"""`python -m benchmarks --cases resnet50 --rounds 5` measures and writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.cases import select
from benchmarks.machine import describe
from benchmarks.measure import ROOT, WORK, BenchmarkError, measure
from benchmarks.report import write_report, write_summary
from benchmarks.runner import Measurement

logger = logging.getLogger("benchmarks")


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says, keep the raw figures, and write the report."""
    asked = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    new = asked.results / f"{datetime.now(timezone.utc):%Y-%m-%d-%H%M}.jsonl"
    results = asked.report or [new]
    try:
        if not asked.report:
            record(measure(select(asked.cases), asked.rounds, asked.work), new, asked.work)
        write_report(results, asked.page)
        if asked.summary:
            write_summary(results, asked.summary)
    except (BenchmarkError, ValueError) as error:
        logger.error("%s", error)  # noqa: TRY400 - the message says it all
        return 1
    return 0


def record(measurements: Iterable[Measurement], path: Path, work: Path) -> None:
    """Write the machine and each measurement, as it comes, to *path*, one JSON line each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", buffering=1) as file:
        file.write(json.dumps({"machine": describe(work)}) + "\n")
        for each in measurements:
            file.write(json.dumps(asdict(each)) + "\n")
            note = f" ({each.outcome}: {each.reason})" if each.reason else ""
            logger.info("%-24s %-18s %8.3f s%s", each.case, each.loader, each.load_s, note)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--cases", default="*", help="names or shell patterns, comma-separated (all)")
    add("--rounds", type=int, default=5, help="measurements of each loader (5)")
    add("--work", type=Path, default=WORK, help="folder for models and caches")
    add(
        "--results",
        type=Path,
        default=ROOT / "benchmarks" / "results",
        help="folder for raw figures",
    )
    add("--page", type=Path, default=ROOT / "docs" / "benchmarks.md", help="page with the markers")
    add("--summary", type=Path, help="also write the short table into this page (README.md)")
    add(
        "--report",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="measure nothing; report these raw figures, the last ones of each case",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
