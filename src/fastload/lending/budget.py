"""A budget of bytes, and the weights that share it.

A weight is *lent* while somebody may be reading it; its pages stay. One that is not lent may go at
any moment, and goes when another one needs its room: the one that is needed last, by the order of
its model. What is in memory is never more than the budget: whoever asks for more waits for what
others give back, or is refused where nobody else has anything.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from fastload.errors import MemoryBudgetError
from fastload.lending.order import NeedOrder
from fastload.lending.pages import Pages, Piece
from fastload.lending.plan import LazyWeight

#: Where nothing came back for so long, nothing will: all loans wait for each other.
PATIENCE_S: Final = 30.0


class Wait(Enum):
    """What to do where there is no room for a weight.

    Attributes:
        NEVER: refuse.
        FOR_OTHERS: wait, if another thread has borrowed anything: it will give it back.
        ALWAYS: wait; what this thread borrowed is given back by others.
    """

    NEVER = auto()
    FOR_OTHERS = auto()
    ALWAYS = auto()


@dataclass(slots=True)
class Counts:
    """What happened to the weights of one model.

    Attributes:
        loans: how often a weight was lent.
        hits: of those, how often it was in memory, or on its way.
        stalls: of those, how often the borrower waited: for the disk, or for room.
        reads: how often a weight was brought into memory.
        bytes_read: their bytes.
        evictions: how often one went to make room.
        resident: bytes in memory now.
        high_water: the most that there ever were.
    """

    loans: int = 0
    hits: int = 0
    stalls: int = 0
    reads: int = 0
    bytes_read: int = 0
    evictions: int = 0
    resident: int = 0
    high_water: int = 0


@dataclass(slots=True, eq=False, kw_only=True)
class Shelf:
    """The weights of one model in a budget.

    Attributes:
        pages: the file that they are in.
        order: in which they are needed.
        places: by name.
        counts: what happened to them.
    """

    pages: Pages
    order: NeedOrder
    places: dict[str, Place] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)


@dataclass(slots=True, eq=False, kw_only=True)
class Place:
    """One weight in a budget.

    Attributes:
        weight: which.
        shelf: the model that it is of.
        piece: its memory; None if it has none.
        loans: how many use it.
        is_held: it stays: somebody wrote into its pages.
        is_forgotten: it goes when its loans end.
    """

    weight: LazyWeight
    shelf: Shelf
    piece: Piece | None = None
    loans: int = 0
    is_held: bool = False
    is_forgotten: bool = False


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
        self._returns = 0
        #: The model that asked last.
        self.current: Shelf | None = None

    def keep(self, nbytes: int, purpose: str) -> None:
        """Take room for *nbytes* that stay until `release`.

        Raises:
            MemoryBudgetError: there is no such room, whatever goes.
        """
        with self.changed:
            if not self._make_room(nbytes, lambda _: True):
                raise MemoryBudgetError(purpose, self.limit, self.used + nbytes)
            self._take(nbytes)

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
            place.shelf.counts.loans += 1
            place.shelf.counts.hits += place.piece is not None
            is_new = self._require(place, wait)
            owner = self._lent(place)
        self._get_ready(place, is_new=is_new)
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
            after = self._needed_after(place)
            nbytes = place.weight.nbytes
            if not self._make_room(nbytes, lambda other: self._needed_after(other) > after):
                return False
            piece = self._bring(place)
            owner = self._lent(place)
        try:
            piece.read()
        except OSError:
            self.forget(place)
            raise
        finally:
            del owner
            self._tell()
        return True

    def forget(self, place: Place) -> None:
        """Take a weight out of memory as soon as nobody uses it, whatever is in it."""
        with self.changed:
            place.is_forgotten = True
            if place.piece is not None and not place.loans:
                self._drop(place)

    def _require(self, place: Place, wait: Wait) -> bool:
        """Give a weight memory if it has none; say whether this call did."""
        returns, deadline = self._returns, time.monotonic() + PATIENCE_S
        while place.piece is None:
            if self._make_room(place.weight.nbytes, lambda _: True):
                self._bring(place)
                return True
            if time.monotonic() > deadline or not self._may_wait(wait):
                purpose, needed = f"reading {place.weight.name!r}", self.used + place.weight.nbytes
                raise MemoryBudgetError(purpose, self.limit, needed)
            place.shelf.counts.stalls += 1
            self.changed.wait(PATIENCE_S)
            if self._returns != returns:
                returns, deadline = self._returns, time.monotonic() + PATIENCE_S
        return False

    def _may_wait(self, wait: Wait) -> bool:
        others = sum(self._borrowers.values()) - self._borrowers[threading.get_ident()]
        return wait is Wait.ALWAYS or (wait is Wait.FOR_OTHERS and others > 0)

    def _get_ready(self, place: Place, *, is_new: bool) -> None:
        """Read what nobody reads, or wait for who does; the weight is lent to this thread."""
        piece = place.piece
        assert piece is not None  # noqa: S101 - it was lent
        if is_new:
            try:
                piece.read()
            except OSError:
                self.forget(place)
                raise
            finally:
                self._tell()
        elif not piece.is_ready:
            with self.changed:
                place.shelf.counts.stalls += 1
                self.changed.wait_for(lambda: piece.is_ready or place.is_forgotten)
            if not piece.is_ready:
                raise OSError(f"{place.weight.name!r} could not be read")

    def _lent(self, place: Place) -> Any:
        piece, borrower = place.piece, threading.get_ident()
        assert piece is not None  # noqa: S101 - it was brought
        place.loans += 1
        self._borrowers[borrower] += 1
        owner = piece.owner()
        weakref.finalize(owner, self._returned, place, borrower).atexit = False
        return owner

    def _returned(self, place: Place, borrower: int) -> None:
        """Take a weight back; runs in whichever thread uses it last, possibly within this lock."""
        with self.changed:
            place.loans -= 1
            self._borrowers[borrower] -= 1
            if not self._borrowers[borrower]:
                del self._borrowers[borrower]
            self._returns += 1
            if place.is_forgotten and not place.loans:
                self._drop(place)
            self.changed.notify_all()

    def _bring(self, place: Place) -> Piece:
        """Give a weight memory, in room that there is; what is in it is still to be read."""
        counts, nbytes = place.shelf.counts, place.weight.nbytes
        place.piece = place.shelf.pages.piece(place.weight)
        place.is_forgotten = False
        self._here.add(place)
        self._take(nbytes)
        counts.reads += 1
        counts.bytes_read += nbytes
        counts.resident += nbytes
        counts.high_water = max(counts.high_water, counts.resident)
        return place.piece

    def _make_room(self, nbytes: int, may_go: Callable[[Place], bool]) -> bool:
        """Drop what *may_go* until *nbytes* more fit; say whether they do."""
        while self.used + nbytes > self.limit:
            idle = [place for place in self._here if not place.loans and not place.is_held]
            idle = [place for place in idle if may_go(place)]
            if not idle:
                return False
            last = max(idle, key=self._needed_after)
            last.is_held = last.piece is not None and last.piece.was_written()
            if not last.is_held:
                self._drop(last)
                last.shelf.counts.evictions += 1
        return True

    def _needed_after(self, place: Place) -> tuple[bool, int]:
        """Return what sorts weights by when they are needed; other models' come last."""
        shelf = place.shelf
        return shelf is not self.current, shelf.order.distance(place.weight.name)

    def _drop(self, place: Place) -> None:
        piece = place.piece
        assert piece is not None  # noqa: S101 - it is among those that are here
        self._here.discard(place)
        place.piece, place.is_held = None, False
        place.shelf.counts.resident -= place.weight.nbytes
        self.used -= place.weight.nbytes
        piece.close()

    def _take(self, nbytes: int) -> None:
        self.used += nbytes
        self.high_water = max(self.high_water, self.used)

    def _tell(self) -> None:
        with self.changed:
            self.changed.notify_all()
