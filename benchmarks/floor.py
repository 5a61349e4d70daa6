"""`python -m benchmarks.floor --page docs/performance.md`: where the time of a predictor goes.

Each process loads a predictor and predicts twice, with a ledger of its own (`floor_process`). The
last row is the same process without one, from its start to its first prediction.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import floor_process as ledger
from benchmarks.cases import Case
from benchmarks.cold_measure import Cached, Prepared, prepared
from benchmarks.machine import describe
from benchmarks.measure import ROOT, WORK, BenchmarkError, check_byte_code
from benchmarks.page import Markers, table
from benchmarks.ways import NETWORKS, Network, networks

TIME: Final = Markers("floor-time", "benchmarks.floor")
MEMORY: Final = Markers("floor-memory", "benchmarks.floor")
#: In the order in which a process first comes to them; all but the last are summed up.
STAGES: Final = (
    ledger.START,
    ledger.NUMPY,
    ledger.LINKING,
    ledger.MODULES,
    ledger.OTHERS,
    ledger.STANDARD,
    ledger.RUNTIME,
    ledger.OURS,
    ledger.DETECT,
    ledger.IDENTIFY,
    ledger.TWIN,
    ledger.FUNCTION,
    ledger.REGISTER,
    ledger.BIND,
    ledger.REST,
    ledger.PROGRAM,
    ledger.FIRST,
)
_KINDS: Final = (
    ledger.TENSORFLOW_MEMORY,
    ledger.WRITTEN_MEMORY,
    ledger.LIBRARY_MEMORY,
    ledger.TWIN_MEMORY,
    ledger.OWN_MEMORY,
    ledger.PEAK,
)
_SUM: Final = "from start to first prediction"
_END: Final = "Python ends"
_PLAIN: Final = "from start to first prediction, without the ledger"
_PROGRAM: Final = """
from benchmarks.floor_process import main
main({started}, {what!r}, {path!r}, {shape})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What processes with one network took: medians, by what it was spent on.

    Attributes:
        network: its name.
        seconds: wall time.
        resident: bytes that came into memory.
        memory: bytes in memory at the end, by what they are.
    """

    network: str
    seconds: Mapping[str, float]
    resident: Mapping[str, float]
    memory: Mapping[str, float]


def floor_of(network: Network, rounds: int, work: Path) -> Floor:
    """Measure *rounds* processes of each kind, in turns.

    Raises:
        BenchmarkError: a process failed, or the network cannot be had.
    """
    plain, case = _predictor(network, work)
    timed: list[dict[str, float]] = []
    sized: list[dict[str, float]] = []
    memory: list[dict[str, float]] = []
    for _ in range(rounds):
        timed.append(_timed(plain, case))
        told = _ledger(plain, case, "bytes")[0]
        sized.append(told["rows"])
        memory.append(told["memory"])
    return Floor(
        network=network.name,
        seconds=_medians(timed),
        resident=_medians(sized),
        memory=_medians(memory),
    )


def _predictor(network: Network, work: Path) -> tuple[Prepared, Case]:
    """Return the way by a predictor, of a SavedModel where there is one."""
    case = network.cases[0]
    (way,) = prepared(
        network, work, lambda way: way.is_predictor and way.generation is case.generation
    )
    return way, case


def _timed(plain: Prepared, case: Case) -> dict[str, float]:
    """Return what one process with a ledger took, and one without."""
    told, ended_s = _ledger(plain, case, "seconds")
    rows: dict[str, float] = told["rows"]
    unknown = rows.keys() - {*STAGES, ledger.SECOND}
    if unknown:
        raise BenchmarkError(f"no stage of the page is called {sorted(unknown)}")
    return rows | {
        _SUM: sum(rows.get(stage, 0.0) for stage in STAGES),
        _PLAIN: plain.cost(Cached.EVERYTHING)[0].wall_s,
        _END: ended_s - told["done"],
    }


def _ledger(plain: Prepared, case: Case, what: str) -> tuple[dict[str, Any], float]:
    """Run a process with a ledger; return what it told, and when it had ended."""
    text = _PROGRAM.format(
        started=time.monotonic(), what=what, path=plain.command[-1], shape=case.input_shape
    )
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=ROOT,
        env=plain.variables,
        capture_output=True,
        text=True,
        check=False,
    )
    ended = time.monotonic()
    if done.returncode != 0:
        raise BenchmarkError(f"a measured process failed:\n{done.stderr.strip()[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told, ended


def _medians(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in found for name in each)
    return {name: statistics.median(each.get(name, 0.0) for each in found) for name in names}


def time_table(floors: Sequence[Floor]) -> str:
    """Return milliseconds by stage, in Markdown."""
    stages = (*STAGES, _SUM, _PLAIN, ledger.SECOND, _END)
    return _table("ms", stages, [(each.network, each.seconds) for each in floors], 1e3)


def memory_table(floors: Sequence[Floor]) -> str:
    """Return MiB by stage, and by what is in memory at the end, in Markdown."""
    by_stage = [(each.network, each.resident) for each in floors]
    by_kind = [(each.network, each.memory) for each in floors]
    tables = (
        _table("MiB that come into memory", STAGES, by_stage, 2**-20),
        _table("MiB in memory at the end", _KINDS, by_kind, 2**-20),
    )
    return "\n\n".join(tables)


def _table(
    heading: str,
    names: Sequence[str],
    found: Sequence[tuple[str, Mapping[str, float]]],
    factor: float,
) -> str:
    known = [name for name in names if any(name in figures for _, figures in found)]
    rows = ((name, *(f"{each.get(name, 0) * factor:.1f}" for _, each in found)) for name in known)
    return table((heading, *(network for network, _ in found)), rows)


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says, and print or write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__)
    add = parser.add_argument
    add("--models", nargs="+", default=("resnet50", "sleepecg"), help=f"of {', '.join(NETWORKS)}")
    add("--rounds", type=int, default=9, help="processes of each kind (9)")
    add("--work", type=Path, default=WORK, help="folder for models and twins")
    add("--page", type=Path, help="a page, such as docs/performance.md")
    asked = parser.parse_args(arguments)
    try:
        check_byte_code()
        header = ", ".join(f"{name} {value}" for name, value in describe(asked.work).items())
        floors = [floor_of(each, asked.rounds, asked.work) for each in networks(asked.models)]
        for markers, make in ((TIME, time_table), (MEMORY, memory_table)):
            text = f"Measured on: {header}.\n\n{make(floors)}"
            sys.stdout.write(f"{text}\n\n")
            if asked.page:
                markers.write(asked.page, text)
    except (BenchmarkError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
