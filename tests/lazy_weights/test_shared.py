"""One budget for all models of the process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import fastload
from fastload.errors import MemoryBudgetError
from fastload.lazy_weights.budget import set_memory_budget, shared_budget
from tests.lazy_weights.weights import PAGE


@pytest.fixture(autouse=True)
def not_shared() -> Iterator[None]:
    """Before and after each test."""
    set_memory_budget(None)
    yield
    set_memory_budget(None)


def test_at_first_nothing_is_shared() -> None:
    """Each model has its own."""
    assert shared_budget() is None
    assert fastload.set_memory_budget is set_memory_budget


@pytest.mark.parametrize(("size", "limit"), [(4096, 4096), ("1MiB", 2**20)])
def test_a_budget_is_a_number_or_a_text(size: int | str, limit: int) -> None:
    """As in a load."""
    set_memory_budget(size)
    budget = shared_budget()

    assert budget is not None
    assert (budget.limit, budget.used) == (limit, 0)


def test_another_number_changes_the_same_budget() -> None:
    """Models that share it are not loaded again."""
    set_memory_budget(PAGE)
    budget = shared_budget()
    set_memory_budget(3 * PAGE)

    assert shared_budget() is budget
    assert budget is not None
    assert budget.limit == 3 * PAGE


def test_a_budget_below_what_is_kept_is_refused() -> None:
    """It stays as it was."""
    set_memory_budget(3 * PAGE)
    budget = shared_budget()
    assert budget is not None
    budget.keep(2 * PAGE, "weights")
    with pytest.raises(MemoryBudgetError, match="what is in memory needs 8192"):
        set_memory_budget(PAGE)

    assert budget.limit == 3 * PAGE


def test_none_ends_the_sharing_for_later_models() -> None:
    """The next number makes a new budget."""
    set_memory_budget(PAGE)
    before = shared_budget()
    set_memory_budget(None)
    after = shared_budget()
    set_memory_budget(PAGE)

    assert after is None
    assert shared_budget() is not before


@pytest.mark.parametrize("size", [0, -1, "none", "0"])
def test_what_is_no_size_is_an_error(size: int | str) -> None:
    """And changes nothing."""
    with pytest.raises(ValueError, match=r"memory_budget=|not a size"):
        set_memory_budget(size)

    assert shared_budget() is None
