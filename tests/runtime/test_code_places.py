"""Where code that ran is searched for."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

from fastload.runtime.core import code_places
from fastload.runtime.core.code_record import CodeRecord, recording


class First:
    """A class that has another one, which has it."""

    def double(self, number: int) -> int:
        return 2 * number


class Second:
    """See above."""

    first = First


First.second = Second  # type: ignore[attr-defined]


@pytest.mark.timeout(60)
def test_classes_that_have_each_other() -> None:
    """As classes that a function makes and Keras's own may."""
    with recording() as ran:
        First().double(3)

    CodeRecord.of(ran).require_here()


def test_what_runs_at_a_collection_took_no_part() -> None:
    """It runs whenever there is garbage, and may count."""
    seen = []

    def count(phase: str, _: dict[str, int]) -> None:
        seen.append(phase)

    gc.callbacks.append(count)
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        with recording() as ran:
            kept = [[number] for number in range(100)]
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(count)

    assert len(kept) == 100
    assert count.__code__ not in ran.codes


def test_a_library_that_is_imported_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    place = str(np.__file__)
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "numpy")
        assert not place.startswith(code_places._folders())

    assert place.startswith(code_places._folders())
