"""What a model's weights take in memory (`fastload.residency`), and what a budget would cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Final

from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.lender import Lender, ReadAhead
from fastload.lazy_weights.lending_plan import LazyWeight, Plan
from fastload.lazy_weights.pages import Piece
from fastload.lazy_weights.places import NeedOrder, Place, Shelf, Wait

_MIB: Final = 2**20
#: Rows of a table; of a model with more layers it has the largest.
_MOST_ROWS: Final = 40
_CELLS: Final = "{:<{width}}  {:>10}  {:>10}  {:>10}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerResidency:
    """What the weights of one layer take in memory.

    Attributes:
        name: its path in the twin.
        total_bytes: of all its weights.
        resident_bytes: of those, in memory now.
        owned_bytes: of those, in ordinary memory, where they stay: small weights and changed ones.
    """

    name: str
    total_bytes: int
    resident_bytes: int
    owned_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Residency:
    """What a model's weights take in memory, with counts of their traffic; as text, a table.

    Weights that are read and dropped are counted in whole pages.

    Attributes:
        is_lazy: whether weights are read and dropped; False where all of them fit.
        budget_bytes: the limit, for the weights of all models that share the budget.
        high_water_bytes: the most of it that was ever used.
        total_bytes: of all weights of this model.
        kept_bytes: of those, always in memory: small weights and changed ones.
        resident_bytes: of those, in memory now, the kept ones included.
        loans: how often a weight was needed.
        hits: of those, how often it was in memory or being read.
        stalls: how often a call waited, for the disk or for room.
        reads: how often a weight was read into memory.
        bytes_read: their bytes.
        evictions: how often a weight was dropped to make room for another.
        layers: the same by layer, in the expected order of need; layers with small weights only
            come last.
    """

    is_lazy: bool
    budget_bytes: int
    high_water_bytes: int
    total_bytes: int
    kept_bytes: int
    resident_bytes: int
    loans: int = 0
    hits: int = 0
    stalls: int = 0
    reads: int = 0
    bytes_read: int = 0
    evictions: int = 0
    layers: tuple[LayerResidency, ...]

    @property
    def hit_rate(self) -> float:
        """Share of the loans that were hits; 1 where there were no loans."""
        return self.hits / self.loans if self.loans else 1.0

    def __str__(self) -> str:
        """Return a table; the first lines are about the whole model."""
        return "\n".join(_lines(self))


def residency_of(lender: Lender) -> Residency:
    """Return what the weights of *lender* take in memory now."""
    with lender.budget.alone():
        layers = _layers(lender)
        return Residency(
            is_lazy=True,
            budget_bytes=lender.budget.limit,
            high_water_bytes=lender.budget.high_water,
            total_bytes=lender.plan.total_nbytes,
            kept_bytes=sum(layer.owned_bytes for layer in layers),
            resident_bytes=sum(layer.resident_bytes for layer in layers),
            layers=layers,
            **asdict(lender.shelf.counts),
        )


def residency_of_whole(plan: Plan, limit: int) -> Residency:
    """Return what the weights of *plan* take where all of them fit into *limit* bytes."""
    sizes = _sizes_by_layer(plan)
    layers = tuple(
        LayerResidency(name=name, total_bytes=size, resident_bytes=size, owned_bytes=size)
        for name, size in sizes.items()
    )
    total = plan.total_nbytes
    return Residency(
        is_lazy=False,
        budget_bytes=limit,
        high_water_bytes=total,
        total_bytes=total,
        kept_bytes=total,
        resident_bytes=total,
        layers=layers,
    )


def _layers(lender: Lender) -> tuple[LayerResidency, ...]:
    lent: Counter[str] = Counter()
    owned: Counter[str] = Counter()
    for weight in (*lender.plan.lent, *lender.plan.kept):
        place = lender.shelf.places.get(weight.name)
        lent[weight.layer] += weight.nbytes if place is not None and place.piece else 0
        owned[weight.layer] += lender.owned.get(weight.name, 0)
    return tuple(
        LayerResidency(
            name=name,
            total_bytes=size,
            resident_bytes=lent[name] + owned[name],
            owned_bytes=owned[name],
        )
        for name, size in _sizes_by_layer(lender.plan).items()
    )


def _sizes_by_layer(plan: Plan) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for weight in plan.lent:
        sizes[weight.layer] += weight.nbytes
    for weight in plan.kept:
        sizes[weight.layer] += weight.ref.nbytes
    return dict(sizes)


def _lines(found: Residency) -> Iterator[str]:
    yield (
        f"{_mib(found.resident_bytes)} of {_mib(found.total_bytes)} MiB in memory, "
        f"{_mib(found.kept_bytes)} of them always"
    )
    yield f"budget {_mib(found.budget_bytes)} MiB, at most {_mib(found.high_water_bytes)} taken"
    if found.is_lazy:
        yield (
            f"{found.loans} loans, {found.hit_rate:.1%} hits, {found.stalls} stalls; "
            f"{found.reads} reads of {_mib(found.bytes_read)} MiB, {found.evictions} evictions"
        )
    else:
        yield "all weights fit: this is an ordinary model"
    yield from _rows(found.layers)


def _rows(layers: Sequence[LayerResidency]) -> Iterator[str]:
    largest = sorted(layers, key=lambda layer: -layer.total_bytes)[:_MOST_ROWS]
    shown = {layer.name for layer in largest}
    width = max(map(len, shown | {"layer"}))
    yield _CELLS.format("layer", "MiB", "in memory", "always", width=width)
    for layer in layers:
        if layer.name in shown:
            sizes = (layer.total_bytes, layer.resident_bytes, layer.owned_bytes)
            yield _CELLS.format(layer.name, *map(_mib, sizes), width=width)
    if len(layers) > len(shown):
        yield f"and {len(layers) - len(shown)} smaller layers"


def _mib(nbytes: int) -> str:
    return f"{nbytes / _MIB:.1f}"


#: What is dropped in one round decides what is missing in the next, so one round is not enough.
_ROUNDS: Final = 4


def expected_bytes_read(plan: Plan, limit: int) -> int:
    """Return the bytes that a call of a model reads, after the first one.

    A few rounds over the weights are simulated with the budget itself: a layer's weights are lent
    together, and those that follow are read ahead. A model may need its layers in another order, or
    one of them twice, and the read-ahead thread may be late: an eager call differs by a few
    weights. A graph borrows ahead, and differs by some more.

    Args:
        plan: the weights.
        limit: bytes of the budget.

    Raises:
        MemoryBudgetError: the budget is smaller than the plan's smallest one.
    """
    if plan.total_nbytes <= limit:
        return 0
    budget = Budget(limit)
    budget.keep(plan.kept_nbytes, "keeping small weights")
    order = NeedOrder(weight.name for weight in plan.lent)
    shelf = Shelf(pages=_NoPages(), order=order)
    shelf.places.update({w.name: Place(weight=w, shelf=shelf) for w in plan.lent})
    _lend_once(plan, budget, shelf)
    first = shelf.counts.bytes_read
    for _ in range(_ROUNDS):
        _lend_once(plan, budget, shelf)
    return (shelf.counts.bytes_read - first) // _ROUNDS


def _lend_once(plan: Plan, budget: Budget, shelf: Shelf) -> None:
    """Lend all weights once, layer by layer."""
    ahead = _ImmediateReadAhead(budget)
    for _, weights in groupby(plan.lent, key=lambda weight: weight.layer):
        loans = []
        for weight in weights:
            loans.append(budget.lend(shelf.places[weight.name], Wait.FOR_OTHERS))
            ahead.wake()
        del loans


class _ImmediateReadAhead(ReadAhead):
    """Reads ahead in the calling thread."""

    def wake(self) -> None:
        self._read_next()


class _NoPages:
    """Stands for a file; its pieces are empty."""

    def piece(self, _: LazyWeight) -> _NoPiece:
        return _NoPiece()

    def advise(self, _: LazyWeight) -> None:
        pass

    def content(self, _: LazyWeight) -> bytes:
        return b""


class _NoPiece(Piece):
    is_ready = True

    def read(self) -> None:
        pass

    def close(self) -> None:
        pass

    def owner(self) -> Any:
        return _Loan()


class _Loan:
    """An object that lives while a weight is lent."""
