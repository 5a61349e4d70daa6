"""How much more memory this process can take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_CGROUPS: Final = Path("/sys/fs/cgroup")


def available_bytes(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Return the available bytes of memory: of the host, or of this process's control group.

    The page cache counts as available: the system reclaims it when more is needed.

    Args:
        proc: where Linux mounts procfs.
        cgroups: where it mounts the control groups.

    Returns:
        The smallest of these; None on systems other than Linux.
    """
    return min(_available(proc, cgroups), default=None)


def _available(proc: Path, cgroups: Path) -> Iterator[int]:
    for line in _text(proc / "meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        relative = path.lstrip("/")
        if not controllers:  # version 2: one hierarchy for all
            yield from _available_in(cgroups / relative, "memory.max", "memory.current", "file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache")
            yield from _available_in(cgroups / "memory" / relative, *names)


def _available_in(group: Path, limit: str, usage: str, files: str) -> Iterator[int]:
    """Yield what is available in a control group and in its ancestors."""
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
