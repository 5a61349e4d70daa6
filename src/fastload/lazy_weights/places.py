"""The weights that share a budget: the order in which they are needed, and where each one is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from fastload.lazy_weights.lending_plan import LazyWeight
from fastload.lazy_weights.pages import Pages, Piece

#: A round that leaves out some weights is taken for one after so many times their number.
_PATIENCE: Final = 4


class NeedOrder:
    """The order of one model's weights, which it needs round after round.

    A weight may be needed several times a round. Nothing rests on the order but speed: a wrong one
    makes weights go too early, and come again.

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
        """Take down that *name* is needed now; again and again in a row is once."""
        if self._round and name == self._round[-1]:
            return
        if self._round and name == self._round[0] and set(self._round) >= self._places.keys():
            self._begin_round(self._round)
        elif len(self._round) > _PATIENCE * len(self._order) and name in self._round:
            last = len(self._round) - 1 - self._round[::-1].index(name)
            self._begin_round(self._round[last:])
        self._round.append(name)
        if name in self._places:
            self._at = (self._at + self.distance(name)) % len(self._order)

    def distance(self, name: str) -> int:
        """Return after how many needs *name* is needed next; for a stranger, later than all."""
        places = self._places.get(name)
        if places is None:
            return len(self._order) + 1
        following = bisect_right(places, self._at)
        if following < len(places):
            return places[following] - self._at
        return places[0] + len(self._order) - self._at

    def upcoming(self) -> Iterator[str]:
        """Give the names in the order in which they are needed from now on, for one round."""
        yield from self._order[self._at + 1 :]
        yield from self._order[: self._at + 1]

    def _begin_round(self, order: list[str]) -> None:
        """Expect *order* from now on: as it was since the weight that is needed now was needed."""
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
        is_suspended: it is lent, but who borrowed it cannot use it yet; it has no room.
        is_forgotten: it goes when its loans end.
        broken: memory of it that could not be filled.
    """

    weight: LazyWeight
    shelf: Shelf
    piece: Piece | None = None
    loans: int = 0
    is_held: bool = False
    is_suspended: bool = False
    is_forgotten: bool = False
    broken: Piece | None = None

    @property
    def is_here(self) -> bool:
        """Whether it has memory, and room for it."""
        return self.piece is not None and not self.is_suspended
