"""`python -m benchmarks.who_calls --page docs/who_calls.md`: packages that open models, served.

Each package is installed into a throw-away environment, with fastload's wheel beside. A program of
its users makes a model, and one opens it, in fresh processes: with stock and under `FASTLOAD=1`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import machine
from benchmarks.measure import WORK, BenchmarkError
from benchmarks.page import Markers, table
from benchmarks.who_programs import CALLERS, Caller

MARKERS: Final = Markers("who-calls", "benchmarks.who_calls")
HEADINGS: Final = ("package", "version", "what is called", "first loads", "then", "stock s", "s")
ROOT: Final = Path(__file__).resolve().parents[1]
#: A twin of a pickle is made when its bytes come again.
WARMING: Final = 3
_WITH: Final = ("tensorflow-cpu", "tf-keras", "setuptools<81")


class ProgramError(Exception):
    """A program failed, or a package does not install; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of one caller.

    Attributes:
        name, calls: of the caller.
        version: of the package; empty where it does not install.
        first: the outcomes of the first loads under `FASTLOAD=1`.
        then: the outcome of the later ones, with its reason.
        stock_s, seconds: medians of what the calls took.
        fault: why there are no figures.
    """

    name: str
    calls: str
    version: str = ""
    first: Sequence[str] = ()
    then: str = ""
    stock_s: float | None = None
    seconds: float | None = None
    fault: str = ""

    @property
    def cells(self) -> list[str]:
        """The row of the table."""
        start = [self.name, self.version, self.calls]
        if self.fault:
            return [*start, self.fault, "", "", ""]
        times = [f"{self.stock_s:.2f}", f"{self.seconds:.2f}"]
        return [*start, ", ".join(self.first), self.then, *times]


def environment(caller: Caller, folder: Path, wheel: Path) -> Path:
    """Return the Python of an environment with the package of *caller* and fastload's wheel.

    Raises:
        ProgramError: it does not install.
    """
    place = folder / f"env-{caller.package}"
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        _uv("venv", "--quiet", "--python", sys.executable, str(place))
        _uv(
            "pip",
            "install",
            "--quiet",
            "--python",
            str(python),
            *_WITH,
            *caller.beside,
            caller.package,
        )
    again = ("--reinstall-package", "tf-fastload", str(wheel))
    _uv("pip", "install", "--quiet", "--python", str(python), *again)
    return python


def _uv(*arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("uv")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProgramError(done.stderr.strip()[-500:])


def run(python: Path, caller: Caller, step: str, folder: Path, *, is_served: bool) -> Any:
    """Run one of the programs of *caller*, and return what its last line tells.

    Raises:
        ProgramError: it failed.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTLOAD")}
    for name in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):
        kept.pop(name, None)
    ours = {
        "FASTLOAD": "1" if is_served else "0",
        "FASTLOAD_CACHE_DIR": str(folder / "cache"),
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "DO_NOT_TRACK": "1",
    }
    command = [str(python), "-c", caller.program(step), str(folder)]
    done = subprocess.run(
        command, env=kept | ours, capture_output=True, text=True, check=False, cwd=folder
    )
    if done.returncode:
        raise ProgramError(done.stderr.strip().splitlines()[-1][:200])
    return json.loads(done.stdout.splitlines()[-1])


def measure(caller: Caller, environments: Path, wheel: Path, rounds: int) -> Row:
    """Return what comes of the programs of *caller*; stock and fastload take turns.

    Raises:
        BenchmarkError: fastload's results are not stock's.
    """
    told: dict[str, Any] = {"name": caller.name, "calls": caller.calls}
    try:
        python = environment(caller, environments, wheel)
    except ProgramError as error:
        return Row(**told, fault=f"does not install: {str(error).splitlines()[-1][:80]}")
    told["version"] = _version(python, caller.shown or caller.package)
    with tempfile.TemporaryDirectory(prefix="who-calls-") as place:
        folder = Path(place)
        try:
            run(python, caller, "make", folder, is_served=False)
            stock = [run(python, caller, "load", folder, is_served=False)]
        except ProgramError as error:
            return Row(**told, fault=f"fails in stock: {error}")
        ours = [run(python, caller, "load", folder, is_served=True) for _ in range(WARMING)]
        first = [str(each["outcome"] or "not seen") for each in ours]
        ours.clear()
        for _ in range(rounds):
            ours.append(run(python, caller, "load", folder, is_served=True))
            stock.append(run(python, caller, "load", folder, is_served=False))
    if {each["digest"] for each in ours} != {each["digest"] for each in stock}:
        raise BenchmarkError(f"{caller.name}: the results differ")
    return Row(
        **told,
        first=first,
        then=_told(ours[-1]),
        stock_s=median(each["seconds"] for each in stock[1:]),
        seconds=median(each["seconds"] for each in ours),
    )


def _told(report: Any) -> str:
    outcome = report["outcome"]
    if outcome is None:
        return "not seen"
    return outcome if outcome == "hit" else f"{outcome}: {report['reason']}"


def _version(python: Path, package: str) -> str:
    program = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.check_output([str(python), "-c", program], text=True).strip()


def _wheel(folder: Path) -> Path:
    _uv("build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT))
    return next(folder.glob("*.whl"))


def _chosen(patterns: str) -> Iterator[Caller]:
    for caller in CALLERS:
        if any(fnmatch(caller.name, each) for each in patterns.split(";")):
            yield caller


def keep(row: Row, file: Path) -> None:
    """Add *row* to those in *file*."""
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(row)) + "\n")


def kept(file: Path) -> list[Row]:
    """Return the last row of each caller, in the order of `CALLERS`."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    found = {row["name"]: Row(**row) for row in map(json.loads, lines)}
    return [found[caller.name] for caller in CALLERS if caller.name in found]


def main() -> None:
    """Measure and, where a page is given, write what was measured there until now."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", default="*", help="names, as patterns, apart by ;")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--envs", type=Path, default=WORK / "who_calls")
    parser.add_argument("--page", type=Path)
    parsed = parser.parse_args()
    parsed.envs.mkdir(parents=True, exist_ok=True)
    lines = parsed.envs / "rows.jsonl"
    with tempfile.TemporaryDirectory() as built:
        wheel = _wheel(Path(built))
        for caller in _chosen(parsed.callers):
            keep(measure(caller, parsed.envs, wheel, parsed.rounds), lines)
    figures = table(HEADINGS, [row.cells for row in kept(lines)])
    MARKERS.tell(machine.describe(parsed.envs), figures, parsed.page)


if __name__ == "__main__":
    main()
