"""Telling a standstill: every weight that is lent waits for room, and none is in use.

Nothing says what a kernel is about to read, so it is measured: the pages of what is lent are
dropped, and are watched for a moment. Where the process computes, or waits for a core or the disk,
many moments have to pass.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fastload.lazy_weights.places import Place

#: How long pages are watched for use.
MOMENT_S: Final = 0.02
#: Where nothing was returned for so long, nothing will be.
PATIENCE_S: Final = 30.0
#: Where the process is busy, a kernel may take so many moments to get to its weight.
_QUIET_MOMENTS: Final = 50
#: A borrower that waited for so long is no longer early.
_WORN_S: Final = 1.0
_IDLE: Final = 0.1
#: One folder per thread; see proc(5).
_TASKS: Final = Path("/proc/self/task")
_AT_WORK: Final = frozenset("RD")


class Moment:
    """The start of a short time in which pages are watched.

    Attributes:
        returns: how many loans had ended by then.
    """

    def __init__(self, returns: int) -> None:
        self.returns = returns
        self._time, self._cpu = time.monotonic(), time.process_time()

    @property
    def is_idle(self) -> bool:
        """Whether this process has hardly computed since, and no thread of it waits to run."""
        worked = time.process_time() - self._cpu
        return worked < _IDLE * (time.monotonic() - self._time) and not is_at_work()


class Patience:
    """How long a borrower has waited for room.

    Args:
        returns: how many loans had ended when it began to wait.
    """

    def __init__(self, returns: int) -> None:
        self._returns, self._since, self._quiet = returns, time.monotonic(), 0
        self._began = self._since

    @property
    def is_worn(self) -> bool:
        """Whether it has waited long, whatever was returned meanwhile."""
        return time.monotonic() - self._began > _WORN_S

    def is_over(self, returns: int) -> bool:
        """Say whether nothing was returned for too long."""
        if returns != self._returns:
            self._returns, self._since = returns, time.monotonic()
        return time.monotonic() - self._since > PATIENCE_S

    def is_quiet(self, moment: Moment, *, is_used: bool) -> bool:
        """Say, at the end of a moment, whether no thread can be about to use a weight."""
        self._quiet = 0 if is_used else self._quiet + 1
        return self._quiet >= (1 if moment.is_idle else _QUIET_MOMENTS)


def is_at_work() -> bool:
    """Say whether another thread of this process runs, or waits for a core or the disk.

    Where other processes take all cores, a thread may wait long before it uses its weight.
    """
    others = [task for task in _TASKS.iterdir() if int(task.name) != threading.get_native_id()]
    return any(_state(task) in _AT_WORK for task in others)


def _state(task: Path) -> str:
    try:
        # The thread's name comes before, in parentheses, and may have some of its own.
        return (task / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:  # it has ended
        return ""


def is_unused(
    lent: Sequence[Place],
    returns: Callable[[], int],
    changed: threading.Condition,
    patience: Patience,
) -> bool:
    """Say whether lent weights are unused: drop their pages, and see whether any is touched again.

    Args:
        lent: the weights.
        returns: returns how many loans have ended.
        changed: notified when one ends; its lock is released meanwhile.
        patience: of the borrower that waits.
    """
    pieces = [place.piece for place in lent if place.piece is not None]
    if not all(piece.can_be_watched for piece in pieces):
        return False
    for piece in pieces:
        piece.drop_pages()
    moment = Moment(returns())
    changed.wait(MOMENT_S)
    is_used = returns() != moment.returns or any(map(_is_touched, lent))
    return patience.is_quiet(moment, is_used=is_used)


def _is_touched(place: Place) -> bool:
    return place.piece is not None and place.piece.is_touched()
