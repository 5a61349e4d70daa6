"""Calls of libraries that may wait for as long as they like, while nobody waits that long for them.

Each runs in a thread of its own, which is left behind where its time is up: it neither keeps the
process from ending nor touches anything but its result, which nobody asks for any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Call(Generic[Result]):
    """A call that runs beside.

    Args:
        function: what is called; what it returns or raises is all that it may change.
    """

    def __init__(self, function: Callable[[], Result]) -> None:
        self._done: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
        self._begun_s = time.monotonic()
        thread = threading.Thread(
            target=_run, args=(function, self._done), daemon=True, name="fastload-store"
        )
        try:
            thread.start()
        except RuntimeError as error:  # there are too many threads, or the process is ending
            self._done.put((False, error))

    def result(self, timeout_s: float) -> Result:
        """Return what the function returned.

        Args:
            timeout_s: how long it may take since it was begun; what is there is returned in any
                case.

        Raises:
            TimeoutError: it took longer.
            BaseException: what the function raised.
        """
        left_s = self._begun_s + timeout_s - time.monotonic()
        try:
            has_returned, value = self._done.get(timeout=max(0.0, left_s))
        except Empty:
            raise TimeoutError(f"no answer within {timeout_s:g} s") from None
        if not has_returned:
            raise value
        result: Result = value
        return result


def _run(function: Callable[[], Any], done: SimpleQueue[tuple[bool, Any]]) -> None:
    try:
        result = function()
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
        done.put((False, error))
    else:
        done.put((True, result))
