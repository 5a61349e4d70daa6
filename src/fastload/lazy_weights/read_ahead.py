"""A thread that reads the weights that are needed next while others are computed with."""

from __future__ import annotations

import logging
import threading
import weakref
from itertools import islice
from queue import SimpleQueue
from typing import Final

from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.places import Place

_logger: Final = logging.getLogger(__name__)
#: Read so far ahead, or one weight: more would only drive out what the next round begins with.
_WINDOW_BYTES: Final = 64 * 2**20
_BUDGET_PARTS: Final = 4
_known: Final[weakref.WeakKeyDictionary[Budget, ReadAhead]] = weakref.WeakKeyDictionary()


class ReadAhead:
    """Keeps the next weights of a budget coming; the thread ends with the budget.

    Args:
        budget: whose weights.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = weakref.ref(budget)
        self._window = min(_WINDOW_BYTES, budget.limit // _BUDGET_PARTS)
        self._wakes: SimpleQueue[bool] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        weakref.finalize(budget, self._wakes.put, False).atexit = False

    @classmethod
    def of(cls, budget: Budget) -> ReadAhead:
        """Return the one that *budget* has."""
        with budget.changed:
            if budget not in _known:
                _known[budget] = cls(budget)
            return _known[budget]

    def wake(self) -> None:
        """Look again: something was needed."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # a fork has none
                name = "fastload read-ahead"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
        if self._wakes.empty():
            self._wakes.put(True)

    def _run(self) -> None:
        while self._wakes.get():
            try:
                self._read_next()
            except (OSError, MemoryError) as error:  # who needs the weight will be told
                _logger.debug("reading ahead: %s", error)

    def _read_next(self) -> None:
        """Fetch what is needed next, until somebody needs something else, or there is no room."""
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
    with budget.changed:
        shelf = budget.current
        if shelf is None:
            return []
        names = list(islice(shelf.order.upcoming(), 256))
        return [shelf.places[name] for name in names if name in shelf.places]
