"""One budget for all lazy models of the process: `fastload.set_memory_budget`."""

from __future__ import annotations

import threading

from fastload.lazy_weights.budget import Budget
from fastload.settings import budget_bytes

_lock = threading.Lock()
_shared: Budget | None = None


def set_memory_budget(memory_budget: int | str | None) -> None:
    """Have all models that are loaded lazily from now on share one budget.

    It is for models whose load gives no `memory_budget=` of its own. What the models share is given
    to the one that runs: the weights of the others go first.

    Args:
        memory_budget: bytes, as a number or as `"1GiB"`. Another number changes the budget of the
            models that share it already; None ends the sharing for models that are loaded later.

    Raises:
        MemoryBudgetError: the models that share the budget keep more than that, or use it right
            now. The budget stays as it was.
        ValueError: it is no size.

    Example:
        >>> import fastload
        >>> fastload.set_memory_budget("1GiB")
        >>> fastload.set_memory_budget(None)
    """
    global _shared  # noqa: PLW0603 - it is the process's
    limit = budget_bytes(memory_budget)
    with _lock:
        if limit is None:
            _shared = None
        elif _shared is None:
            _shared = Budget(limit)
        else:
            _shared.resize(limit)


def shared_budget() -> Budget | None:
    """Return the budget that models share, if there is one."""
    return _shared
