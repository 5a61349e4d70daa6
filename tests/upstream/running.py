"""Run a suite with the stock loaders and with fastload, each file in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.upstream.outcomes import Results, read_records, shown
from tests.upstream.recorder import RECORD
from tests.upstream.suites import Suite

ROOT: Final = Path(__file__).resolve().parents[2]
_FILE_TIMEOUT_S: Final = 1800
_STOCK: Final = "stock"
_logger: Final = logging.getLogger("upstream")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """What fastload's own statistics say of a run.

    Attributes:
        hits, misses, bypasses: how many loads ended so.
        reasons: bypasses by reason.
    """

    hits: int
    misses: int
    bypasses: int
    reasons: Mapping[str, int]

    @property
    def total(self) -> int:
        """All loads that fastload saw."""
        return self.hits + self.misses + self.bypasses


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a suite did, loaded by stock twice and by fastload twice.

    Attributes:
        suite: which.
        stock, again: the stock runs; tests in which they differ are unstable.
        cold, warm: the runs under fastload, on an empty cache and on what that left.
        loads: the loads of each run, by its name.
    """

    suite: Suite
    stock: Results
    again: Results
    cold: Results
    warm: Results
    loads: Mapping[str, Loads]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs the files of one suite.

    Attributes:
        suite: which.
        files: its files.
        work: a folder for records, logs and the cache.
        jobs: how many files run at once.
        tests: which of their tests, in the words of pytest's `-k`; empty for all.
    """

    suite: Suite
    files: Sequence[Path]
    work: Path
    jobs: int
    tests: str = ""

    def report(self) -> Report:
        """Run everything: stock twice, then fastload on an empty cache, then on a warm one."""
        results = {name: self._run(name) for name in ("stock", "again")}
        loads = {_STOCK: self._loads(_STOCK)}
        for name in ("cold", "warm"):
            results[name] = self._run(name, {"FASTLOAD": "1"})
            loads[name] = self._loads("fastload")
        return Report(suite=self.suite, loads=loads, **results)

    def _run(self, name: str, extra: Mapping[str, str] | None = None) -> Results:
        folder = self.work / self.suite.name / name
        folder.mkdir(parents=True)
        environment = self._environment("fastload" if extra else _STOCK) | dict(extra or {})
        with ThreadPoolExecutor(self.jobs) as pool:
            records = list(
                pool.map(lambda path: self._run_file(path, folder, environment), self.files)
            )
        results = read_records(records)
        _logger.info("%s, %s: %s", self.suite.name, name, shown(results))
        return results

    def _run_file(self, path: Path, folder: Path, environment: Mapping[str, str]) -> Path:
        """Run the tests in *path*, and return their record; a log is left beside it."""
        record = folder / f"{_label(path)}.jsonl"
        with (folder / f"{_label(path)}.log").open("w") as log:
            try:
                subprocess.run(
                    [*pytest_command(path, folder), "-k", self.tests],
                    env={**environment, RECORD: str(record)},
                    cwd=folder,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=_FILE_TIMEOUT_S,
                    check=False,  # the record says which tests failed
                )
            except subprocess.TimeoutExpired:
                _logger.warning("%s was stopped after %d s", path, _FILE_TIMEOUT_S)
        return record

    def _environment(self, cache: str) -> dict[str, str]:
        kept = {name: v for name, v in os.environ.items() if not name.startswith("FASTLOAD")}
        path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH", "")]))
        folder = str(self.work / self.suite.name / f"cache-{cache}")
        return {
            **kept,
            **self.suite.environment,
            "FASTLOAD_CACHE_DIR": folder,
            "PYTHONPATH": path,
        }

    def _loads(self, cache: str) -> Loads:
        """Return the loads since the last call."""
        command = [sys.executable, "-m", "fastload", "stats", "--json", "--zero"]
        environment = self._environment(cache)
        done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
        return _loads_of(json.loads(done.stdout))


def _loads_of(document: Mapping[str, Any]) -> Loads:
    return Loads(
        hits=document["hits"],
        misses=document["misses"],
        bypasses=document["bypasses"],
        reasons=document["reasons"],
    )


def pytest_command(path: Path, folder: Path) -> list[str]:
    """Return the command that runs *path* as its project would: none of our settings hold."""
    settings = folder / f"{_label(path)}.ini"
    # No pattern: pytest itself would import what matches it, past the import hooks of others.
    settings.write_text(f"[pytest]\npython_files = {path.name}\n")
    options = [
        "--import-mode=importlib",
        f"--rootdir={_root_of(path)}",
        f"--config-file={settings}",
    ]
    plugins = ["-p", "no:cacheprovider", "-p", "tests.upstream.recorder"]
    return [sys.executable, "-m", "pytest", "-q", *options, *plugins, str(path)]


def _label(path: Path) -> str:
    return "-".join(path.with_suffix("").parts[-3:])


def _root_of(path: Path) -> Path:
    """Return the folder that the names of tests are relative to."""
    packages = [folder for folder in path.parents if (folder / "__init__.py").exists()]
    return (packages[-1] if packages else path).parent
