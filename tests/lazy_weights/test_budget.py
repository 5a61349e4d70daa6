"""A budget is never exceeded, and what is needed last goes first."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.errors import MemoryBudgetError
from fastload.lazy_weights import standstill
from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.places import Place, Shelf, Wait
from tests.lazy_weights.weights import PAGE, FakePiece, check_sums, here, shelf_of

#: No thread of a test waits longer for another.
SOON_S = 10.0


def lend(budget: Budget, shelf: Shelf, name: str, wait: Wait = Wait.FOR_OTHERS) -> Any:
    return budget.lend(shelf.places[name], wait)


def passed(budget: Budget, shelf: Shelf, names: str) -> None:
    """Lend one after the other, each given back at once."""
    for name in names:
        lend(budget, shelf, name)


class Borrower:
    """A thread that borrows a weight and keeps it until it is told."""

    def __init__(self, budget: Budget, shelf: Shelf, name: str, wait: Wait) -> None:
        self.error: BaseException | None = None
        self.has_it, self._give_back = threading.Event(), threading.Event()
        arguments = (budget, shelf, name, wait)
        self._thread = threading.Thread(target=self._run, args=arguments, daemon=True)
        self._thread.start()

    def _run(self, budget: Budget, shelf: Shelf, name: str, wait: Wait) -> None:
        try:
            owner = lend(budget, shelf, name, wait)
        except Exception as error:
            self.error = error.with_traceback(None)
            return
        self.has_it.set()
        self._give_back.wait(SOON_S)
        del owner

    def give_back(self) -> None:
        self._give_back.set()
        self._thread.join(SOON_S)
        assert not self._thread.is_alive()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing comes back, nobody waits for long."""
    monkeypatch.setattr(standstill, "PATIENCE_S", 0.3)


def waiting(budget: Budget) -> Iterator[bool]:
    """Give whether anybody waits, until somebody does."""
    for _ in range(int(SOON_S * 1000)):
        with budget.changed:
            is_there = bool(budget.changed._waiters)
        yield is_there
        if is_there:
            return
        threading.Event().wait(0.001)


def test_a_weight_stays_while_it_is_lent() -> None:
    """And may stay after that, as long as nobody needs its room."""
    budget, shelf = Budget(2 * PAGE), shelf_of("abc")
    first = lend(budget, shelf, "a")
    passed(budget, shelf, "bc")

    assert here(budget) == {"a", "c"}
    del first
    assert here(budget) == {"a", "c"}
    assert shelf.counts.evictions == 1
    check_sums(budget, shelf)


def test_a_view_is_a_loan_as_well() -> None:
    """Whoever looks at the bytes keeps them."""
    budget, shelf = Budget(PAGE), shelf_of("ab")
    view = memoryview(lend(budget, shelf, "a"))[10:20]
    with pytest.raises(MemoryBudgetError):
        lend(budget, shelf, "b")
    del view
    lend(budget, shelf, "b")

    assert here(budget) == {"b"}


def test_the_weight_that_is_needed_last_goes_first() -> None:
    """Not the one that was used longest ago, which is needed next."""
    budget, shelf = Budget(3 * PAGE), shelf_of("abcd")
    passed(budget, shelf, "abcd")

    assert here(budget) == {"a", "b", "d"}


def test_a_round_brings_no_more_than_it_must() -> None:
    """Of five weights, three fit: two stay from round to round, three come again."""
    budget, shelf = Budget(3 * PAGE), shelf_of("abcde")
    passed(budget, shelf, "abcde" * 2)
    before = shelf.counts.reads
    passed(budget, shelf, "abcde" * 10)

    assert (shelf.counts.reads - before) / 10 <= 3
    assert shelf.counts.loans == 60


def test_weights_of_other_models_go_first() -> None:
    """The budget is for the one that runs."""
    budget, idle, running = Budget(3 * PAGE), shelf_of("ab"), shelf_of("xy")
    passed(budget, idle, "ab")
    passed(budget, running, "xy")

    assert here(budget) == {"x", "y", "a"}
    check_sums(budget, idle, running)


def test_one_large_weight_takes_the_room_of_several() -> None:
    """As many go as it needs."""
    budget, shelf = Budget(4 * PAGE), shelf_of({"a": 1, "b": 1, "c": 1, "large": 4})
    passed(budget, shelf, "abc")
    lend(budget, shelf, "large")

    assert here(budget) == {"large"}
    assert budget.high_water == 4 * PAGE


def test_without_room_a_loan_is_refused() -> None:
    """The error has the numbers; what was there before is there still."""
    budget, shelf = Budget(2 * PAGE), shelf_of({"a": 1, "b": 2})
    owner = lend(budget, shelf, "a")
    with pytest.raises(MemoryBudgetError, match=r"\[FL406\] reading 'b' needs 12288") as told:
        lend(budget, shelf, "b")

    assert (told.value.limit, told.value.needed) == (2 * PAGE, 3 * PAGE)
    assert here(budget) == {"a"}
    del owner
    lend(budget, shelf, "b")


def test_a_weight_larger_than_the_budget_is_refused_at_once() -> None:
    """Also by who would wait: there is nobody to wait for."""
    budget, shelf = Budget(PAGE), shelf_of({"b": 2})
    with pytest.raises(MemoryBudgetError):
        lend(budget, shelf, "b", Wait.FOR_OTHERS)


def test_who_has_borrowed_all_does_not_wait_for_itself() -> None:
    """Refused at once, not after a while: nobody else will give anything back."""
    budget, shelf = Budget(PAGE), shelf_of("ab")
    owner = lend(budget, shelf, "a")
    with pytest.raises(MemoryBudgetError):
        lend(budget, shelf, "b", Wait.FOR_OTHERS)

    assert owner is not None
    assert shelf.counts.stalls == 0


@pytest.mark.parametrize("wait", [Wait.FOR_OTHERS, Wait.ALWAYS])
def test_a_loan_waits_for_what_another_thread_gives_back(wait: Wait) -> None:
    """It is woken, and then has its room."""
    budget, shelf = Budget(PAGE), shelf_of("ab")
    holder = Borrower(budget, shelf, "a", Wait.NEVER)
    assert holder.has_it.wait(SOON_S)
    waiter = Borrower(budget, shelf, "b", wait)
    assert any(waiting(budget))
    assert not waiter.has_it.is_set()
    holder.give_back()

    assert waiter.has_it.wait(SOON_S)
    waiter.give_back()
    assert shelf.counts.stalls == 1
    check_sums(budget, shelf)


def test_nobody_waits_for_ever() -> None:
    """Where nothing comes back, all loans wait for each other: an error says so."""
    budget, shelf = Budget(PAGE), shelf_of("ab")
    holder = Borrower(budget, shelf, "a", Wait.NEVER)
    assert holder.has_it.wait(SOON_S)
    with pytest.raises(MemoryBudgetError, match="reading 'b'"):
        lend(budget, shelf, "b", Wait.FOR_OTHERS)
    holder.give_back()
    lend(budget, shelf, "b")


def test_a_weight_that_another_thread_reads_is_waited_for() -> None:
    """It is read once, and lent to both."""
    budget, shelf = Budget(PAGE), shelf_of("a")
    shelf.pages.gate.clear()
    borrowers = [Borrower(budget, shelf, "a", Wait.NEVER) for _ in range(2)]
    assert any(waiting(budget))
    shelf.pages.gate.set()

    assert all(borrower.has_it.wait(SOON_S) for borrower in borrowers)
    for borrower in borrowers:
        borrower.give_back()
    assert (shelf.pages.reads, shelf.counts.hits, shelf.counts.stalls) == (1, 1, 1)


def test_a_weight_that_is_forgotten_while_it_is_read_is_lent_all_the_same() -> None:
    """One thread assigns, one reads, one waits for what the other reads."""
    budget, shelf = Budget(PAGE), shelf_of("a")
    shelf.pages.gate.clear()
    borrowers = [Borrower(budget, shelf, "a", Wait.NEVER) for _ in range(2)]
    assert any(waiting(budget))
    budget.forget(shelf.places["a"])
    with budget.changed:
        budget.changed.notify_all()
    threading.Event().wait(0.05)
    shelf.pages.gate.set()
    for borrower in borrowers:
        borrower.give_back()

    assert [borrower.error for borrower in borrowers] == [None, None]


def test_what_is_kept_is_counted_until_it_is_released() -> None:
    """Weights go to make room for it."""
    budget, shelf = Budget(3 * PAGE), shelf_of("abc")
    passed(budget, shelf, "abc")
    budget.keep(2 * PAGE, "something")

    assert len(here(budget)) == 1
    check_sums(budget, shelf, kept=2 * PAGE)
    with pytest.raises(MemoryBudgetError, match="something else needs 16384"):
        budget.keep(2 * PAGE, "something else")
    budget.release(2 * PAGE)
    passed(budget, shelf, "abc")
    assert len(here(budget)) == 3


def test_a_written_weight_never_goes() -> None:
    """What somebody wrote is nowhere else; it stays, and is counted."""
    budget, shelf = Budget(2 * PAGE), shelf_of("abc")
    owner = lend(budget, shelf, "a")
    owner[5] = 1
    del owner
    passed(budget, shelf, "bcbc")

    assert "a" in here(budget)
    assert lend(budget, shelf, "a")[5] == 1
    assert shelf.counts.evictions >= 3
    check_sums(budget, shelf)


def test_written_weights_alone_leave_no_room() -> None:
    """Then there is an error, and the bytes are kept."""
    budget, shelf = Budget(PAGE), shelf_of("ab")
    lend(budget, shelf, "a")[0] = 9
    with pytest.raises(MemoryBudgetError):
        lend(budget, shelf, "b")

    assert lend(budget, shelf, "a")[0] == 9


def test_a_forgotten_weight_goes_with_its_last_loan() -> None:
    """At once where nobody has it."""
    budget, shelf = Budget(2 * PAGE), shelf_of("ab")
    owner = lend(budget, shelf, "a")
    passed(budget, shelf, "b")
    for name in "ab":
        budget.forget(shelf.places[name])

    assert here(budget) == {"a"}
    del owner
    assert here(budget) == set()
    check_sums(budget, shelf)


def test_a_forgotten_weight_can_be_lent_again() -> None:
    """It is read anew."""
    budget, shelf = Budget(PAGE), shelf_of("a")
    passed(budget, shelf, "a")
    budget.forget(shelf.places["a"])
    passed(budget, shelf, "aa")

    assert shelf.counts.reads == 2
    assert here(budget) == {"a"}


def test_a_smaller_budget_drops_what_no_longer_fits() -> None:
    """And a larger one has room again."""
    budget, shelf = Budget(3 * PAGE), shelf_of("abc")
    passed(budget, shelf, "abc")
    budget.resize(PAGE)

    assert len(here(budget)) == 1
    budget.resize(3 * PAGE)
    passed(budget, shelf, "abc")
    assert len(here(budget)) == 3


def test_a_budget_that_is_in_use_is_not_cut() -> None:
    """It stays as it was."""
    budget, shelf = Budget(2 * PAGE), shelf_of("ab")
    owners = [lend(budget, shelf, name) for name in "ab"]
    with pytest.raises(MemoryBudgetError) as told:
        budget.resize(PAGE)

    assert (told.value.limit, told.value.needed, budget.limit) == (PAGE, 2 * PAGE, 2 * PAGE)
    assert len(owners) == 2


def test_reading_before_the_need_takes_no_room_from_sooner_needs() -> None:
    """It takes free room, and that of weights that are needed later."""
    budget, shelf = Budget(2 * PAGE), shelf_of("abcd")
    passed(budget, shelf, "abcd" * 2 + "a")
    done = [budget.fetch(shelf.places[name]) for name in "bcd"]

    assert done[0]
    assert not done[2]
    assert "b" in here(budget)
    assert len(here(budget)) == 2
    check_sums(budget, shelf)


def test_what_was_fetched_is_a_hit() -> None:
    """That is what it was fetched for."""
    budget, shelf = Budget(2 * PAGE), shelf_of("ab")
    assert budget.fetch(shelf.places["a"])
    assert budget.fetch(shelf.places["a"])
    passed(budget, shelf, "ab")

    assert (shelf.counts.loans, shelf.counts.hits, shelf.counts.reads) == (2, 1, 2)


@pytest.mark.parametrize("way", ["lend", "fetch"])
@pytest.mark.parametrize("kind", [OSError, MemoryError, RuntimeError, KeyboardInterrupt])
def test_a_weight_that_cannot_be_read_leaves_nothing(kind: type[BaseException], way: str) -> None:
    """The error is the disk's, or a device's; afterwards it can be read again."""
    budget, shelf = Budget(PAGE), shelf_of("a")
    shelf.pages.error = kind("it is gone")
    with pytest.raises(kind, match="it is gone"):
        lend(budget, shelf, "a") if way == "lend" else budget.fetch(shelf.places["a"])
    gc.collect()
    check_sums(budget, shelf)
    shelf.pages.error = None

    assert here(budget) == set()
    assert budget.fetch(shelf.places["a"])
    assert here(budget) == {"a"}


def test_what_another_thread_cannot_read_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been interrupted, which is no fault of the file."""
    budget, shelf = Budget(PAGE), shelf_of("a")
    shelf.pages.gate.clear()
    stock = FakePiece.read

    def interrupted(piece: FakePiece) -> None:
        monkeypatch.setattr(FakePiece, "read", stock)
        piece.pages.gate.wait(SOON_S)
        raise InterruptedError

    monkeypatch.setattr(FakePiece, "read", interrupted)
    borrowers = [Borrower(budget, shelf, "a", Wait.NEVER) for _ in range(2)]
    assert any(waiting(budget))
    shelf.pages.gate.set()
    for borrower in borrowers:
        borrower.give_back()

    assert [type(borrower.error) for borrower in borrowers] in (
        [InterruptedError, type(None)],
        [type(None), InterruptedError],
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_reads_what_another_thread_was_reading() -> None:
    """It has none of that thread, and would wait without end."""
    budget, shelf = Budget(PAGE), shelf_of("a")
    shelf.pages.gate.clear()
    borrower = Borrower(budget, shelf, "a", Wait.NEVER)
    while not shelf.places["a"].loans:
        threading.Event().wait(0.001)
    child = os.fork()
    if not child:
        signal.alarm(int(SOON_S))
        shelf.pages.gate.set()
        lend(budget, shelf, "a")
        os._exit(0)
    shelf.pages.gate.set()
    borrower.give_back()

    assert os.waitpid(child, 0)[1] == 0


def test_loans_leave_no_trace() -> None:
    """Of who borrowed, and of finalizers."""
    budget, shelf = Budget(2 * PAGE), shelf_of("ab")
    before = len(weakref.finalize._registry)
    for _ in range(100):
        passed(budget, shelf, "ab")

    assert budget._borrowers == {}
    assert len(weakref.finalize._registry) == before


def hammer(budget: Budget, shelf: Shelf, seed: int, errors: list[BaseException]) -> None:
    """Borrow at random, one weight at a time, and check each time."""
    import random

    draw = random.Random(seed)
    names = list(shelf.places)
    try:
        for _ in range(200):
            place: Place = shelf.places[draw.choice(names)]
            way = draw.random()
            if way < 0.3:
                budget.fetch(place)
            else:
                owner = budget.lend(place, Wait.FOR_OTHERS)
                assert place.piece is not None
                assert place.piece.is_ready
                assert bytes(owner[:4]) == bytes(4)
                del owner
            with budget.changed:
                assert budget.used == sum(each.weight.nbytes for each in budget._here)
                assert budget.used <= budget.limit
    except BaseException as error:
        errors.append(error.with_traceback(None))  # whose frames have loans


@pytest.mark.parametrize("seed", range(4))
def test_threads_never_exceed_the_budget(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has one loan at a time, so there is always somebody who gives one back."""
    monkeypatch.setattr(standstill, "PATIENCE_S", SOON_S)
    sizes = {f"w{number}": 1 + (number * 7 + seed) % 5 for number in range(12)}
    budget, shelves = Budget((5 + seed) * PAGE), [shelf_of(sizes), shelf_of(sizes)]
    errors: list[BaseException] = []
    threads = [
        threading.Thread(target=hammer, args=(budget, shelves[n % 2], seed * 10 + n, errors))
        for n in range(6)
    ]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    sys.setswitchinterval(interval)

    assert errors == []
    assert not any(thread.is_alive() for thread in threads)
    assert budget._borrowers == {}
    check_sums(budget, *shelves)


steps = st.lists(
    st.tuples(
        st.sampled_from(["lend", "lend ahead", "give back", "fetch", "forget", "resize"]),
        st.integers(0, 7),
    ),
    max_size=60,
)


@given(sizes=st.lists(st.integers(1, 4), min_size=8, max_size=8), steps=steps)
def test_no_sequence_of_steps_exceeds_the_budget(
    sizes: list[int], steps: list[tuple[str, int]]
) -> None:
    """The sums are right after each."""
    shelf, budget = shelf_of({str(n): pages for n, pages in enumerate(sizes)}), Budget(8 * PAGE)
    owners: dict[int, Any] = {}
    for step, number in steps:
        place = shelf.places[str(number)]
        try:
            if step == "lend":
                owners[number] = budget.lend(place, Wait.FOR_OTHERS)
            elif step == "lend ahead":
                owners[number] = budget.lend(place, Wait.NEVER)
            elif step == "give back":
                owners.pop(number, None)
            elif step == "fetch":
                budget.fetch(place)
            elif step == "forget":
                budget.forget(place)
            else:
                budget.resize((8 + number) * PAGE)
        except MemoryBudgetError as error:
            is_full = error.needed > error.limit
            assert is_full or step == "lend ahead"
        with budget.changed:
            assert budget.used == sum(each.weight.nbytes for each in budget._here)
            assert budget.used == shelf.pages.nbytes <= budget.limit
        assert all(shelf.places[str(lent)].piece is not None for lent in owners)
