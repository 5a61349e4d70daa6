"""What the figures were taken on: commit, date, processor, disk and versions."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from fastload.bench import machine

_ROOT: Final = Path(__file__).resolve().parent.parent
_MEASURED: Final = ("src", "benchmarks/*.py", "pyproject.toml")


def describe(work: Path) -> dict[str, str]:
    """Return the facts that a figure depends on, by name.

    Args:
        work: the folder that holds models and caches; its file system is named.
    """
    found = machine.describe()
    before = {"commit": _commit(), "date": found.pop("date"), "CPU": found.pop("CPU")}
    return {**before, "disk": _file_system(work), **found}


def _commit() -> str:
    """Return the commit, marked where what is measured is of none.

    Pages and raw figures are written meanwhile, and are no part of it.
    """
    commit = _git("rev-parse", "--short=10", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", *_MEASURED)
    return f"{commit}-dirty" if changed else commit or "no repository"


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _file_system(folder: Path) -> str:
    """Type and device of the file system that *folder* is on, where the system tells."""
    mounts = Path("/proc/mounts")
    rows = [line.split() for line in mounts.read_text().splitlines()] if mounts.exists() else []
    above = [row for row in rows if folder.resolve().is_relative_to(row[1])]
    device, _, kind = max(above, key=lambda row: len(row[1]))[:3] if above else ("?", "", "?")
    return f"{kind} on {device}"
