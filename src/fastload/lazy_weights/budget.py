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

import os
import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from fastload import unfinished
from fastload.errors import MemoryBudgetError
from fastload.lazy_weights.pages import Piece
from fastload.lazy_weights.places import Place, Shelf, Wait
from fastload.lazy_weights.standstill import MOMENT_S, Patience, is_unused
from fastload.settings import budget_bytes

#: A graph borrows ahead no more than this fraction of a budget.
_BORROWED_AHEAD: Final = 4


class Budget:
    """Bytes that the weights of one or more models share; safe to use from any thread.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.high_water = 0
        #: Notified when a weight was returned or read; its lock guards everything here.
        self._lock = unfinished.lock()
        self.changed = threading.Condition(self._lock)
        self._left: deque[Callable[[], None]] = deque()
        self._here: set[Place] = set()
        self._borrowers: Counter[int] = Counter()
        self._suspended: list[Place] = []
        self._returns = 0
        self._is_watched = False
        self.current: Shelf | None = None  # the model that borrowed last

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have the lock while the block runs, and do what was left to whoever has it."""
        try:
            with self.changed:
                self._do_what_was_left()
                yield
        finally:
            self._settle()

    def when_alone(self, act: Callable[[], None]) -> None:
        """Have *act* done with the lock: at once, or by the thread that has it now.

        For what runs when an object is collected: that may be at any step of this very thread, also
        of one that has the lock, and must wait for nothing.
        """
        self._left.append(act)
        self._settle()

    def _settle(self) -> None:
        """Do what was left, unless a thread has the lock: it looks again when it lets go of it."""
        lock = self._lock
        while self._left and not unfinished.has(lock) and lock.acquire(blocking=False):
            try:
                self._do_what_was_left()
            finally:
                lock.release()

    def _do_what_was_left(self) -> None:
        while self._left:
            self._left.popleft()()

    def keep(self, nbytes: int, purpose: str) -> None:
        """Reserve *nbytes* until `release`.

        Raises:
            MemoryBudgetError: dropping all that can be dropped would not make room.
        """
        with self.alone():
            if not self._make_room(nbytes):
                raise MemoryBudgetError(purpose, self.limit, self.used + nbytes)
            self._use(nbytes)

    def resize(self, limit: int) -> None:
        """Change the budget to *limit* bytes.

        Raises:
            MemoryBudgetError: more than that is reserved or in use; nothing has changed.
        """
        with self.alone():
            before, self.limit = self.limit, limit
            if not self._make_room(0):
                needed, self.limit = self.used, before
                raise MemoryBudgetError("what is in memory", limit, needed)

    def release(self, nbytes: int) -> None:
        """Release room that `keep` reserved."""
        with self.alone():
            self.used -= nbytes
            self.changed.notify_all()

    def lend(self, place: Place, wait: Wait) -> Any:
        """Lend a weight: its bytes stay in memory while the returned object lives.

        Args:
            place: the weight's place.
            wait: what to do where there is no room.

        Returns:
            An object with the buffer interface, over the pages from `weight.start` on.

        Raises:
            MemoryBudgetError: there is no room, and waiting will not make any.
            OSError: the file cannot be read.
        """
        with self.alone():
            self.current = place.shelf
            place.shelf.order.note(place.weight.name)
            is_hit = place.is_here
            is_new = self._ensure_in_memory(place, wait)
            place.shelf.counts.loans += 1
            place.shelf.counts.hits += is_hit
            owner, piece = self._lent(place)
        self._get_ready(place, piece, is_new=is_new)
        return owner

    def fetch(self, place: Place) -> bool:
        """Read a weight ahead, in room that is free or held by weights that are needed later.

        Returns:
            Whether there was such room.

        Raises:
            OSError: the file cannot be read.
        """
        with self.alone():
            if place.piece is not None or place.is_forgotten:  # its model may be gone by now
                return True
            after, nbytes = self._needed_after(place), place.weight.nbytes
            if self._suspended or not self._make_room(nbytes, after):
                return False
            self._allocate(place)
            owner, piece = self._lent(place)
        self._read(place, piece)
        del owner
        return True

    def forget(self, place: Place) -> None:
        """Drop a weight as soon as nothing uses it, even if it was changed."""
        with self.alone():
            place.is_forgotten = True
            if place.piece is not None and not place.loans:
                self._drop(place)

    def _ensure_in_memory(self, place: Place, wait: Wait) -> bool:
        """Give a weight memory if it has none; say whether it has yet to be read."""
        patience = Patience(self._returns)
        nbytes = place.weight.nbytes
        while not place.is_here:
            if self._is_due(nbytes, wait, patience) and self._make_room(nbytes):
                return self._allocate(place)
            if not self._may_wait(wait) or patience.is_over(self._returns):
                purpose = f"reading {place.weight.name!r}"
                raise MemoryBudgetError(purpose, self.limit, self.used + nbytes)
            place.shelf.counts.stalls += 1
            if self._is_at_a_standstill(patience) and not place.is_here:
                if not self._make_room(nbytes):
                    self._suspend_all()
                if self._make_room(nbytes):
                    return self._allocate(place)
            self._do_what_was_left()
        return False

    def _is_due(self, nbytes: int, wait: Wait, patience: Patience) -> bool:
        """Say whether a weight may take room now, if there is any.

        What a graph borrows long before it is needed takes room from what the next round begins
        with.
        """
        lent = sum(place.weight.nbytes for place in self._here if place.loans)
        part = self.limit // (1 if patience.is_worn else _BORROWED_AHEAD)
        is_soon = wait is Wait.FOR_OTHERS or not lent or lent + nbytes <= part
        return is_soon and not self._suspended

    def _may_wait(self, wait: Wait) -> bool:
        others = sum(self._borrowers.values()) - self._borrowers[threading.get_ident()]
        return wait is Wait.ALWAYS or (wait is Wait.FOR_OTHERS and others > 0)

    def _is_at_a_standstill(self, patience: Patience) -> bool:
        """Wait, without the lock; say whether no weight was used meanwhile."""
        if self.changed.wait(MOMENT_S) or self._is_watched:
            return False
        self._is_watched = True
        try:
            lent = [each for each in self._here if each.loans and not each.is_suspended]
            return is_unused(lent, lambda: self._returns, self.changed, patience)
        finally:
            self._is_watched = False

    def _suspend_all(self) -> None:
        """Take away the room of all lent weights, none of which is in use."""
        for place in [each for each in self._here if each.loans and not each.is_suspended]:
            self.used -= place.weight.nbytes
            place.is_suspended = True
            self._suspended.append(place)

    def _resume(self) -> None:
        """Give suspended weights their room back, where there is enough again."""
        for place in list(self._suspended):
            if self._make_room(place.weight.nbytes):
                self._suspended.remove(place)
                place.is_suspended = False
                self._use(place.weight.nbytes)

    def _get_ready(self, place: Place, piece: Piece, *, is_new: bool) -> None:
        """Read the weight, or wait for the thread that does; it is lent to this thread.

        What another could not read is tried again. So is what nobody reads: a fork has none of the
        other threads.
        """
        if not (is_new or piece.is_ready):
            with self.alone():
                place.shelf.counts.stalls += 1
                if place.reader == os.getpid():
                    self.changed.wait_for(lambda: piece.is_ready or place.broken is piece)
                place.reader = os.getpid()
        if is_new or not piece.is_ready:
            self._read(place, piece)

    def _lent(self, place: Place) -> tuple[Any, Piece]:
        piece, borrower = place.piece, threading.get_ident()
        assert piece is not None  # noqa: S101 - it was allocated
        place.loans += 1
        self._borrowers[borrower] += 1
        owner = piece.owner()
        returned = partial(self._returned, place, borrower)
        weakref.finalize(owner, self.when_alone, returned).atexit = False
        return owner, piece

    def _returned(self, place: Place, borrower: int) -> None:
        """End a loan; the thread that used the weight last does, or one that has the lock."""
        place.loans -= 1
        self._borrowers[borrower] -= 1
        if not self._borrowers[borrower]:
            del self._borrowers[borrower]
        self._returns += 1
        if not place.loans:
            if self._is_over(place):
                self._drop(place)
            self._resume()
        self.changed.notify_all()

    def _is_over(self, place: Place) -> bool:
        """Say whether a weight that was returned is of no use in memory, or in the way."""
        piece = place.piece
        is_unread = piece is not None and (place.broken is piece or not piece.is_ready)
        is_in_the_way = bool(self._suspended) and not self._is_written(place)
        return place.is_forgotten or is_unread or is_in_the_way

    def _allocate(self, place: Place) -> bool:
        """Give a weight memory, within the room made for it; say whether it has yet to be read."""
        is_new = place.piece is None
        if place.piece is None:
            place.piece = place.shelf.pages.piece(place.weight)
            place.is_forgotten, place.reader = False, os.getpid()
            self._here.add(place)
            place.shelf.counts.reads += 1
            place.shelf.counts.bytes_read += place.weight.nbytes
        else:
            self._suspended.remove(place)
            place.is_suspended = False
        self._use(place.weight.nbytes)
        return is_new

    def _make_room(self, nbytes: int, after: tuple[bool, int] = (False, -1)) -> bool:
        """Drop weights that are needed later than *after* until *nbytes* fit; say whether they
        do.
        """
        while self.used + nbytes > self.limit:
            idle = [place for place in self._here if not (place.loans or place.is_held)]
            last = max(idle, key=self._needed_after, default=None)
            if last is None or self._needed_after(last) <= after:
                return False
            if not self._is_written(last):
                self._drop(last)
                last.shelf.counts.evictions += 1
        return True

    def _is_written(self, place: Place) -> bool:
        """Say whether the pages of a weight were written; if so, they are never dropped."""
        place.is_held = place.is_held or (place.piece is not None and place.piece.was_written())
        return place.is_held

    def _needed_after(self, place: Place) -> tuple[bool, int]:
        """Return a key that sorts weights by when they are needed, those of other models last."""
        return place.shelf is not self.current, place.shelf.order.distance(place.weight.name)

    def _drop(self, place: Place) -> None:
        """Drop a weight that is not lent."""
        piece = place.piece
        assert piece is not None  # noqa: S101 - it is among those that are here
        if place.is_suspended:
            self._suspended.remove(place)
        else:
            self.used -= place.weight.nbytes
        self._here.discard(place)
        place.piece, place.is_held, place.is_suspended = None, False, False
        piece.close()

    def _use(self, nbytes: int) -> None:
        self.used += nbytes
        self.high_water = max(self.high_water, self.used)

    def _read(self, place: Place, piece: Piece) -> None:
        """Read a weight that is lent to this thread, without the lock; notify waiting threads."""
        try:
            piece.read()
            place.broken = None
        except BaseException:
            place.broken = piece
            raise
        finally:
            with self.alone():
                self.changed.notify_all()


_lock = unfinished.lock()
_shared: Budget | None = None


def set_memory_budget(memory_budget: int | str | None) -> None:
    """Let all models that are loaded lazily from now on share one budget.

    It applies to loads without a `memory_budget=` of their own. The model that runs gets the room:
    the weights of the others are dropped first.

    Args:
        memory_budget: bytes, as a number or as `"1GiB"`. A further number resizes the budget of the
            models that share it already; None ends sharing for models that are loaded later.

    Raises:
        MemoryBudgetError: the models that share the budget keep or use more than that. The budget
            is unchanged.
        ValueError: it is not a size.

    Example:
        >>> import fastload
        >>> fastload.set_memory_budget("1GiB")
        >>> fastload.set_memory_budget(None)
    """
    global _shared  # noqa: PLW0603 - one for the process
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
