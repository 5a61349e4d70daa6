"""A budget of bytes, and the weights that share it.

A weight is *lent* while something may be reading it; its pages stay. One that is not lent may be
dropped at any moment, and is when another one needs its room: the one that is needed last, by the
order of its model. What is in memory never exceeds the budget: a borrower waits for what others
give back, or gets an error where nobody else has anything.

A graph may wait in a circle: TensorFlow fuses kernels, and a fused one may hold its weight until
another layer is done that needs room. Then no weight that is lent is in use, and that is measured,
not guessed: their pages are dropped, and nobody touches them again. They are suspended: they stay
lent, but give their room to the one that all wait for, and get it back when that one is returned.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from fastload.errors import MemoryBudgetError
from fastload.lazy_weights.pages import Piece
from fastload.lazy_weights.places import Place, Shelf, Wait
from fastload.settings import budget_bytes

#: A graph borrows ahead by no more than this part of a budget.
_PARTS: Final = 4


class Budget:
    """Bytes that the weights of some models share; safe to use from any thread.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.high_water = 0
        #: Told when something came back or arrived; its lock guards everything here.
        self.changed = threading.Condition(threading.RLock())
        self._here: set[Place] = set()
        self._borrowers: Counter[int] = Counter()
        self._suspended: list[Place] = []
        self._returns = 0
        self._is_watched = False
        self.current: Shelf | None = None  # the model that asked last

    def keep(self, nbytes: int, purpose: str) -> None:
        """Take room for *nbytes* that stay until `release`.

        Raises:
            MemoryBudgetError: there is no such room, whatever goes.
        """
        with self.changed:
            if not self._make_room(nbytes, lambda _: True):
                raise MemoryBudgetError(purpose, self.limit, self.used + nbytes)
            self._use(nbytes)

    def resize(self, limit: int) -> None:
        """Change the budget to *limit* bytes.

        Raises:
            MemoryBudgetError: more than that stays or is in use; nothing has changed.
        """
        with self.changed:
            before, self.limit = self.limit, limit
            if not self._make_room(0, lambda _: True):
                needed, self.limit = self.used, before
                raise MemoryBudgetError("what is in memory", limit, needed)

    def release(self, nbytes: int) -> None:
        """Give back room that `keep` took."""
        with self.changed:
            self.used -= nbytes
            self.changed.notify_all()

    def lend(self, place: Place, wait: Wait) -> Any:
        """Return the bytes of a weight, which stay while what is returned lives.

        Args:
            place: of the weight.
            wait: what to do where there is no room.

        Returns:
            An object with the buffer interface, over the pages from `weight.start` on.

        Raises:
            MemoryBudgetError: there is no room, and nobody will make some.
            OSError: the file cannot be read.
        """
        with self.changed:
            self.current = place.shelf
            place.shelf.order.note(place.weight.name)
            is_hit = place.is_here
            is_new = self._require(place, wait)
            place.shelf.counts.loans += 1
            place.shelf.counts.hits += is_hit
            owner, piece = self._lent(place)
        self._get_ready(place, piece, is_new=is_new)
        return owner

    def fetch(self, place: Place) -> bool:
        """Read a weight before it is asked for, in room that is free or needed later than it.

        Returns:
            Whether there was such room.

        Raises:
            OSError: the file cannot be read.
        """
        with self.changed:
            if place.piece is not None:
                return True
            after, nbytes = self._needed_after(place), place.weight.nbytes
            if self._suspended or not self._make_room(
                nbytes, lambda other: self._needed_after(other) > after
            ):
                return False
            self._bring(place)
            owner, piece = self._lent(place)
        self._read(place, piece)
        del owner
        return True

    def forget(self, place: Place) -> None:
        """Take a weight out of memory as soon as nobody uses it, whatever is in it."""
        with self.changed:
            place.is_forgotten = True
            if place.piece is not None and not place.loans:
                self._drop(place)

    def _require(self, place: Place, wait: Wait) -> bool:
        """Give a weight memory if it has none; say whether this call did."""
        patience = Patience(self._returns)
        nbytes = place.weight.nbytes
        while not place.is_here:
            if self._is_in_turn(nbytes, wait, patience) and self._make_room(nbytes, lambda _: True):
                return self._bring(place)
            if not self._may_wait(wait) or patience.is_over(self._returns):
                purpose = f"reading {place.weight.name!r}"
                raise MemoryBudgetError(purpose, self.limit, self.used + nbytes)
            place.shelf.counts.stalls += 1
            if self._is_at_a_standstill(patience) and not place.is_here:
                if not self._make_room(nbytes, lambda _: True):
                    self._suspend_all()
                if self._make_room(nbytes, lambda _: True):
                    return self._bring(place)
        return False

    def _is_in_turn(self, nbytes: int, wait: Wait, patience: Patience) -> bool:
        """Say whether a weight may be brought now, if there is room.

        What a graph borrows long before its need takes room from what the next round begins with.
        """
        lent = sum(place.weight.nbytes for place in self._here if place.loans)
        part = self.limit // (1 if patience.is_worn else _PARTS)
        is_soon = wait is Wait.FOR_OTHERS or not lent or lent + nbytes <= part
        return is_soon and not self._suspended

    def _may_wait(self, wait: Wait) -> bool:
        others = sum(self._borrowers.values()) - self._borrowers[threading.get_ident()]
        return wait is Wait.ALWAYS or (wait is Wait.FOR_OTHERS and others > 0)

    def _is_at_a_standstill(self, patience: Patience) -> bool:
        """Wait, without the lock; say whether nobody used a weight meanwhile."""
        if self.changed.wait(MOMENT_S) or self._is_watched:
            return False
        self._is_watched = True
        try:
            lent = [each for each in self._here if each.loans and not each.is_suspended]
            return is_unused(lent, lambda: self._returns, self.changed, patience)
        finally:
            self._is_watched = False

    def _suspend_all(self) -> None:
        """Take the room of all that is lent, which nobody uses."""
        for place in [each for each in self._here if each.loans and not each.is_suspended]:
            self._leave(place)
            place.is_suspended = True
            self._suspended.append(place)

    def _resume(self) -> None:
        """Give room to what was suspended: what it waited for is back."""
        for place in list(self._suspended):
            if self._make_room(place.weight.nbytes, lambda _: True):
                self._suspended.remove(place)
                place.is_suspended = False
                self._take(place)

    def _get_ready(self, place: Place, piece: Piece, *, is_new: bool) -> None:
        """Read what nobody reads, or wait for who does; the weight is lent to this thread."""
        if is_new:
            self._read(place, piece)
        elif not piece.is_ready:
            with self.changed:
                place.shelf.counts.stalls += 1
                self.changed.wait_for(lambda: piece.is_ready or place.broken is piece)
            if not piece.is_ready:
                raise OSError(f"{place.weight.name!r} could not be read")

    def _lent(self, place: Place) -> tuple[Any, Piece]:
        piece, borrower = place.piece, threading.get_ident()
        assert piece is not None  # noqa: S101 - it was brought
        place.loans += 1
        self._borrowers[borrower] += 1
        owner = piece.owner()
        weakref.finalize(owner, self._returned, place, borrower).atexit = False
        return owner, piece

    def _returned(self, place: Place, borrower: int) -> None:
        """Take a weight back; runs in whichever thread uses it last, possibly within this lock."""
        with self.changed:
            place.loans -= 1
            self._borrowers[borrower] -= 1
            if not self._borrowers[borrower]:
                del self._borrowers[borrower]
            self._returns += 1
            if not place.loans:
                if place.is_forgotten or (self._suspended and not self._is_written(place)):
                    self._drop(place)
                self._resume()
            self.changed.notify_all()

    def _bring(self, place: Place) -> bool:
        """Give a weight memory, in room that there is; say whether it is still to be read."""
        is_new = place.piece is None
        if place.piece is None:
            place.piece = place.shelf.pages.piece(place.weight)
            place.is_forgotten = False
            self._here.add(place)
            place.shelf.counts.reads += 1
            place.shelf.counts.bytes_read += place.weight.nbytes
        else:
            self._suspended.remove(place)
            place.is_suspended = False
        self._take(place)
        return is_new

    def _make_room(self, nbytes: int, may_go: Callable[[Place], bool]) -> bool:
        """Drop what *may_go* until *nbytes* more fit; say whether they do."""
        while self.used + nbytes > self.limit:
            here = filter(may_go, self._here)
            idle = [place for place in here if not (place.loans or place.is_held)]
            if not idle:
                return False
            last = max(idle, key=self._needed_after)
            if not self._is_written(last):
                self._drop(last)
                last.shelf.counts.evictions += 1
        return True

    def _is_written(self, place: Place) -> bool:
        """Say whether somebody wrote into the pages of a weight; then it stays from now on."""
        place.is_held = place.is_held or (place.piece is not None and place.piece.was_written())
        return place.is_held

    def _needed_after(self, place: Place) -> tuple[bool, int]:
        """Return what sorts weights by when they are needed; other models' come last."""
        return place.shelf is not self.current, place.shelf.order.distance(place.weight.name)

    def _drop(self, place: Place) -> None:
        """Take a weight that nobody uses out of memory."""
        piece = place.piece
        assert piece is not None  # noqa: S101 - it is among those that are here
        if place.is_suspended:
            self._suspended.remove(place)
        else:
            self._leave(place)
        self._here.discard(place)
        place.piece, place.is_held, place.is_suspended = None, False, False
        piece.close()

    def _take(self, place: Place) -> None:
        counts = place.shelf.counts
        counts.resident += place.weight.nbytes
        counts.high_water = max(counts.high_water, counts.resident)
        self._use(place.weight.nbytes)

    def _leave(self, place: Place) -> None:
        place.shelf.counts.resident -= place.weight.nbytes
        self.used -= place.weight.nbytes

    def _use(self, nbytes: int) -> None:
        self.used += nbytes
        self.high_water = max(self.high_water, self.used)

    def _read(self, place: Place, piece: Piece) -> None:
        """Read a weight that is lent to this thread, without the lock; tell those that wait."""
        try:
            piece.read()
        except OSError:
            place.broken = piece
            self.forget(place)
            raise
        finally:
            with self.changed:
                self.changed.notify_all()


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


_lock = threading.Lock()
_shared: Budget | None = None


def set_memory_budget(memory_budget: int | str | None) -> None:
    """Have all models that are loaded lazily from now on share one budget.

    It is for models whose load gives no `memory_budget=` of its own. What the models share is given
    to the one that runs: the weights of the others go first.

    Args:
        memory_budget: bytes, as a number or as `"1GiB"`. Another number changes the budget of the
            models that share it already; None ends the sharing for models that are loaded later.

    Raises:
        MemoryBudgetError: the models that share the budget keep more than that, or use it right
            now. The budget stays as it was.
        ValueError: it is no size.

    Example:
        >>> import fastload
        >>> fastload.set_memory_budget("1GiB")
        >>> fastload.set_memory_budget(None)
    """
    global _shared  # noqa: PLW0603 - it is the process's
    limit = budget_bytes(memory_budget)
    with _lock:
        if limit is None:
            _shared = None
        elif _shared is None:
            _shared = Budget(limit)
        else:
            _shared.resize(limit)


def shared_budget() -> Budget | None:
    """Return the budget that models share, if there is one."""
    return _shared
