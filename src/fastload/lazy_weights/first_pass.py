"""A progress bar on stderr for the first pass over lazy weights: `FASTLOAD_PROGRESS=1`.

It has no thread: lending a weight draws it. A call that fails half-way leaves a line on the
terminal, but neither a hidden cursor nor a stream that is redirected.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from fastload import unfinished
from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.lender import Lender
from fastload.lazy_weights.lending_plan import LazyWeight, Plan
from fastload.lazy_weights.pages import Pages
from fastload.lazy_weights.places import Wait

if TYPE_CHECKING:
    from rich.progress import Progress

#: A pass that takes no longer is not shown.
_PATIENCE_S: Final = 1.0
#: The least time between two drawings on a terminal, and between two lines in a file.
_PAUSE_S: Final = 0.1
_PAUSE_IN_FILE_S: Final = 10.0


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
        self._now, self._due_s = now, 0.0
        self._bar: Progress | None = None
        self._lock = unfinished.lock()

    def goes_on(self, name: str) -> bool:
        """Note that a weight was lent, show it if that is due, and say whether the pass goes on.

        The pass is over when all weights were lent, or when the first one is lent again after
        others: a call may use only a part of a model.
        """
        with self._lock:
            if not self._first:
                self._first, self._due_s = name, self._now() + _PATIENCE_S
            is_second_pass = name == self._first and self._latest not in {"", name}
            self._left.pop(name, None)
            self._latest = name
            goes_on = bool(self._left) and not is_second_pass
            try:
                self._show(goes_on=goes_on)
            except (OSError, ValueError):  # stderr is closed
                return False
            return goes_on

    def _show(self, *, goes_on: bool) -> None:
        is_due = self._now() >= self._due_s if goes_on else self._bar is not None
        if not is_due or sys.stderr is None:
            return
        bar = self._bar = self._bar or _started(self._total)
        bar.update(bar.task_ids[0], completed=self._total - sum(self._left.values()))
        if not bar.console.is_interactive:
            bar.console.print(bar)
        elif goes_on:
            bar.refresh()
        else:
            bar.stop()
        self._due_s = self._now() + (_PAUSE_S if bar.console.is_interactive else _PAUSE_IN_FILE_S)


def _started(total: int) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    # Not as a notebook's widget, for which packages may be missing.
    console = Console(stderr=True, force_jupyter=False)
    bar = Progress(
        TextColumn("fastload: reading weights"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task("", total=total)
    if console.is_interactive:
        bar.start()
        console.show_cursor()
    return bar
