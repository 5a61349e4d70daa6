"""The weights that share a budget, and what happened to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from fastload.lazy_weights.lending_plan import LazyWeight
from fastload.lazy_weights.order import NeedOrder
from fastload.lazy_weights.pages import Pages, Piece


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
