"""What a budget would cost is known before a load, within a few weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastload.errors import MemoryBudgetError
from fastload.lazy_weights.accounts import expected_bytes_read, residency_of
from fastload.lazy_weights.lender import array_over
from fastload.lazy_weights.places import Wait
from tests.lazy_weights.lenders import LENT_BYTES, lender_over, plan_of_layers

LAYERS = 12
PLAN = plan_of_layers(LAYERS)


def budget_of(weights: int) -> int:
    """Bytes in which so many of the large weights fit, besides the small ones."""
    return PLAN.kept_nbytes + weights * LENT_BYTES


def test_a_model_that_fits_reads_nothing_again() -> None:
    """Not even where nothing is left over."""
    assert expected_bytes_read(PLAN, PLAN.total_nbytes) == 0


def test_the_smallest_budget_reads_everything() -> None:
    """In each call."""
    assert expected_bytes_read(PLAN, PLAN.smallest_budget) == LAYERS * LENT_BYTES


def test_a_smaller_budget_is_refused() -> None:
    """As a load would be."""
    with pytest.raises(MemoryBudgetError):
        expected_bytes_read(PLAN, PLAN.smallest_budget - 1)


def test_a_larger_budget_never_reads_more() -> None:
    """And one that holds nearly all reads little."""
    expected = [expected_bytes_read(PLAN, budget_of(weights)) for weights in range(1, LAYERS + 1)]

    assert expected == sorted(expected, reverse=True)
    assert expected[-2] <= 3 * LENT_BYTES


@pytest.mark.parametrize("weights", [1, 3, 6, 11])
def test_real_rounds_read_as_much(tmp_path: Path, weights: int) -> None:
    """Up to two weights a round: a thread reads ahead, and it may be late."""
    lender = lender_over(tmp_path, PLAN, budget_of(weights))
    rounds = 8
    read = []
    for _ in range(1 + rounds):
        for weight in PLAN.lent:
            array_over(*lender.lend(weight.name, Wait.FOR_OTHERS)).sum()
        read.append(residency_of(lender).bytes_read)
    expected = expected_bytes_read(PLAN, budget_of(weights))

    assert abs((read[-1] - read[0]) / rounds - expected) <= 2 * LENT_BYTES
