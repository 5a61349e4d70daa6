"""One fresh process for each figure, loaders interleaved, figures of unequal outputs refused."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from typing import Final

from benchmarks.cases import HIT, MISS, Case
from benchmarks.networks import model_path
from benchmarks.runner import Job, Measurement
from fastload.bench import processes
from fastload.errors import MeasurementError

ROOT: Final = Path(__file__).resolve().parent.parent
WORK: Final = ROOT / "benchmarks" / ".work"
#: A figure cannot be taken, or must not be counted.
BenchmarkError = MeasurementError
#: What a process imports before the clock of a load starts; each must be compiled to byte code.
_COMPILED: Final = ("tensorflow", "keras", "tf_keras", "numpy", "fastload")


def measure(cases: Sequence[Case], rounds: int, work: Path = WORK) -> Iterator[Measurement]:
    """Yield *rounds* measurements of each loader of each case, as they are taken.

    Within a round the loaders of a case take turns, so that a busier machine slows all of them.

    Args:
        cases: what to measure.
        rounds: how often.
        work: the folder that keeps models and caches between runs.

    Raises:
        BenchmarkError: a load failed, or two loaders of a case predicted different bytes.
    """
    check_byte_code()
    for case in cases:
        prepare(case, work)
    expected: dict[str, str] = {}
    for _ in range(rounds):
        for case in cases:
            for loader in case.loaders:
                measurement = measure_once(case, loader, work)
                check_output(measurement, expected)
                yield measurement


def prepare(case: Case, work: Path) -> None:
    """Write the models of *case* where they are missing, and a new twin for its hits."""
    write_missing(case, work)
    # A twin of an older build would be measured otherwise.
    shutil.rmtree(_hit_cache(case, work), ignore_errors=True)
    measure_once(case, HIT, work)


def write_missing(case: Case, work: Path) -> None:
    """Write, or fetch, the models of *case* where they are missing.

    Raises:
        BenchmarkError: they cannot be had.
    """
    if not all(model_path(case, loader, work).exists() for loader in case.loaders):
        run_module("benchmarks.networks", [case.name, str(work)], os.environ)


def measure_once(case: Case, loader: str, work: Path) -> Measurement:
    """Measure one load by *loader* in a fresh process; a miss gets a cache folder of its own."""
    if loader != MISS:
        return _measure(case, loader, work, _hit_cache(case, work))
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work, prefix="miss-") as cache:
        return _measure(case, loader, work, Path(cache) / "cache")


def check_output(measurement: Measurement, expected: dict[str, str]) -> None:
    """Compare a prediction with the first of its case, kept in *expected*.

    Raises:
        BenchmarkError: the bytes differ.
    """
    digest = expected.setdefault(measurement.case, measurement.digest)
    if digest != measurement.digest:
        raise BenchmarkError(
            f"{measurement.case}: {measurement.loader} predicted other bytes than those "
            f"before it ({measurement.digest[:12]}, not {digest[:12]}); its figures do not count"
        )


def check_byte_code() -> None:
    """Refuse to measure packages that Python would compile anew in each process.

    Raises:
        BenchmarkError: a package is not compiled; the message says how to.
    """
    sources = (spec.origin for name in _COMPILED if (spec := find_spec(name)) and spec.origin)
    for source in sources:
        # A checkout compiles as it is first imported; installed packages may be read-only.
        if (
            not source.startswith(str(ROOT / "src"))
            and not Path(cache_from_source(source)).exists()
        ):
            raise BenchmarkError(
                f"{source} is not compiled to byte code, which triples the time of an import. "
                f"Run: python -m compileall -q {Path(source).parent}"
            )


def _hit_cache(case: Case, work: Path) -> Path:
    return work / "caches" / case.name


def _measure(case: Case, loader: str, work: Path, cache: Path) -> Measurement:
    job = Job(
        case=case.name,
        loader=loader,
        path=str(model_path(case, loader, work)),
        generation=case.generation.value,
        input_shape=case.input_shape,
        compile=case.compile,
        function=case.function.value,
        started=time.time(),
    )
    line = run_module("benchmarks.runner", [json.dumps(asdict(job))], environment(cache))
    return Measurement(**json.loads(line))


def environment(cache: Path) -> dict[str, str]:
    """Return the caller's environment without what would change a figure."""
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return processes.environment(cache, kept=()) | quiet


def run_module(module: str, arguments: Sequence[str], variables: Mapping[str, str]) -> str:
    """Run *module* in a fresh interpreter and return its standard output.

    Raises:
        BenchmarkError: it failed.
    """
    return processes.run_module(module, arguments, variables, ROOT).output
