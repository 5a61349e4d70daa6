"""`python -m benchmarks.light_import --rounds 9` times `import tensorflow`, stock and light.

Each import has a process of its own and the two take turns. Prints one JSON line and a row of a
Markdown table: TensorFlow, imports of each, median seconds of each, and how much less; then the
same for CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks.measure import ROOT, BenchmarkError, check_byte_code

_STOCK: Final = "stock"
_LIGHT: Final = "light"
#: The clock runs on while a thousand lists are made: a collection that the import put off counts.
_IMPORT: Final = """
import sys, time
start, start_cpu = time.perf_counter(), time.process_time()
if sys.argv[1] == "light":
    from fastload.imports import light_import
    light_import.add()
import tensorflow
kept = [[] for _ in range(1000)]
seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
modules, has_matplotlib = len(sys.modules), sys.modules.get("matplotlib") is not None
import json, resource
peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({
    "seconds": seconds,
    "cpu_seconds": cpu_seconds,
    "modules": modules,
    "peak_mib": peak_mib,
    "version": tensorflow.__version__,
    "has_matplotlib": has_matplotlib,
}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Medians over *rounds* imports of each kind; `less` is the share of wall time saved."""

    tensorflow: str
    has_matplotlib: bool
    rounds: int
    stock_s: float
    light_s: float
    less: float
    stock_cpu_s: float
    light_cpu_s: float
    less_cpu: float
    stock_modules: int
    light_modules: int
    stock_peak_mib: float
    light_peak_mib: float


def compare(rounds: int, *, without: Sequence[str] = ()) -> Comparison:
    """Time *rounds* imports of each kind, in turns.

    Args:
        rounds: how often.
        without: packages that shall seem not to be installed.

    Raises:
        BenchmarkError: an import failed, or a package is not compiled to byte code.
    """
    check_byte_code()
    # Not counted: the first reads from disk.
    for kind in (_STOCK, _LIGHT):
        _measure(kind, without)
    runs = [(_measure(_STOCK, without), _measure(_LIGHT, without)) for _ in range(rounds)]

    def median(kind: int, field: str) -> float:
        return statistics.median(float(run[kind][field]) for run in runs)

    return Comparison(
        tensorflow=str(runs[0][0]["version"]),
        has_matplotlib=bool(runs[0][0]["has_matplotlib"]),
        rounds=rounds,
        stock_s=round(median(0, "seconds"), 3),
        light_s=round(median(1, "seconds"), 3),
        less=round(1 - median(1, "seconds") / median(0, "seconds"), 3),
        stock_cpu_s=round(median(0, "cpu_seconds"), 3),
        light_cpu_s=round(median(1, "cpu_seconds"), 3),
        less_cpu=round(1 - median(1, "cpu_seconds") / median(0, "cpu_seconds"), 3),
        stock_modules=int(median(0, "modules")),
        light_modules=int(median(1, "modules")),
        stock_peak_mib=round(median(0, "peak_mib")),
        light_peak_mib=round(median(1, "peak_mib")),
    )


def row(found: Comparison) -> str:
    """Return *found* as a row of a Markdown table."""
    cells = [
        f"{found.tensorflow}{'' if found.has_matplotlib else ', no matplotlib'}",
        str(found.rounds),
        f"{found.stock_s:.2f}",
        f"{found.light_s:.2f}",
        f"{found.less:.0%}",
        f"{found.stock_cpu_s:.2f}",
        f"{found.light_cpu_s:.2f}",
        f"{found.less_cpu:.0%}",
    ]
    return f"| {' | '.join(cells)} |"


def _measure(kind: str, without: Sequence[str]) -> dict[str, float | str | bool]:
    hidden = f"import sys; sys.modules.update(dict.fromkeys({list(without)!r}))\n"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FASTLOAD") and name != "PYTHONDONTWRITEBYTECODE"
    }
    environment |= {
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(ROOT / "src"),
    }
    done = subprocess.run(
        [sys.executable, "-c", hidden + _IMPORT, kind],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(f"the {kind} import failed:\n{done.stderr.strip()[-2000:]}")
    measured: dict[str, float | str | bool] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.light_import", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="imports of each kind (7)")
    parser.add_argument(
        "--without", nargs="*", default=(), help="packages that shall seem not installed"
    )
    asked = parser.parse_args(arguments)
    try:
        found = compare(asked.rounds, without=asked.without)
    except BenchmarkError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{json.dumps(asdict(found))}\n{row(found)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
