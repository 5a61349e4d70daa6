"""The weights that share a budget: the order in which they are needed, and where each one is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from fastload.lazy_weights.lending_plan import LazyWeight
from fastload.lazy_weights.pages import Pages, Piece

#: A round in which some weights never occur ends after so many times the number of weights.
_MOST_ROUNDS: Final = 4


class NeedOrder:
    """The order in which one model needs its weights, round after round.

    It is the expected order at first, then that of the last round. A weight may be needed several
    times a round. Only speed depends on the order: a wrong one drops weights too early.

    Args:
        expected: names in the expected order.

    Example:
        >>> order = NeedOrder(["a", "b", "c"])
        >>> order.note("a")
        >>> list(order.upcoming()), order.distance("a")
        (['b', 'c', 'a'], 3)
    """

    def __init__(self, expected: Iterable[str]) -> None:
        self._round: list[str] = []
        self._learn(list(expected))
        self._at = -1

    def note(self, name: str) -> None:
        """Record that *name* is needed now; repetitions in a row count once."""
        if self._round and name == self._round[-1]:
            return
        if self._round and name == self._round[0] and set(self._round) >= self._places.keys():
            self._begin_round(self._round)
        elif len(self._round) > _MOST_ROUNDS * len(self._order) and name in self._round:
            last = len(self._round) - 1 - self._round[::-1].index(name)
            self._begin_round(self._round[last:])
        self._round.append(name)
        if name in self._places:
            self._at = (self._at + self.distance(name)) % len(self._order)

    def distance(self, name: str) -> int:
        """Return after how many needs *name* is needed next; an unknown one is later than all."""
        places = self._places.get(name)
        if places is None:
            return len(self._order) + 1
        following = bisect_right(places, self._at)
        if following < len(places):
            return places[following] - self._at
        return places[0] + len(self._order) - self._at

    def upcoming(self) -> Iterator[str]:
        """Yield the names of one round in the order in which they are needed from now on."""
        yield from self._order[self._at + 1 :]
        yield from self._order[: self._at + 1]

    def _begin_round(self, order: list[str]) -> None:
        """Begin a round, and expect *order* from now on."""
        self._learn(order)
        self._round, self._at = [], -1

    def _learn(self, order: list[str]) -> None:
        self._order = order
        self._places: dict[str, list[int]] = {}
        for place, name in enumerate(order):
            self._places.setdefault(name, []).append(place)


class Wait(Enum):
    """What to do where there is no room for a weight.

    Attributes:
        NEVER: raise an error.
        FOR_OTHERS: wait if another thread has borrowed anything, which it will return.
        ALWAYS: wait; other threads return what this one borrowed.
    """

    NEVER = auto()
    FOR_OTHERS = auto()
    ALWAYS = auto()


@dataclass(slots=True)
class Counts:
    """Counts of the traffic of one model's weights.

    Attributes:
        loans: how often a weight was lent.
        hits: of those, how often it was in memory or being read.
        stalls: how often a borrower waited, for the disk or for room.
        reads: how often a weight was read into memory.
        bytes_read: their bytes.
        evictions: how often one was dropped to make room.
    """

    loans: int = 0
    hits: int = 0
    stalls: int = 0
    reads: int = 0
    bytes_read: int = 0
    evictions: int = 0


@dataclass(slots=True, eq=False, kw_only=True)
class Shelf:
    """The weights of one model in a budget.

    Attributes:
        pages: the file that they are in.
        order: in which they are needed.
        places: the place of each, by name.
        counts: of their traffic.
    """

    pages: Pages
    order: NeedOrder
    places: dict[str, Place] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)


@dataclass(slots=True, eq=False, kw_only=True)
class Place:
    """One weight in a budget.

    Attributes:
        weight: the weight.
        shelf: its model's.
        piece: its memory; None if it has none.
        loans: how many borrowers use it.
        is_held: it is never dropped, because its pages were written.
        is_suspended: it is lent, but its borrower cannot use it yet; it takes no room.
        is_forgotten: it is dropped when its loans end.
        broken: memory that could not be filled.
        reader: the process whose thread fills the memory, or has.
    """

    weight: LazyWeight
    shelf: Shelf
    piece: Piece | None = None
    loans: int = 0
    is_held: bool = False
    is_suspended: bool = False
    is_forgotten: bool = False
    broken: Piece | None = None
    reader: int = 0

    @property
    def is_here(self) -> bool:
        """Whether it has memory, and room for it."""
        return self.piece is not None and not self.is_suspended
