"""How long to wait for room, and how to tell that nobody will make some."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fastload.lazy_weights.places import Place

#: How long to look whether a weight is used.
MOMENT_S: Final = 0.02
#: Where nothing came back for so long, nothing will.
PATIENCE_S: Final = 30.0
#: Where other work goes on, a kernel may be kept from its weight for so many moments.
_QUIET_MOMENTS: Final = 50
#: Who waited for so long is not early any more.
_WORN_S: Final = 1.0
_IDLE: Final = 0.1
#: One folder a thread; see proc(5). It is read only where Linux tells of pages.
_TASKS: Final = Path("/proc/self/task")
_AT_WORK: Final = frozenset("RD")


class Moment:
    """The beginning of a moment.

    Attributes:
        returns: how many weights had come back.
    """

    def __init__(self, returns: int) -> None:
        self.returns = returns
        self._time, self._cpu = time.monotonic(), time.process_time()

    @property
    def is_idle(self) -> bool:
        """Whether this process computed next to nothing since, and was not kept from it."""
        worked = time.process_time() - self._cpu
        return worked < _IDLE * (time.monotonic() - self._time) and not is_at_work()


class Patience:
    """How long somebody has waited for room.

    Args:
        returns: how many weights had come back when the waiting began.
    """

    def __init__(self, returns: int) -> None:
        self._returns, self._since, self._quiet = returns, time.monotonic(), 0
        self._began = self._since

    @property
    def is_worn(self) -> bool:
        """Whether the waiting began long ago, whatever came back meanwhile."""
        return time.monotonic() - self._began > _WORN_S

    def is_over(self, returns: int) -> bool:
        """Say whether nothing came back for too long."""
        if returns != self._returns:
            self._returns, self._since = returns, time.monotonic()
        return time.monotonic() - self._since > PATIENCE_S

    def is_quiet(self, moment: Moment, *, is_used: bool) -> bool:
        """Say, at the end of a moment, whether nobody can be about to use a weight."""
        self._quiet = 0 if is_used else self._quiet + 1
        return self._quiet >= (1 if moment.is_idle else _QUIET_MOMENTS)


def is_at_work() -> bool:
    """Say whether another thread of this process runs, or waits for a core or for the disk.

    Where other processes take all cores, a thread that is about to use a weight may wait for long.
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
    """Say whether nobody uses what is lent: who does touches its pages, once they are dropped.

    Args:
        lent: places of weights.
        returns: says how many weights have come back.
        changed: told when one has; it is waited for without its lock.
        patience: of who waits.
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
