"""The weights of one model, lent out of a budget, and the thread that reads the next ones ahead."""

from __future__ import annotations

import logging
import threading
import weakref
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import Any, Final

import numpy as np

from fastload import unfinished
from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.lending_plan import LazyWeight, Plan
from fastload.lazy_weights.pages import Pages
from fastload.lazy_weights.places import NeedOrder, Place, Shelf, Wait
from fastload.twin.format import dtype_of
from fastload.twin.weights import Array


class Lender:
    """Lends the weights of one model; releases everything when it is collected.

    Args:
        plan: the model's weights.
        budget: what they may take.
        pages: the file that holds them.
        besides: bytes of the model's weights that are in ordinary memory and no file.

    Attributes:
        plan: the model's weights.
        budget: what they take their room from, perhaps with other models.
        shelf: their places in it.
        owned: bytes of weights that are in ordinary memory by now, by name.

    Raises:
        MemoryBudgetError: the weights that are kept do not fit.
    """

    def __init__(self, plan: Plan, budget: Budget, pages: Pages, besides: int = 0) -> None:
        self.plan, self.budget = plan, budget
        self.owned: dict[str, int] = {}
        self.shelf = Shelf(pages=pages, order=NeedOrder(weight.name for weight in plan.lent))
        places = [Place(weight=weight, shelf=self.shelf) for weight in plan.lent]
        self.shelf.places.update({place.weight.name: place for place in places})
        self._read_ahead = ReadAhead.of(budget)
        budget.keep(plan.kept_nbytes + besides, "keeping small weights")
        self.owned.update({weight.name: weight.ref.nbytes for weight in plan.kept})
        if besides:
            self.owned[""] = besides
        back = partial(_give_back, budget, self.shelf, self.owned)
        weakref.finalize(self, budget.when_alone, back).atexit = False

    def lend(self, name: str, wait: Wait) -> tuple[Any, LazyWeight]:
        """Lend a weight; its bytes stay in memory while the returned object lives.

        Args:
            name: the weight's name.
            wait: what to do where there is no room.

        Returns:
            What `Piece.owner` returns, and the weight.

        Raises:
            KeyError: there is no such weight, or it is in ordinary memory by now.
            MemoryBudgetError: there is no room.
            OSError: the file cannot be read.
        """
        place = self.shelf.places[name]
        owner = self.budget.lend(place, wait)
        self._read_ahead.wake()
        return owner, place.weight

    def own(self, name: str) -> Array:
        """Return a copy of a weight in ordinary memory, with room reserved: it is about to change.

        It can be lent until `forget`.

        Raises:
            MemoryBudgetError: there is no room for it.
            OSError: the file cannot be read.
        """
        weight = self.shelf.places[name].weight
        self.budget.forget(self.shelf.places[name])
        if name not in self.owned:  # it may have been, by one who failed after this
            self.budget.keep(weight.ref.nbytes, f"keeping {name!r} in memory")
            self.owned[name] = weight.ref.nbytes
        try:
            return self.content(weight)
        except BaseException:
            self.budget.release(self.owned.pop(name))
            raise

    def forget(self, name: str) -> None:
        """Stop lending a weight."""
        self.budget.forget(self.shelf.places.pop(name))

    def content(self, weight: LazyWeight) -> Array:
        """Return a copy of a weight, read from the file."""
        return as_array(self.shelf.pages.content(weight), weight)


def array_over(owner: Any, weight: LazyWeight) -> Array:
    """Return *weight* as an array over its pages."""
    flat = np.frombuffer(owner, np.uint8)
    before = weight.ref.offset - weight.start
    return as_array(flat[before : before + weight.ref.nbytes], weight)


def as_array(content: Any, weight: LazyWeight) -> Array:
    """Return bytes as an array of the shape and dtype of *weight*."""
    dtype = dtype_of(weight.ref.dtype)
    return np.frombuffer(content, np.uint8).view(dtype).reshape(weight.ref.shape)


def _give_back(budget: Budget, shelf: Shelf, owned: dict[str, int]) -> None:
    """Release all that a model has of a budget."""
    places = list(shelf.places.values())
    shelf.places.clear()  # so that none of them is read ahead
    for place in places:
        budget.forget(place)
    budget.release(sum(owned.values()))


_logger: Final = logging.getLogger(__name__)
#: How far to read ahead, at least one weight: more would evict what the next round begins with.
_WINDOW_BYTES: Final = 64 * 2**20
_BUDGET_PARTS: Final = 4
_read_aheads: Final[weakref.WeakKeyDictionary[Budget, ReadAhead]] = weakref.WeakKeyDictionary()


class ReadAhead:
    """Reads the next weights of a budget in a thread, which ends with the budget.

    Args:
        budget: the budget.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = weakref.ref(budget)
        self._window = min(_WINDOW_BYTES, budget.limit // _BUDGET_PARTS)
        self._wakes: SimpleQueue[bool] = SimpleQueue()
        self._lock = unfinished.lock()
        self._thread: threading.Thread | None = None
        weakref.finalize(budget, self._wakes.put, False).atexit = False

    @classmethod
    def of(cls, budget: Budget) -> ReadAhead:
        """Return the one of *budget*."""
        with budget.alone():
            if budget not in _read_aheads:
                _read_aheads[budget] = cls(budget)
            return _read_aheads[budget]

    def wake(self) -> None:
        """Read ahead again: a weight was needed. Where no thread can begin, nothing is."""
        try:
            self._begin()
        except RuntimeError as error:  # there are too many, or the process is ending
            _logger.debug("nothing is read ahead: %s", error)
            return
        if self._wakes.empty():
            self._wakes.put(True)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # a fork has none
                name = "fastload read-ahead"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while self._wakes.get():
            try:
                self._read_next()
            except Exception as error:  # noqa: BLE001 - the borrower will get it
                _logger.debug("reading ahead: %s", error)

    def _read_next(self) -> None:
        """Fetch what is needed next, until another weight is needed or there is no room."""
        budget = self._budget()
        if budget is None:
            return
        ahead = 0
        for place in _upcoming(budget):
            if not budget.fetch(place):
                place.shelf.pages.advise(place.weight)
                return
            ahead += place.weight.nbytes
            if ahead >= self._window or not self._wakes.empty():
                return


def _upcoming(budget: Budget) -> list[Place]:
    """Return the weights that are needed next, the soonest first."""
    with budget.alone():
        shelf = budget.current
        if shelf is None:
            return []
        names = list(islice(shelf.order.upcoming(), 256))
        return [shelf.places[name] for name in names if name in shelf.places]
