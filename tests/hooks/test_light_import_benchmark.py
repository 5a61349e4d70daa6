"""What the benchmark of the import prints, without running it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks import light_import
from benchmarks.measure import BenchmarkError


def measured(seconds: float, modules: int) -> dict[str, float | str | bool]:
    return {
        "seconds": seconds,
        "cpu_seconds": seconds,
        "modules": modules,
        "peak_mib": 500.4,
        "version": "2.21.0",
        "has_matplotlib": False,
    }


def test_medians_of_turns_become_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def measure(kind: str, without: Sequence[str]) -> dict[str, float | str | bool]:
        order.append(kind)
        return measured(2.0, 3000) if kind == "stock" else measured(1.5, 2700)

    monkeypatch.setattr(light_import, "_measure", measure)
    monkeypatch.setattr(light_import, "check_byte_code", lambda: None)
    found = light_import.compare(3)
    assert order == ["stock", "light"] * 4
    expected = "| 2.21.0, no matplotlib | 3 | 2.00 | 1.50 | 25% | 2.00 | 1.50 | 25% |"
    assert light_import.row(found) == expected


def test_an_import_that_fails_is_no_figure() -> None:
    with pytest.raises(BenchmarkError, match="the stock import failed"):
        light_import._measure("stock", ["tensorflow"])
