"""A bar on stderr while the weights are read for the first time: `FASTLOAD_PROGRESS=1`.

It is plain text and has no thread: if a call fails half-way, no cursor stays hidden and no terminal
stays taken.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TextIO

from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.lender import Lender
from fastload.lazy_weights.lending_plan import LazyWeight, Plan
from fastload.lazy_weights.pages import Pages
from fastload.lazy_weights.places import Wait

#: A round that is over by then needs no bar.
_PATIENCE_S: Final = 1.0
#: Between two pictures on a terminal, and between two lines in a file.
_PAUSE_S: Final = 0.1
_PAUSE_IN_FILE_S: Final = 10.0
_WIDTH: Final = 30
_MIB: Final = 2**20


class WatchedLender(Lender):
    """A lender that shows how far the first round over its weights is."""

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
    """The first round over the weights of a model, shown if it takes long.

    Args:
        plan: the weights.
        now: gives seconds.
    """

    def __init__(self, plan: Plan, now: Callable[[], float] = time.monotonic) -> None:
        self._left = {weight.name: weight.nbytes for weight in plan.lent}
        self._total = sum(self._left.values())
        self._first = self._latest = ""
        self._now, self._due_s = now, 0.0
        self._is_shown = False
        self._lock = threading.Lock()

    def goes_on(self, name: str) -> bool:
        """Take down that a weight was lent, and show it; say whether there is more to come.

        The round is over when all weights were lent, or when the first comes again after others: a
        call may use but a part of a model.
        """
        with self._lock:
            if not self._first:
                self._first, self._due_s = name, self._now() + _PATIENCE_S
            is_second_round = name == self._first and self._latest not in {"", name}
            self._left.pop(name, None)
            self._latest = name
            goes_on = bool(self._left) and not is_second_round
            try:
                self._show(sys.stderr, goes_on=goes_on)
            except (OSError, ValueError, AttributeError):  # it is closed, or there is none
                return False
            return goes_on

    def _show(self, stream: TextIO, *, goes_on: bool) -> None:
        """Write what is due; the cursor stays at the start of the line, for what others write."""
        if goes_on and self._now() < self._due_s:
            return
        if not goes_on and not self._is_shown:
            return
        line, is_terminal = self._line(), stream.isatty()
        if not goes_on and is_terminal:
            line = " " * len(line)
        stream.write(f"\r{line}\r" if is_terminal else f"{line}\n")
        stream.flush()
        self._is_shown = True
        self._due_s = self._now() + (_PAUSE_S if is_terminal else _PAUSE_IN_FILE_S)

    def _line(self) -> str:
        done = self._total - sum(self._left.values())
        bar = "#" * (_WIDTH * done // self._total)
        return (
            f"fastload: reading weights [{bar:-<{_WIDTH}}] "
            f"{done / _MIB:.0f} of {self._total / _MIB:.0f} MiB"
        )
