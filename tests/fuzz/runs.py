"""Inputs, opened by stock and by fastload in processes of their own, and compared."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.targets import Target, made
from tests.fuzz.worker import OF_MEMORY

ROOT = Path(__file__).resolve().parents[2]
#: Stock itself never returns from some damaged files.
LONGEST_STOCK_S = 20.0
#: How much longer than stock fastload may take.
SLOWER, FLOOR_S = 10, 10.0
#: Both start anew after so many inputs: TensorFlow keeps some of each model.
INPUTS_OF_A_PROCESS = 400

Said = dict[str, Any]


class Worker:
    """A process that loads what it is told to, started anew when it died or hangs."""

    def __init__(self, whose: str) -> None:
        self.whose = whose
        self.inputs = 0
        self.residents: list[int] = []
        self._process: subprocess.Popen[str] | None = None

    def ask(self, job: dict[str, str], limit_s: float) -> Said:
        """Return what the process says; `{"died": signal}` or `{"hangs": limit}` if nothing."""
        if self._process is None or self.inputs >= INPUTS_OF_A_PROCESS:
            self.start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        self.inputs += 1
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return self._ended()
        if not select.select([process.stdout], [], [], limit_s)[0]:
            self.stop()
            return {"hangs": limit_s}
        line = process.stdout.readline()
        if not line:
            return self._ended()
        said: Said = json.loads(line)
        self.residents.append(said["resident"])
        return said

    def _ended(self) -> Said:
        assert self._process is not None
        status = self._process.wait()
        self.stop()
        return {"died": status}

    def start(self) -> None:
        """Start it, in the place of the one that is there."""
        self.stop()
        environment = {key: value for key, value in os.environ.items() if "FASTLOAD" not in key}
        environment |= {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_NUM_INTRAOP_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", self.whose],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.inputs, self.residents = 0, []

    @property
    def growth(self) -> float:
        """MiB for each 1,000 inputs, of the last process."""
        kept = self.residents[20:]
        return (kept[-1] - kept[0]) / 2**20 / len(kept) * 1000 if len(kept) > 50 else 0.0

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@dataclass(kw_only=True)
class Tally:
    """What came of a target.

    Attributes:
        target: its name.
        seconds: how long it ran.
        counts: inputs, by what came of them.
        found: seeds of inputs that fastload does not open as stock does.
        growth: of stock's process and of fastload's, in MiB for 1,000 inputs.
    """

    target: str
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    found: list[int] = field(default_factory=list)
    growth: dict[str, float] = field(default_factory=dict)

    def line(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        growth = {key: round(value) for key, value in self.growth.items()}
        return {
            "target": self.target,
            "seconds": round(self.seconds),
            **self.counts,
            "found": self.found,
            "growth": growth,
        }


Workers = tuple[Worker, Worker]


@contextmanager
def two_workers() -> Iterator[Workers]:
    """Start stock's process and fastload's; end them at the end of the block."""
    workers = Worker("stock"), Worker("fastload")
    for worker in workers:
        worker.start()
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stop()


def fuzz(
    target: Target, seconds: float, seeds: Iterable[int], found: Path, workers: Workers
) -> Tally:
    """Open inputs of *target* for some time.

    Args:
        target: what to fuzz.
        seconds: for how long.
        seeds: of the inputs.
        found: where inputs are kept that are not opened alike.
        workers: who opens them.
    """
    tally = Tally(target=target.name)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        models = _models(target, Path(folder), workers[0])
        start = time.monotonic()
        for seed in seeds:
            _open_one(_Input.of(target, models, seed, Path(folder)), workers, tally, found)
            tally.seconds = time.monotonic() - start
            if tally.seconds > seconds:
                break
    tally.growth = {worker.whose: worker.growth for worker in workers}
    return tally


def _models(target: Target, folder: Path, stock: Worker) -> list[Path]:
    """Have the models saved: this process imports no Keras."""
    place = folder / "models"
    place.mkdir()
    said = stock.ask({"save": target.name, "folder": str(place)}, 120)
    assert "outcomes" in said, said
    return sorted(place.iterdir())


@dataclass(frozen=True, kw_only=True)
class _Input:
    """One input, and its jobs."""

    target: Target
    source: Path
    folder: Path
    seed: int

    @classmethod
    def of(cls, target: Target, models: list[Path], seed: int, folder: Path) -> _Input:
        # Not by `seed % 2`, which says who loads it.
        source = models[seed // 2 % len(models)]
        return cls(target=target, source=source, folder=folder / f"input-{seed}", seed=seed)

    @property
    def path(self) -> Path:
        return self.folder / f"m{self.target.suffix}"

    @property
    def job(self) -> dict[str, str]:
        package = self.target.loader(self.seed)
        return {"path": str(self.path), "package": package, "cache": str(self.folder / "cache")}


def _open_one(given: _Input, workers: Workers, tally: Tally, found: Path) -> None:
    """Make an input, have it opened by both, and count what came of it."""
    given.folder.mkdir()
    try:
        if not _make(given, workers[1]):
            tally.counts["not made"] += 1
            return
        stock = workers[0].ask(given.job, LONGEST_STOCK_S)
        ours: Said = {}
        if "outcomes" in stock:
            took = stock["outcomes"][0]["seconds"]
            ours = workers[1].ask(given.job, 2 * (SLOWER * took + FLOOR_S))
        verdict = _verdict(given, stock, ours)
        if (
            verdict == "differs"
            and _same(stock, workers[0].ask(given.job, LONGEST_STOCK_S)) is False
        ):
            verdict = "stock differs from itself"
        tally.counts["inputs"] += 1
        tally.counts[verdict] += 1
        if verdict in {"differs", "crashes", "hangs"}:
            tally.found.append(given.seed)
            _keep(given, found, {"verdict": verdict, "stock": stock, "fastload": ours})
    finally:
        shutil.rmtree(given.folder, ignore_errors=True)


def _make(given: _Input, fastload: Worker) -> bool:
    """Make the input; say whether it could be made."""
    if not given.target.of_twin:
        try:
            made(given.target, given.source, given.path, given.seed)
        except Exception:  # what cannot be written is no input
            return False
        return True
    _copy(given.source, given.path)
    fastload.ask(given.job, 60)
    twins = sorted(Path(given.job["cache"]).glob("*.h5"))
    if twins:
        given.target.mutate(twins[0], random.Random(given.seed))
    return bool(twins)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def _verdict(given: _Input, stock: Said, ours: Said) -> str:
    """Say in a word or two what came of an input."""
    if "outcomes" not in stock:
        return "stock crashes" if "died" in stock else "stock hangs"
    if "outcomes" not in ours:
        return "crashes" if "died" in ours else "hangs"
    (expected,) = stock["outcomes"]
    verdicts = {_verdict_of_load(given, expected, each) for each in ours["outcomes"]}
    return "differs" if "differs" in verdicts else min(verdicts)


def _verdict_of_load(given: _Input, expected: Said, actual: Said) -> str:
    if any(each.get("raised", [""])[0] in OF_MEMORY for each in (expected, actual)):
        return "out of memory"
    if actual["report"][-1] == "migrated" and "raised" in expected:
        return "migrated"
    if given.target.of_twin and is_forged(given.seed) and "made" in expected:
        return "opened" if "made" in actual else "differs"
    if _result(expected) != _result(actual):
        return "differs"
    return "raised" if "raised" in expected else f"opened, {actual['report'][0]}"


def is_forged(seed: int) -> bool:
    """Say whether the digests of a changed twin fit: it is then another model's."""
    return random.Random(seed).randrange(4) >= 2


def _result(said: Said) -> Any:
    return {key: said.get(key) for key in ("made", "raised")}


def _same(stock: Said, again: Said) -> bool:
    if "outcomes" not in again:
        return False
    return bool(_result(stock["outcomes"][0]) == _result(again["outcomes"][0]))


def _keep(given: _Input, found: Path, said: Said) -> None:
    """Keep an input, and what was said of it, for whoever looks into it."""
    place = found / f"{given.target.name}-{given.seed}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    _copy(given.path, place / given.path.name)
    (place / "said.json").write_text(json.dumps(said, indent=1))
