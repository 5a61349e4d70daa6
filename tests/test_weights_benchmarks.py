"""The benchmark of weights counts no figure of loads that differ, or were no hits."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import weights
from benchmarks.measure import BenchmarkError


def _told(outcome: str, digest: str = "a") -> dict[str, Any]:
    return {"outcome": outcome, "digest": digest}


def test_equal_hits_count() -> None:
    weights._require_same([_told("miss"), _told("stock"), _told("hit")])


@pytest.mark.parametrize(
    "told",
    [
        [_told("miss"), _told("stock", "b"), _told("hit")],
        [_told("hit"), _told("stock"), _told("hit")],
        [_told("miss"), _told("stock"), _told("bypass")],
        [_told("miss"), _told("stock"), _told("miss")],
    ],
)
def test_others_stop_the_run(told: list[dict[str, Any]]) -> None:
    with pytest.raises(BenchmarkError):
        weights._require_same(told)
