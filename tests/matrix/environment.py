"""The environment of one cell: made, compared, timed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from uv import find_uv_bin

from noxfile import interpreter
from tests.matrix.cells import Cell

ROOT: Final = Path(__file__).resolve().parents[2]
_PYTEST: Final = ("-m", "pytest", "-q", "-n", "2", "--dist", "loadfile")
#: The tests of a cell, as arguments.
_TESTS: Final = (
    *("-m", "smoke or not zoo"),
    "tests/contract/test_zoo.py",
    "tests/runtime/test_mapped_weights.py",
    "tests/runtime/test_requirements.py",
)
#: Tests of the cells that are timed.
_MORE_TESTS: Final = (
    *("tests/keras2to3", "tests/lazy_weights"),
    *("tests/runtime/test_blank_variables.py", "tests/runtime/test_state_walk.py"),
)
#: What `make test` runs, but for the contract.
_WHOLE: Final = ("--ignore", "tests/contract")
_AT_LAST: Final = ("-m", "slow", "tests/process/test_remembered.py")
_QUIET: Final = {
    "UV_PYTHON_DOWNLOADS": "never",
    "CUDA_VISIBLE_DEVICES": "",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An environment for a cell.

    Attributes:
        folder: where it is.
        cell: what is in it.
    """

    folder: Path
    cell: Cell

    @property
    def record(self) -> Path:
        """What is found in it."""
        return self.folder / "record.json"

    @property
    def _place(self) -> str:
        return str(self.folder / "env")

    @property
    def _python(self) -> str:
        return str(self.folder / "env" / "bin" / "python")

    def make(self) -> None:
        """Install what the cell says, fastload as it is here, and what tests need.

        Raises:
            CalledProcessError: a package cannot be had.
        """
        uv, cell = find_uv_bin(), self.cell
        _run([uv, "venv", "--quiet", "--python", interpreter(cell.python), self._place])
        install = [uv, "pip", "install", "--quiet", "--python", self._python]
        early = ["--prerelease", "allow"] if cell.is_newest else []
        _run([*install, *early, *cell.packages, "--group", "test", "-e", str(ROOT)])
        if cell.alone:
            _run([*install, "--no-deps", *cell.alone])
        _run([self._python, "-m", "compileall", "-q", "-j", "2", self._place], check=False)

    def compare(self, *, in_full: bool, whole: bool) -> bool:
        """Run the tests that compare with stock; say if all passed.

        Args:
            in_full: also those of what differs most.
            whole: also all others that have no mark.
        """
        record = {"FASTLOAD_CONTRACT_RECORD": str(self.record)}
        more = (_WHOLE,) if whole else (_MORE_TESTS, _AT_LAST) if in_full else ()
        commands = [[self._python, *_PYTEST, *each] for each in (_TESTS, *more)]
        codes = [_run(each, record, check=False) for each in commands]
        return not any(codes)

    def measure(self, rounds: int) -> None:
        """Add to the record how many times faster loads are."""
        command = [self._python, "-m", "tests.matrix.times", str(self.record), str(rounds)]
        _run(command, check=False)


def _run(
    command: Sequence[str], more: Mapping[str, str] | None = None, *, check: bool = True
) -> int:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, **_QUIET, **(more or {})}
    return subprocess.run(command, cwd=ROOT, env=environment, check=check).returncode
