"""Calls of libraries that may wait for as long as they like, while nobody waits that long for them.

Each runs in a thread of its own, which is left behind where its time is up: it neither keeps the
process from ending nor touches anything but its result, which nobody asks for any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Call(Generic[Result]):
    """A call that runs beside.

    Args:
        function: what is called; what it returns or raises is all that it may change.
    """

    def __init__(self, function: Callable[[], Result]) -> None:
        self._value: Result
        self._error: BaseException | None = None
        # No `queue.SimpleQueue`: its `get` waits forever where the time runs out as it begins.
        self._is_over = threading.Event()
        self._begun_s = time.monotonic()
        thread = threading.Thread(
            target=self._run, args=(function,), daemon=True, name="fastload-store"
        )
        try:
            thread.start()
        except RuntimeError as error:  # there are too many threads, or the process is ending
            self._error = error
            self._is_over.set()

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
        if not self._is_over.wait(max(0.0, left_s)):
            raise TimeoutError(
                f"no answer within {timeout_s:g} s, which FASTLOAD_REMOTE_TIMEOUT sets"
            )
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self, function: Callable[[], Result]) -> None:
        try:
            self._value = function()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            self._error = error
        finally:
            self._is_over.set()
