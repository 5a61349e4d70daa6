"""Whole processes from their start to a first prediction: what each takes, in turns."""

from __future__ import annotations

import functools
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from benchmarks.cases import Case, Generation
from benchmarks.converted import runtimes_python, write_converted
from benchmarks.measure import ROOT, BenchmarkError, environment, write_missing
from benchmarks.page_cache import cached_share, files_of, forget
from benchmarks.ways import Network, Way, ways_of

#: Of the largest value of a prediction, for ways that compute it in another order.
TOLERANCE: Final = 1e-4


class Cached(str, Enum):
    """What the page cache has when a process starts."""

    EVERYTHING = "everything"
    NO_MODEL = "no model"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a process took.

    Attributes:
        network: what it predicted with.
        way: the name of the way to the prediction.
        cached: value of `Cached`.
        wall_s: seconds from its start to its end, which follows the prediction at once.
        cpu_s: seconds of all its threads, in the system too.
        peak_mib: most memory at once, in MiB; pages of mapped files count.
    """

    network: str
    way: str
    cached: str
    wall_s: float
    cpu_s: float
    peak_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A way that can be measured.

    Attributes:
        network: what it predicts with.
        way: the way.
        command: starts the process.
        variables: its environment.
        reads: the files of the model, converted or in fastload's folder.
        installed: the files of its packages and Python's own, which it reads too.
    """

    network: str
    way: Way
    command: Sequence[str]
    variables: Mapping[str, str]
    reads: Sequence[Path]
    installed: Sequence[Path]

    def cost(self, cached: Cached) -> tuple[Cost, bytes]:
        """Run it once.

        Returns:
            What it took, and its prediction: float32 values.

        Raises:
            BenchmarkError: it failed.
        """
        if cached is not Cached.EVERYTHING:
            forget(self.reads)
        if cached is Cached.NOTHING:
            forget(self.installed)
        wall_s, usage, told = _run(self.command, self.variables)
        peak_kib, _, output = told.partition(b"\n")
        cost = Cost(
            network=self.network,
            way=self.way.name,
            cached=cached.value,
            wall_s=wall_s,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_mib=int(peak_kib) / 2**10,
        )
        return cost, output


def prepared(network: Network, work: Path, wanted: Callable[[Way], bool]) -> list[Prepared]:
    """Make all that the ways of *network* need, and see that all predict the same.

    Args:
        network: what is predicted with.
        work: the folder for models, twins and environments.
        wanted: says which ways are.

    Raises:
        BenchmarkError: something cannot be made, or two ways predict something else.
    """
    for case in network.cases:
        write_missing(case, work)
    cache = work / "caches" / f"cold-{network.name}"
    # A twin of an older build would be measured otherwise.
    shutil.rmtree(cache, ignore_errors=True)
    found = [each for each in ways_of(network) if wanted(each[0])]
    for case in {case.name: case for way, case in found if way.is_converted}.values():
        write_converted(case, work)
    ways = [_prepared(network, way, case, work) for way, case in found]
    outputs = []
    for each in ways:
        if each.way.is_ours:
            _warm(each)
        outputs.append((each.way, each.cost(Cached.EVERYTHING)[1]))
    check_outputs(network.name, outputs)
    return [each for each in ways if each.way.counts]


def measure(ways: Sequence[Prepared], cached: Cached, rounds: int) -> Iterator[Cost]:
    """Yield what the processes of all *ways* take, one of each in a round.

    Raises:
        BenchmarkError: one failed, or predicted something else than before.
    """
    expected: dict[str, bytes] = {}
    for _ in range(rounds):
        for each in ways:
            cost, output = each.cost(cached)
            if difference(output, expected.setdefault(each.way.name, output)) > TOLERANCE:
                raise BenchmarkError(f"{each.network}: {each.way.name} predicted something else")
            yield cost


def stays_cached(way: Prepared) -> float:
    """Have the page cache forget all that *way* reads; return which share of it stays."""
    read = [*way.reads, *way.installed]
    forget(read)
    return cached_share(read)


def check_outputs(network: str, outputs: Sequence[tuple[Way, bytes]]) -> None:
    """Compare predictions: of one function to the bit, and of one network within `TOLERANCE`.

    Raises:
        BenchmarkError: two differ.
    """
    of_function: dict[str, bytes] = {}
    of_network: dict[Generation, bytes] = {}
    for way, output in outputs:
        if of_function.setdefault(way.computes, output) != output:
            raise BenchmarkError(f"{network}: {way.name} predicted other bytes than {way.computes}")
        far = difference(output, of_network.setdefault(way.generation, output))
        if far > TOLERANCE:
            raise BenchmarkError(f"{network}: {way.name} is off by {far:.1e} of the largest value")


def difference(one: bytes, other: bytes) -> float:
    """Return the largest difference between float32 values, as a share of the largest of them.

    Example:
        >>> round(difference(array("f", [1, 4]).tobytes(), array("f", [1, 5]).tobytes()), 2)
        0.2
    """
    if one == other:
        return 0.0
    first, second = array("f", one), array("f", other)
    if len(first) != len(second):
        return float("inf")
    largest = max(map(abs, (*first, *second)))
    return max(abs(a - b) for a, b in zip(first, second, strict=True)) / largest


def _prepared(network: Network, way: Way, case: Case, work: Path) -> Prepared:
    cache = work / "caches" / f"cold-{network.name}"
    file = way.file(case, work)
    legacy = {"TF_USE_LEGACY_KERAS": str(int(way.generation is Generation.KERAS2))}
    variables = environment(cache) | legacy | {"FASTLOAD_STRICT": "1"}
    python, folders = Path(sys.executable), _installed()
    if way.is_converted:
        python = runtimes_python(work)
        variables.pop("PYTHONPATH", None)
        folders = (folders[0], *python.parents[1].glob("lib/*/site-packages"))
    return Prepared(
        network=network.name,
        way=way,
        command=[str(python), "-c", way.text(case), str(file)],
        variables=variables,
        reads=[file, cache] if way.is_ours else [file],
        installed=_files(folders),
    )


def _warm(way: Prepared) -> None:
    """Have all in the cache that a load uses."""
    _run([way.command[0], "-m", "fastload", "warm", way.command[-1]], way.variables)


def _installed() -> tuple[Path, ...]:
    """Return the folders that this Python's own modules, and all packages, are in."""
    names = ("stdlib", "purelib", "platlib")
    return (*dict.fromkeys(Path(sysconfig.get_path(name)) for name in names), ROOT / "src")


@functools.cache
def _files(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the files in *folders*, but for packages of another environment."""
    foreign = Path(sysconfig.get_path("stdlib"), "site-packages")
    is_foreign = foreign not in folders
    found = files_of(folders)
    return tuple(each for each in found if not (is_foreign and foreign in each.parents))


def _run(
    command: Sequence[str], variables: Mapping[str, str]
) -> tuple[float, resource.struct_rusage, bytes]:
    """Run a process; return its wall seconds, what it took, and its standard output."""
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        with subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=errors
        ) as process:
            assert process.stdout is not None  # noqa: S101 - it was started with one
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()[-2000:]
            raise BenchmarkError(f"a measured process failed:\n{said}")
    return wall_s, usage, output
