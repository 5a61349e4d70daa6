"""A progress bar on stderr, for what takes long: `FASTLOAD_PROGRESS=1`.

It has no thread: whoever has done a part draws it. Work that fails half-way leaves a line on the
terminal, but neither a hidden cursor nor a stream that is redirected.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress

#: Work that takes no longer is not shown.
_PATIENCE_S: Final = 1.0
#: The least time between two drawings on a terminal, and between two lines in a file.
_PAUSE_S: Final = 0.1
_PAUSE_IN_FILE_S: Final = 10.0


class Bar:
    """A bar that is drawn from its second second on.

    Args:
        title: what is being done.
        total: bytes to be done.
        now: returns the time in seconds.
    """

    def __init__(self, title: str, total: int, now: Callable[[], float] = time.monotonic) -> None:
        self._title, self._total, self._now = title, total, now
        self._due_s = now() + _PATIENCE_S
        self._bar: Progress | None = None

    def shows(self, done: int, *, goes_on: bool) -> bool:
        """Draw that *done* bytes are done, if that is due; return whether there is a stderr to.

        Args:
            done: bytes.
            goes_on: whether there will be more; a bar that was drawn goes away with the last.
        """
        try:
            self._show(done, goes_on=goes_on)
        except (OSError, ValueError):  # stderr is closed
            return False
        return True

    def _show(self, done: int, *, goes_on: bool) -> None:
        is_due = self._now() >= self._due_s if goes_on else self._bar is not None
        if not is_due or sys.stderr is None:
            return
        bar = self._bar = self._bar or _started(self._title, self._total)
        bar.update(bar.task_ids[0], completed=done)
        if not bar.console.is_interactive:
            bar.console.print(bar)
        elif goes_on:
            bar.refresh()
        else:
            bar.stop()
        self._due_s = self._now() + (_PAUSE_S if bar.console.is_interactive else _PAUSE_IN_FILE_S)


def _started(title: str, total: int) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    # Not as a notebook's widget, for which packages may be missing.
    console = Console(stderr=True, force_jupyter=False)
    bar = Progress(
        TextColumn(f"fastload: {title}"),
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
