"""In which order weights are needed: as expected at first, then as it was the last time round."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

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
