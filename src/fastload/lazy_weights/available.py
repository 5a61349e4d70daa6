"""How much memory this process could still take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_CGROUPS: Final = Path("/sys/fs/cgroup")


def available_bytes(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Return the bytes of memory that are left: of the host, and of this process's control group.

    Memory that holds nothing but pages of files counts as left: the system gives it up when it is
    asked for more.

    Args:
        proc: where Linux tells of the host.
        cgroups: where it tells of control groups.

    Returns:
        The smallest of what is left; None where the system does not say (not Linux).
    """
    return min(_left(proc, cgroups), default=None)


def _left(proc: Path, cgroups: Path) -> Iterator[int]:
    for line in _text(proc / "meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        relative = path.lstrip("/")
        if not controllers:  # version 2: one hierarchy for all
            yield from _left_in(cgroups / relative, "memory.max", "memory.current", "file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache")
            yield from _left_in(cgroups / "memory" / relative, *names)


def _left_in(group: Path, limit: str, usage: str, files: str) -> Iterator[int]:
    """Give what is left in a control group and in those around it."""
    for folder in (group, *group.parents):
        allowed, used = _text(folder / limit).strip(), _text(folder / usage).strip()
        if allowed.isdigit() and used.isdigit():
            yield max(0, int(allowed) - int(used) + _statistic(folder, files))


def _statistic(folder: Path, name: str) -> int:
    rows = (line.split() for line in _text(folder / "memory.stat").splitlines())
    return next((int(row[1]) for row in rows if row[0] == name), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
