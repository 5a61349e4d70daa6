"""The first pass over lazy weights is shown by a bar: `FASTLOAD_PROGRESS=1`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fastload import unfinished
from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.lender import Lender
from fastload.lazy_weights.lending_plan import LazyWeight, Plan
from fastload.lazy_weights.pages import Pages
from fastload.lazy_weights.places import Wait
from fastload.progress import Bar


class WatchedLender(Lender):
    """A lender that shows the progress of the first pass over its weights."""

    def __init__(self, plan: Plan, budget: Budget, pages: Pages, besides: int = 0) -> None:
        super().__init__(plan, budget, pages, besides)
        self._first_pass: FirstPass | None = FirstPass(plan)

    def lend(self, name: str, wait: Wait) -> tuple[Any, LazyWeight]:
        """Lend a weight, as `Lender.lend` does."""
        lent = super().lend(name, wait)
        first_pass = self._first_pass
        if first_pass is not None and not first_pass.goes_on(name):
            self._first_pass = None
        return lent


class FirstPass:
    """The first pass over the weights of a model, shown if it takes long.

    Args:
        plan: the weights.
        now: returns the time in seconds.
    """

    def __init__(self, plan: Plan, now: Callable[[], float] = time.monotonic) -> None:
        self._left = {weight.name: weight.nbytes for weight in plan.lent}
        self._total = sum(self._left.values())
        self._first = self._latest = ""
        self._now = now
        self._bar: Bar | None = None
        self._lock = unfinished.lock()

    def goes_on(self, name: str) -> bool:
        """Note that a weight was lent, show it if that is due, and say whether the pass goes on.

        The pass is over when all weights were lent, or when the first one is lent again after
        others: a call may use only a part of a model.
        """
        with self._lock:
            if self._bar is None:
                self._first, self._bar = name, Bar("reading weights", self._total, self._now)
            is_second_pass = name == self._first and self._latest not in {"", name}
            self._left.pop(name, None)
            self._latest = name
            goes_on = bool(self._left) and not is_second_pass
            done = self._total - sum(self._left.values())
            return self._bar.shows(done, goes_on=goes_on) and goes_on
