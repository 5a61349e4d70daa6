"""What is needed next is there before it is asked for."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.lender import ReadAhead
from fastload.lazy_weights.places import Shelf, Wait
from tests.lazy_weights.weights import PAGE, check_sums, here, shelf_of

SOON_S = 10.0


def eventually(condition: Callable[[], bool], within_s: float = SOON_S) -> bool:
    """Say whether a condition becomes true."""
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    return condition()


def readers() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "fastload read-ahead"}


def needed(budget: Budget, shelf: Shelf, names: str) -> None:
    """Lend each, and tell who reads ahead."""
    for name in names:
        budget.lend(shelf.places[name], Wait.NEVER)
        ReadAhead.of(budget).wake()


def test_the_next_weights_come_by_themselves() -> None:
    """Into room that is free, up to a quarter of the budget."""
    budget, shelf = Budget(8 * PAGE), shelf_of("abcdef")
    needed(budget, shelf, "a")

    assert eventually(lambda: here(budget) == {"a", "b", "c"})
    check_sums(budget, shelf)


def test_they_take_the_room_of_what_is_needed_later() -> None:
    """After a round, the one that was just used is needed last."""
    budget, shelf = Budget(2 * PAGE), shelf_of("abcd")
    needed(budget, shelf, "abcd")

    assert eventually(lambda: "a" in here(budget))
    check_sums(budget, shelf)


def test_without_room_the_system_is_told() -> None:
    """It reads into the page cache, which is not the process's."""
    budget, shelf = Budget(PAGE), shelf_of("abc")
    owner = budget.lend(shelf.places["a"], Wait.NEVER)
    ReadAhead.of(budget).wake()

    assert eventually(lambda: "b" in shelf.pages.advised)
    assert here(budget) == {"a"}
    assert owner is not None


def test_where_no_thread_can_begin_nothing_is_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are lent, and read ahead as soon as one can."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    budget, shelf = Budget(8 * PAGE), shelf_of("abcd")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        needed(budget, shelf, "a")
    assert here(budget) == {"a"}
    needed(budget, shelf, "b")

    assert eventually(lambda: here(budget) >= {"a", "b", "c"})


def test_a_budget_has_one_reader() -> None:
    """Whoever asks."""
    budget = Budget(PAGE)

    assert ReadAhead.of(budget) is ReadAhead.of(budget)
    assert ReadAhead.of(budget) is not ReadAhead.of(Budget(PAGE))


def test_a_reader_ends_with_its_budget() -> None:
    """Its thread too."""
    before = readers()
    budget, shelf = Budget(4 * PAGE), shelf_of("abc")
    needed(budget, shelf, "abc")
    (thread,) = readers() - before
    del budget, shelf
    gc.collect()

    assert eventually(lambda: not thread.is_alive())


def test_threads_that_wake_a_reader_at_once_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second comes while the first starts a thread; there would be one that never ends."""
    before, budget = readers(), Budget(PAGE)
    reader, stock = ReadAhead.of(budget), threading.Thread
    second = stock(target=reader.wake, daemon=True)

    def thread(**arguments: Any) -> threading.Thread:
        monkeypatch.setattr(threading, "Thread", stock)
        second.start()
        second.join(0.2)
        return stock(**arguments)

    monkeypatch.setattr(threading, "Thread", thread)
    reader.wake()
    second.join(SOON_S)
    del budget
    gc.collect()
    have_ended = eventually(lambda: readers() <= before, within_s=1)
    reader._wakes.put(False)  # for the one that was not told

    assert have_ended
    assert eventually(lambda: readers() <= before)


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_an_error_does_not_end_the_reader(kind: type[Exception]) -> None:
    """Whoever needs the weight is told; the next one is read ahead again."""
    budget, shelf = Budget(8 * PAGE), shelf_of("abcdef")
    needed(budget, shelf, "a")
    assert eventually(lambda: here(budget) == {"a", "b", "c"})
    shelf.pages.error = kind("the disk is gone")
    needed(budget, shelf, "bc")
    time.sleep(0.05)
    with pytest.raises(kind, match="the disk is gone"):
        budget.lend(shelf.places["d"], Wait.NEVER)
    shelf.pages.error = None
    gc.collect()
    needed(budget, shelf, "d")

    assert eventually(lambda: "e" in here(budget))
    check_sums(budget, shelf)


def test_nothing_is_read_for_a_budget_that_nobody_used() -> None:
    """No model asked yet."""
    budget = Budget(PAGE)
    ReadAhead.of(budget).wake()
    time.sleep(0.02)

    assert budget.used == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_has_a_reader_of_its_own() -> None:
    """Threads do not come along."""
    budget, shelf = Budget(8 * PAGE), shelf_of("abcdef")
    needed(budget, shelf, "a")
    assert eventually(lambda: here(budget) == {"a", "b", "c"})
    child = os.fork()
    if not child:
        needed(budget, shelf, "b")
        os._exit(0 if eventually(lambda: "d" in here(budget)) else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
