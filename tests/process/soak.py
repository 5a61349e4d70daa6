"""Processes that load, warm, prune and save over a rotating zoo, with faults.

`soak.py SECONDS PROCESSES` prints a line of JSON: what they did, what went wrong, and by how much
each process grew in the last three quarters of its time. With FASTLOAD_DISABLE=1, stock loads.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from growth import RESOURCES, resources
from stopped_loads import digest, left_over, loaders

import fastload
from tests.small_models import FORMS, Form, functional_model, sequential_model
from tests.tried import note

#: How many versions of each model are saved over each other.
VERSIONS = 4
#: Of a load that waits for a lock; a stuck one would have all others wait so long.
LOCK_S = 20.0
#: Of this many system calls of Python's that touch the cache, one fails.
ONE_OF = 40
ERRNOS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE, errno.ENOMEM)


def kinds_of(form: Form) -> list[str]:
    return ["model", "predictor", "objects"] if not form.suffix else ["model"]


def make_zoo(folder: Path) -> None:
    """Save the versions of each model, and what stock makes of each, by kind of load."""
    for form in FORMS:
        for number in range(VERSIONS):
            path = folder / f"{form.id}-{number}{form.suffix}"
            maker = functional_model if number % 2 else sequential_model
            maker(form.stock, seed=number).save(path)
            with fastload.disabled():
                told = {
                    kind: digest(loaders(form.package)[kind](path), may_run=True)
                    for kind in kinds_of(form)
                }
            path.with_suffix(".json").write_text(json.dumps(told))


class Worker:
    """A process that does one thing after the other.

    Args:
        folder: where the zoo is; the models that are loaded are copies in it.
        seed: of what it does.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.draw, self.counts = folder, random.Random(seed), Counter[str]()
        self.number = seed
        self.problems: list[str] = []
        self.growth: list[int] = []

    def model(self) -> tuple[Form, int, Path]:
        """Draw a model."""
        form, version = self.draw.choice(FORMS), self.draw.randrange(VERSIONS)
        return form, version, self.folder / f"{form.id}-{version}{form.suffix}"

    def load(self) -> None:
        """Load a model of the zoo, and compare with what stock made of it."""
        form, _, path = self.model()
        self._compare(form, path, path.with_suffix(".json"))

    def load_saved_over(self) -> None:
        """Load from a path of this process at which another model was until now."""
        form, _, path = self.model()
        mine = self.folder / f"mine-{self.number}-{form.id}{form.suffix}"
        shutil.rmtree(mine) if mine.is_dir() else mine.unlink(missing_ok=True)
        shutil.copytree(path, mine) if path.is_dir() else shutil.copy(path, mine)
        self._compare(form, mine, path.with_suffix(".json"))

    def _compare(self, form: Form, path: Path, told: Path) -> None:
        kind = self.draw.choice(kinds_of(form))
        load = loaders(form.package)[kind]
        found = digest(load(path), may_run=True)
        importlib.import_module(form.package).backend.clear_session()
        report = fastload.last_load()
        assert report is not None
        self.counts[report.outcome.value] += 1
        if report.code == "FL102":
            self.problems.append(f"a lock was not released: {report.reason}")
        if found != json.loads(told.read_text())[kind]:
            self.problems.append(f"{kind} of {path.name} is wrong ({report.outcome.value})")

    def warm(self) -> None:
        """Write twins."""
        form, _, path = self.model()
        fastload.warm(path, keras=form.package)

    def prune(self) -> None:
        """Remove twins, some by the command line, some by hand."""
        cache = Path(os.environ["FASTLOAD_CACHE_DIR"])
        if self.draw.random() < 0.2:
            command = [sys.executable, "-m", "fastload", "prune", "--max-size", "100KB"]
            subprocess.run(command, check=False, capture_output=True)
        for twin in cache.glob("*.h5"):
            if self.draw.random() < 0.3:
                twin.unlink(missing_ok=True)

    def with_faults(self, act: Callable[[], None]) -> None:
        """Do it while system calls on the cache fail at random."""
        import pytest

        from tests.api.faulty_calls import FaultyCalls

        class Random(FaultyCalls):
            def touch(calls, what: str, path: Any) -> None:  # noqa: N805
                if calls._is_inside(path) and self.draw.random() < 1 / ONE_OF:
                    self.counts["faults"] += 1
                    number = self.draw.choice(ERRNOS)
                    raise OSError(number, os.strerror(number), os.fspath(calls.root))

        with pytest.MonkeyPatch.context() as patch:
            Random(Path(os.environ["FASTLOAD_CACHE_DIR"])).install(patch)
            act()

    def run(self, until: float) -> None:
        """Go on until then."""
        start, before = time.monotonic(), [0, 0, 0]
        settled = start + (until - start) / 4
        while (now := time.monotonic()) < until:
            if now > settled:
                settled, before = until, resources()
            act = self.draw.choices(
                [self.load, self.load_saved_over, self.warm, self.prune], [10, 3, 2, 1]
            )[0]
            is_faulty = act.__name__ in ("load", "load_saved_over") and self.draw.random() < 0.3
            try:
                self.with_faults(act) if is_faulty else act()
                self.counts[act.__name__] += 1
            except fastload.errors.FastloadError as error:
                if act != self.warm:
                    self.problems.append(repr(error))
            except Exception:
                self.problems.append(traceback.format_exc()[-1500:])
        self.growth = [after - each for after, each in zip(resources(), before, strict=True)]
        self.problems += left_over()


def work(folder: str, seed: str, seconds: str) -> None:
    """Be one of the processes."""

    worker = Worker(Path(folder), int(seed))
    worker.run(time.monotonic() + float(seconds))
    told = {"counts": worker.counts, "problems": worker.problems, "growth": worker.growth}
    sys.stdout.write(json.dumps(told) + "\n")


def main(seconds: str, processes: str) -> int:
    """Run the processes; return how many things went wrong."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        environment = {
            **os.environ,
            "FASTLOAD_CACHE_DIR": str(folder / "cache"),
            "FASTLOAD_LOCK_TIMEOUT": str(LOCK_S),
        }
        (folder / "zoo").mkdir()
        make_zoo(folder / "zoo")
        started = [
            subprocess.Popen(
                [sys.executable, __file__, "work", str(folder / "zoo"), str(seed), seconds],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            for seed in range(int(processes))
        ]
        told = [process.communicate()[0] for process in started]
        counts, problems, growths = Counter[str](), [], []
        for process, line in zip(started, told, strict=True):
            if process.returncode or not line:
                problems.append(f"a process ended with {process.returncode}")
                continue
            found = json.loads(line.splitlines()[-1])
            counts += Counter(found["counts"])
            problems += found["problems"]
            growths.append(dict(zip(RESOURCES, found["growth"], strict=True)))
        command = [sys.executable, "-m", "fastload", "prune", "--max-size", "1GB"]
        subprocess.run(command, env=environment, check=False, capture_output=True)
        left = sorted(path.name for path in (folder / "cache").glob("*.partial"))
        problems += [f"left behind: {name}" for name in left]
    summary = {"seconds": float(seconds), "counts": counts, "problems": problems}
    sys.stdout.write(json.dumps({**summary, "growth": growths}) + "\n")
    _note(seconds, processes, counts, problems)
    return min(len(problems), 100)


def _note(seconds: str, processes: str, counts: Counter[str], problems: list[str]) -> None:
    wrong = sum("is wrong" in each for each in problems)
    note(
        "soak",
        counts["load"] + counts["load_saved_over"],
        wrong=wrong,
        failed=len(problems) - wrong,
        seconds=seconds,
        processes=processes,
        faults=counts["faults"],
    )


if __name__ == "__main__":
    if sys.argv[1] == "work":
        work(*sys.argv[2:])
    else:
        sys.exit(main(*sys.argv[1:]))
