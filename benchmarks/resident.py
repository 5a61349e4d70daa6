"""What another process has in memory, as Linux tells it in /proc: of one file, and in all."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
#: Between two looks; the process that is looked at runs for so long.
INTERVAL_S: Final = 0.005
#: The line that a mapping begins with: addresses, rights, offset, device, inode, path.
_HEAD: Final = re.compile(rb"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """Bytes of a process that are in memory.

    Attributes:
        of_file: of the mappings of one file.
        in_all: of all mappings.
        share: proportional share of the mappings of that file: each page is divided by the number
            of processes that map it.
    """

    of_file: int
    in_all: int
    share: int


def has_pagemap() -> bool:
    """Say whether this system tells what is in memory, mapping by mapping."""
    return (_PROC / "self" / "smaps").exists()


def resident(pid: int, file: Path) -> Resident:
    """Look at process *pid*, which stands still meanwhile: the system reads mapping after mapping.

    Args:
        pid: a process of this user.
        file: the file whose mappings are told apart.

    Raises:
        OSError: there is no such process any more.
    """
    with _stopped(pid):
        text = (_PROC / str(pid) / "smaps").read_bytes()
    return parse(text, file)


def parse(text: bytes, file: Path) -> Resident:
    r"""Add up what an `smaps` says.

    Args:
        text: its content.
        file: the file whose mappings are told apart.

    Example:
        >>> head = b"7f00-7f10 rw-p 0000 00:01 7      "
        >>> text = head + b"/a/b" + b"\nRss: 8 kB\nPss: 4 kB\n" + head + b"\nRss: 1 kB\n"
        >>> parse(text, Path("/a/b"))
        Resident(of_file=8192, in_all=9216, share=4096)
    """
    wanted, is_wanted = os.fsencode(file), False
    of_file = in_all = share = 0
    for line in text.splitlines():
        if line.startswith(b"Rss:"):
            nbytes = int(line.split()[1]) * 1024
            in_all += nbytes
            of_file += nbytes * is_wanted
        elif line.startswith(b"Pss:"):
            share += int(line.split()[1]) * 1024 * is_wanted
        elif head := _HEAD.match(line):
            is_wanted = head[1] == wanted
    return Resident(of_file=of_file, in_all=in_all, share=share)


class Watch:
    """Looks at a process again and again, and keeps the maxima.

    Args:
        pid: the process.
        file: the file whose mappings are told apart.

    Attributes:
        looks: how often.
        of_file: the most bytes of *file* that were in memory.
        in_all: the most bytes of all mappings.
    """

    def __init__(self, pid: int, file: Path) -> None:
        self.looks = self.of_file = self.in_all = 0
        self._pid, self._file = pid, file
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look while this context lasts."""
        self._thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(INTERVAL_S):
            try:
                found = resident(self._pid, self._file)
            except OSError:
                return
            self.looks += 1
            self.of_file = max(self.of_file, found.of_file)
            self.in_all = max(self.in_all, found.in_all)


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """Have a process stand still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        while _state(pid) not in "TtZX":
            os.sched_yield()
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _state(pid: int) -> str:
    """Return the letter for what all threads of a process do: those that run are seen first."""
    states = set()
    for stat in (_PROC / str(pid) / "task").glob("*/stat"):
        try:
            states.add(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0])
        except OSError:  # the thread has ended
            continue
    return next((state for state in "RDS" if state in states), "T")
