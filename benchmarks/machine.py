"""What the figures were taken on: commit, date, processor, disk and versions."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

_DISTRIBUTIONS: Final = ("tensorflow", "tensorflow-cpu", "keras", "tf-keras", "h5py", "numpy")


def describe(work: Path) -> dict[str, str]:
    """Return the facts that a figure depends on, by name.

    Args:
        work: the folder that holds models and caches; its file system is named.
    """
    return {
        "commit": _commit(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "CPU": f"{_processor()}, {os.cpu_count()} cores",
        "disk": _file_system(work),
        "OS": platform.platform(terse=True),
        "Python": platform.python_version(),
        **_versions(),
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    here = Path(__file__).parent
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "no repository"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _file_system(folder: Path) -> str:
    """Type and device of the file system that *folder* is on, where the system tells."""
    mounts = Path("/proc/mounts")
    rows = [line.split() for line in mounts.read_text().splitlines()] if mounts.exists() else []
    above = [row for row in rows if folder.resolve().is_relative_to(row[1])]
    device, _, kind = max(above, key=lambda row: len(row[1]))[:3] if above else ("?", "", "?")
    return f"{kind} on {device}"


def _versions() -> dict[str, str]:
    found = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
