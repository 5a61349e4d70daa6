"""A limit to the memory of a process: by a control group where there is one, or by a watchdog."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_INTERVAL_S: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGroup:
    """A memory control group within the one of this process.

    What its processes take is counted: memory of their own, and pages of files that they were the
    first to ask for. The system takes such pages away before it ends a process.

    Attributes:
        folder: where the system shows it.
        limit_names: the files with its limit; the second one has that of memory with swap.
        usage_name: the file with what is counted now.
    """

    folder: Path
    limit_names: tuple[str, str]
    usage_name: str

    #: What a page calls it.
    name = "control group"

    def add(self, process: subprocess.Popen[str]) -> None:
        """Count what *process* takes from now on."""
        (self.folder / "cgroup.procs").write_text(str(process.pid), encoding="ascii")

    def allow(self, nbytes: int) -> int:
        """Allow *nbytes* more than what is taken now; return the limit in bytes."""
        limit = int((self.folder / self.usage_name).read_text(encoding="ascii")) + nbytes
        memory, with_swap = (self.folder / name for name in self.limit_names)
        memory.write_text(str(limit), encoding="ascii")
        if with_swap.exists():
            with_swap.write_text(str(limit if "memsw" in with_swap.name else 0), encoding="ascii")
        return limit

    def close(self) -> None:
        """Remove the group; its processes have ended."""
        self.folder.rmdir()


class Watchdog:
    """Ends a process that has more in memory than it may; seen every few milliseconds.

    All pages in memory count, those of mapped files too.
    """

    name = "watchdog"

    def __init__(self) -> None:
        self._limit = 0

    def add(self, process: subprocess.Popen[str]) -> None:
        """Look after *process*."""
        self._process = process
        threading.Thread(target=self._look, name="watchdog", daemon=True).start()

    def allow(self, nbytes: int) -> int:
        """Allow *nbytes* more than what is taken now; return the limit in bytes."""
        self._limit = self._taken() + nbytes
        return self._limit

    def close(self) -> None:
        """Nothing is left: it ends with the process."""

    def _look(self) -> None:
        while True:
            try:
                self._process.wait(_INTERVAL_S)
            except subprocess.TimeoutExpired:
                if self._limit and self._taken() > self._limit:
                    self._process.kill()
            else:
                return

    def _taken(self) -> int:
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()
        except OSError:
            return 0
        return int(pages[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def memory_limit() -> Iterator[ControlGroup | Watchdog]:
    """Give what can limit one process: a control group if one can be made, or a watchdog."""
    limit = control_group() or Watchdog()
    try:
        yield limit
    finally:
        limit.close()


def control_group() -> ControlGroup | None:
    """Make a control group for memory, or return None where this process may not."""
    for folder, limit_names, usage_name in _places():
        made = folder / f"fastload-{os.getpid()}"
        try:
            made.mkdir()
        except OSError:
            continue
        if (made / limit_names[0]).exists():
            return ControlGroup(folder=made, limit_names=limit_names, usage_name=usage_name)
        made.rmdir()
    return None


def _places() -> Iterator[tuple[Path, tuple[str, str], str]]:
    """Give folders that may take a group, with the names of its files; the nearest first."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        relative = path.lstrip("/")
        if not controllers:  # version 2: a group with processes takes no groups with limits
            names = ("memory.max", "memory.swap.max")
            folder = _CGROUPS / relative
            for each in (folder, *folder.parents):
                if each.is_relative_to(_CGROUPS):
                    yield each, names, "memory.current"
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
            yield _CGROUPS / "memory" / relative, names, "memory.usage_in_bytes"
