"""What a budget would cost, found out before a load: by lending weights that have no bytes."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.lending_plan import LazyWeight, Plan
from fastload.lazy_weights.order import NeedOrder
from fastload.lazy_weights.places import Place, Shelf, Wait
from fastload.lazy_weights.read_ahead import ReadAhead

#: What goes in one round decides what is missing in the next, so one round tells little.
_ROUNDS: Final = 4


def expected_bytes_read(plan: Plan, limit: int) -> int:
    """Return the bytes that a call of a model reads, after the first one.

    Some rounds over the weights are played through with the engine itself: a layer's weights are
    lent together, and those that follow are read ahead. A model may need its layers in another
    order, or one of them twice, and the thread that reads ahead may be behind: an eager call
    differs by a few weights. A graph borrows ahead, and differs by some more.

    Args:
        plan: the weights.
        limit: bytes of the budget.

    Raises:
        MemoryBudgetError: the budget is smaller than the plan's smallest.
    """
    if plan.total_nbytes <= limit:
        return 0
    budget = Budget(limit)
    budget.keep(plan.kept_nbytes, "keeping small weights")
    order = NeedOrder(weight.name for weight in plan.lent)
    shelf = Shelf(pages=_NoPages(), order=order)
    shelf.places.update({w.name: Place(weight=w, shelf=shelf) for w in plan.lent})
    _play(plan, budget, shelf)
    first = shelf.counts.bytes_read
    for _ in range(_ROUNDS):
        _play(plan, budget, shelf)
    return (shelf.counts.bytes_read - first) // _ROUNDS


def _play(plan: Plan, budget: Budget, shelf: Shelf) -> None:
    """Lend all weights once, layer by layer."""
    ahead = _ReadAheadAtOnce(budget)
    for _, weights in groupby(plan.lent, key=lambda weight: weight.layer):
        loans = []
        for weight in weights:
            loans.append(budget.lend(shelf.places[weight.name], Wait.FOR_OTHERS))
            ahead.wake()
        del loans


class _ReadAheadAtOnce(ReadAhead):
    """Reads ahead where it is told to, not in a thread."""

    def wake(self) -> None:
        self._read_next()


class _NoPages:
    """Stands for a file; there is nothing in its pieces."""

    def piece(self, _: LazyWeight) -> _NoPiece:
        """Return a piece."""
        return _NoPiece()

    def advise(self, _: LazyWeight) -> None:
        """Do nothing."""

    def content(self, _: LazyWeight) -> bytes:
        """Return nothing."""
        return b""


class _NoPiece:
    is_ready = True

    def read(self) -> None:
        pass

    close = drop_pages = read
    can_be_watched = False

    def is_touched(self) -> bool:
        return True

    def owner(self) -> Any:
        return _Loan()

    def was_written(self) -> bool:
        return False


class _Loan:
    """Lives while a weight is lent."""
