"""`python -m benchmarks.lazy` measures networks whose weights are lent, and writes docs/lazy.md.

Each part can be measured by itself. The outputs of all loads are compared with the stock loader's,
to the bit; if they differ, nothing is written.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.cases import Generation
from benchmarks.lazy_measure import (
    CALLS,
    Limited,
    Outputs,
    limited,
    prepare,
    share,
    take_down_stock,
    time_calls,
    time_fitting,
    twin_of,
)
from benchmarks.lazy_process import CALL, PREDICT, STOCK, Call, Load, Subject
from benchmarks.machine import describe
from benchmarks.measure import WORK, BenchmarkError, check_byte_code
from benchmarks.page import Markers, table

_MIB: Final = 2**20
#: By size of the network.
BUDGETS: Final = {"large": 256 * _MIB, "small": 48 * _MIB}
#: So many calls within a limit for each kind of call.
_REPEATS: Final = 3
_NAMES: Final = {Generation.KERAS3: "Keras 3", Generation.KERAS2: "tf-keras"}
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run over all networks.

    Attributes:
        subjects: the networks.
        budget: bytes that lent weights may take.
        cache: fastload's folder.
        rounds: how often each call is timed.
        outputs: what was computed so far.
    """

    subjects: Sequence[Subject]
    budget: int
    cache: Path
    rounds: int
    outputs: Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the page.

    Attributes:
        name: of the part.
        headings: of its table.
        rows: measures one network.
    """

    name: str
    headings: Row
    rows: Callable[[Run, Subject], Iterator[Row]]

    @property
    def markers(self) -> Markers:
        """Where the table stands."""
        return Markers(f"lazy-{self.name}", "benchmarks.lazy")

    def table(self, run: Run) -> str:
        """Measure all networks and return the table, in Markdown."""
        rows = [row for subject in run.subjects for row in self.rows(run, subject)]
        return table(self.headings, rows)


def _limit_rows(run: Run, subject: Subject) -> Iterator[Row]:
    calls = [Call(how=how) for how in (CALL, PREDICT) for _ in range(_REPEATS)]
    for weights in (STOCK, "lazy"):
        load = Load(weights=weights, budget=run.budget)
        found = limited(subject, load, run.cache, run.outputs, calls)
        yield (
            _NAMES[subject.generation],
            weights,
            f"{found.limit / _MIB:.0f} ({found.limiter})",
            _end(found, len(calls)),
            str(found.looks),
            f"{found.of_twin / _MIB:.1f}",
            f"{found.growth / _MIB:.0f}",
        )


def _end(found: Limited, calls: int) -> str:
    if found.calls == calls:
        return f"{calls} calls"
    how = "killed" if found.status == -signal.SIGKILL else f"ended ({found.status})"
    return f"{how} after {found.calls} calls"


def _time_rows(run: Run, subject: Subject) -> Iterator[Row]:
    for found in time_calls(subject, run.budget, run.cache, run.outputs, run.rounds):
        yield (
            _NAMES[subject.generation],
            f"`{found.call.how}`",
            str(found.call.batch),
            f"{found.read:.3f}",
            f"{found.mapped:.3f}",
            f"{found.eager:.3f}",
            f"{found.lazy:.3f}",
            f"{found.ratio:.2f}",
            f"{found.strict_ratio:.2f}",
        )


def _fitting_rows(run: Run, subject: Subject) -> Iterator[Row]:
    for call, eager, fitting in time_fitting(subject, run.cache, run.outputs, 3 * run.rounds):
        less = f"{fitting / eager - 1:+.1%}"
        name = _NAMES[subject.generation]
        yield name, f"`{call.how}`", f"{eager:.4f}", f"{fitting:.4f}", less


def _share_rows(run: Run, subject: Subject) -> Iterator[Row]:
    found = share(subject, run.cache, run.outputs, processes=8)
    yield (
        _NAMES[subject.generation],
        str(found.processes),
        f"{found.nbytes / _MIB:.0f}",
        f"{found.share / _MIB:.0f}",
        f"{found.share / found.nbytes:.3f}",
        f"{found.growth / _MIB:.0f}",
    )


PARTS: Final = (
    Part(
        name="limit",
        headings=(
            "Keras",
            "weights",
            "limit MiB",
            "outcome",
            "samples",
            "most of the twin MiB",
            "most growth MiB",
        ),
        rows=_limit_rows,
    ),
    Part(
        name="time",
        headings=(
            "Keras",
            "call",
            "batch",
            "read s",
            "map s",
            "eager s",
            "lazy s",
            "lazy / (read + eager)",
            "lazy / (map + eager)",
        ),
        rows=_time_rows,
    ),
    Part(
        name="fitting",
        headings=("Keras", "call", "eager s", "lazy, fits s", "difference"),
        rows=_fitting_rows,
    ),
    Part(
        name="shares",
        headings=(
            "Keras",
            "processes",
            "one copy MiB",
            "shares together MiB",
            "of one copy",
            "other growth MiB",
        ),
        rows=_share_rows,
    ),
)


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says, and print or write the tables."""
    asked = _parse(arguments)
    try:
        check_byte_code()
        run = _prepared(asked)
        for part in PARTS:
            if part.name in asked.parts:
                table = f"{_machine(asked)}\n\n{part.table(run)}"
                sys.stdout.write(f"{table}\n\n")
                if asked.page:
                    part.markers.write(asked.page, table)
    except (BenchmarkError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _prepared(asked: argparse.Namespace) -> Run:
    subjects = [prepare(asked.size, generation, asked.work) for generation in asked.generations]
    cache, outputs = asked.work / "caches" / "lazy", Outputs()
    for subject in subjects:
        twin_of(subject, cache)
        take_down_stock(subject, cache, outputs, CALLS)
    return Run(
        subjects=subjects,
        budget=BUDGETS[asked.size],
        cache=cache,
        rounds=asked.rounds,
        outputs=outputs,
    )


def _machine(asked: argparse.Namespace) -> str:
    facts = describe(asked.work)
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lazy", description=__doc__)
    add = parser.add_argument
    names = [part.name for part in PARTS]
    add("--parts", nargs="+", choices=names, default=names, help="what to measure (all)")
    add("--size", choices=sorted(BUDGETS), default="large", help="of the network (large: 2 GiB)")
    add(
        "--generations",
        nargs="+",
        type=Generation,
        default=list(Generation)[::-1],
        help="which Keras",
    )
    add("--rounds", type=int, default=9, help="timed calls of each kind (9)")
    add("--work", type=Path, default=WORK, help="where models and twins are kept (7 GB)")
    add("--page", type=Path, default=None, help=f"a page, such as {Path('docs/lazy.md')}")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
