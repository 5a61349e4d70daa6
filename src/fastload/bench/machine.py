"""What figures were taken on: processor, system and versions."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

_DISTRIBUTIONS: Final = (
    *("tensorflow", "tensorflow-cpu", "keras", "tf-keras", "jax", "torch", "h5py", "numpy"),
)


def describe() -> dict[str, str]:
    """Return the facts that a figure depends on, by name.

    Example:
        >>> "Python" in describe()
        True
    """
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "CPU": f"{_processor()}, {os.cpu_count()} cores",
        "OS": platform.platform(terse=True),
        "Python": platform.python_version(),
        **_versions(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
