"""What is lent but not used gives its room to the one that all wait for."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fastload.errors import MemoryBudgetError
from fastload.lazy_weights import budget as budget_module
from fastload.lazy_weights import standstill
from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.lender import Lender, ReadAhead, array_over
from fastload.lazy_weights.lending_plan import SMALL_BYTES, plan_of
from fastload.lazy_weights.pages import MappedPages, Pages, ReadPages, has_pagemap
from fastload.lazy_weights.places import Wait
from tests.lazy_weights.weights import in_use, random_file, ref

NAMES = [f"state/layers/d{number}/vars/0" for number in range(4)]
ROOM = 2 * SMALL_BYTES
#: Where nothing is used, nobody waits for longer.
SOON_S = 1.0

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not has_pagemap(), reason="only Linux tells"
)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads ahead."""
    monkeypatch.setattr(ReadAhead, "wake", lambda self: None)


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """Four weights, one after the other."""
    return random_file(tmp_path / "weights", len(NAMES) * SMALL_BYTES)


@pytest.fixture
def lender(tmp_path: Path, content: bytes) -> Iterator[Lender]:
    """Lends them, two at a time; the sums are right when the test is over."""
    found = lender_of(tmp_path, MappedPages)
    yield found
    check_sums(found)
    assert not found.budget._suspended
    assert not found.budget._borrowers


def lender_of(folder: Path, kind: Callable[[Path], Pages]) -> Lender:
    refs = [ref(name, SMALL_BYTES, SMALL_BYTES * number) for number, name in enumerate(NAMES)]
    return Lender(plan_of(refs), Budget(ROOM), kind(folder / "weights"))


def lent(lender: Lender, number: int, wait: Wait = Wait.FOR_OTHERS) -> np.ndarray:
    return array_over(*lender.lend(NAMES[number], wait))


def bytes_of(content: bytes, number: int) -> bytes:
    return content[number * SMALL_BYTES : (number + 1) * SMALL_BYTES]


def check_sums(lender: Lender) -> None:
    """Check that what has room is what is counted, and no more than the budget."""
    gc.collect()
    budget = lender.budget
    with budget.changed:
        there = sum(place.weight.nbytes for place in budget._here if place.is_here)
        assert budget.used == there
        assert budget.used <= budget.high_water <= budget.limit
        assert set(budget._suspended) == {each for each in budget._here if each.is_suspended}


class Asker:
    """Another thread that asks for a weight, and says when it has it; it keeps it until told."""

    def __init__(self, lender: Lender, number: int, wait: Wait = Wait.ALWAYS) -> None:
        self.content, self.waited_s = b"", 0.0
        self.error: MemoryBudgetError | None = None
        self.has_it, self._give_back = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(lender, number, wait))
        self._thread.start()

    def _run(self, lender: Lender, number: int, wait: Wait) -> None:
        began = time.monotonic()
        try:
            array = lent(lender, number, wait)
        except MemoryBudgetError as error:
            self.error = error.with_traceback(None)
            return
        self.waited_s = time.monotonic() - began
        self.content = array.tobytes()
        self.has_it.set()
        self._give_back.wait(10)
        del array

    def give_back(self) -> None:
        self._give_back.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_what_is_idle_gives_way(lender: Lender, content: bytes) -> None:
    """Two fill the budget; a third has its room within a second, and gives it back to them."""
    idle = [lent(lender, number) for number in range(2)]
    asker = Asker(lender, 2)
    assert asker.has_it.wait(10)
    check_sums(lender)
    while_it_has_it = [place.weight.name for place in lender.budget._suspended]
    asker.give_back()

    assert asker.content == bytes_of(content, 2)
    assert asker.waited_s < SOON_S
    assert sorted(while_it_has_it) == NAMES[:2]
    assert not lender.budget._suspended
    assert lender.budget.used == ROOM
    assert [each.tobytes() for each in idle] == [bytes_of(content, number) for number in range(2)]


def test_what_is_touched_after_all_has_its_bytes(lender: Lender, content: bytes) -> None:
    """Before the one that all waited for is back: the pages come again from the file."""
    idle = lent(lender, 0), lent(lender, 1)
    asker = Asker(lender, 2)
    assert asker.has_it.wait(10)
    found = [each.tobytes() for each in idle]
    asker.give_back()

    assert found == [bytes_of(content, number) for number in range(2)]


def test_what_is_returned_meanwhile_needs_no_room(lender: Lender) -> None:
    """It goes as it is, and the other one has its room again."""
    first, second = lent(lender, 0), lent(lender, 1)
    asker = Asker(lender, 2)
    assert asker.has_it.wait(10)
    del first
    check_sums(lender)
    suspended = list(lender.budget._suspended)
    asker.give_back()

    assert suspended == []
    assert second is not None


def test_a_weight_that_was_suspended_can_be_borrowed_again(lender: Lender, content: bytes) -> None:
    """While the one that it gave way to has its room: there is some for one more."""
    idle = lent(lender, 0), lent(lender, 1)
    asker = Asker(lender, 2)
    assert asker.has_it.wait(10)
    again = Asker(lender, 0)
    assert again.has_it.wait(10)
    check_sums(lender)
    again.give_back()
    asker.give_back()

    assert again.content == bytes_of(content, 0)
    assert len(idle) == 2


def test_one_after_the_other_gets_its_turn(lender: Lender, content: bytes) -> None:
    """However many wait."""
    idle = lent(lender, 0), lent(lender, 1)
    askers = [Asker(lender, number) for number in (2, 3, 2, 3)]
    for asker in askers:
        assert asker.has_it.wait(10)
    check_sums(lender)
    for asker in askers:
        asker.give_back()

    assert [asker.content for asker in askers] == [bytes_of(content, n) for n in (2, 3, 2, 3)]
    assert idle[0].tobytes() == bytes_of(content, 0)


def test_what_came_for_another_thread_is_not_brought_again(
    lender: Lender, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one watches what is lent, it comes back, and another one gets what both wait for."""
    idle, place = [lent(lender, 0), lent(lender, 1)], lender.shelf.places[NAMES[2]]

    def is_unused(*_: object) -> bool:
        idle.clear()
        return lender.budget.changed.wait_for(lambda: place.is_here, 10)

    monkeypatch.setattr(budget_module, "is_unused", is_unused)
    askers = [Asker(lender, 2) for _ in range(2)]
    for asker in askers:
        assert asker.has_it.wait(10)
        asker.give_back()

    assert [asker.content for asker in askers] == [bytes_of(content, 2)] * 2
    assert lender.shelf.counts.reads == 3


def test_what_is_used_all_the_time_stays(lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants its room waits in vain, and is told so."""
    monkeypatch.setattr(standstill, "PATIENCE_S", 0.5)
    used, idle = lent(lender, 0), lent(lender, 1)
    with in_use(used):
        asker = Asker(lender, 2)
        assert not asker.has_it.wait(2)
        asker.give_back()
    check_sums(lender)

    assert isinstance(asker.error, MemoryBudgetError)
    assert (asker.error.limit, asker.error.needed) == (ROOM, ROOM + SMALL_BYTES)
    assert lender.budget.used == ROOM
    assert idle is not None


def test_what_comes_back_is_waited_for(lender: Lender, content: bytes) -> None:
    """Nothing is suspended where somebody is about to be done."""
    used, idle = lent(lender, 0), lent(lender, 1)
    with in_use(used):
        asker = Asker(lender, 2, Wait.FOR_OTHERS)
        assert not asker.has_it.wait(0.2)
        del idle
        assert asker.has_it.wait(10)
    assert not lender.budget._suspended
    asker.give_back()

    assert asker.content == bytes_of(content, 2)
    assert used.tobytes() == bytes_of(content, 0)


def test_room_that_there_is_is_not_waited_for_in_vain(lender: Lender, content: bytes) -> None:
    """A graph leaves some for the next round, but not for ever: another weight is in use."""
    used = lent(lender, 0)
    with in_use(used):
        asker = Asker(lender, 2)
        assert asker.has_it.wait(10)
    asker.give_back()

    assert asker.content == bytes_of(content, 2)
    assert not lender.budget._suspended


def test_what_was_written_is_never_suspended(
    lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pages are the only ones with what is in them."""
    monkeypatch.setattr(standstill, "PATIENCE_S", 0.3)
    written, idle = lent(lender, 0), lent(lender, 1)
    written[5] ^= 255
    expected = written.tobytes()
    asker = Asker(lender, 2)
    asker.give_back()

    assert isinstance(asker.error, MemoryBudgetError)
    assert written.tobytes() == expected
    assert idle is not None


@pytest.mark.parametrize("number", [0, 2], ids=["without room", "with room"])
def test_what_is_written_meanwhile_is_kept(lender: Lender, content: bytes, number: int) -> None:
    """Into one that gave its room away, or one that got it: it is given back, and not lost."""
    idle = [lent(lender, 0), lent(lender, 1)]
    asker = Asker(lender, 2)
    assert asker.has_it.wait(10)
    written = lent(lender, 2) if number else idle.pop(0)
    asker.give_back()
    written[5] ^= 255
    del written
    gc.collect()
    idle.clear()

    assert lent(lender, number)[5] == bytes_of(content, number)[5] ^ 255


def test_memory_of_its_own_is_never_suspended(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be dropped while somebody may look at it."""
    monkeypatch.setattr(standstill, "PATIENCE_S", 0.3)
    lender = lender_of(tmp_path, ReadPages)
    idle = lent(lender, 0), lent(lender, 1)
    asker = Asker(lender, 2)
    asker.give_back()

    assert isinstance(asker.error, MemoryBudgetError)
    assert [each.tobytes() for each in idle] == [bytes_of(content, number) for number in range(2)]


def test_a_model_that_goes_takes_what_is_suspended_along(tmp_path: Path, content: bytes) -> None:
    """As soon as nobody has it."""
    lender = lender_of(tmp_path, MappedPages)
    budget = lender.budget
    idle = lent(lender, 0), lent(lender, 1)
    asker = Asker(lender, 2)
    assert asker.has_it.wait(10)
    asker.give_back()
    del lender, asker
    gc.collect()
    assert [each.tobytes() for each in idle] == [bytes_of(content, number) for number in range(2)]
    del idle
    gc.collect()

    assert (budget.used, budget._here, budget._suspended) == (0, set(), [])
