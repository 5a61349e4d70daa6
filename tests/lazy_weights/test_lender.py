"""The weights of one model in a budget: lent, owned, and given back with the model."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fastload.errors import MemoryBudgetError
from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.lender import Lender, ReadAhead, _upcoming, array_over
from fastload.lazy_weights.lending_plan import SMALL_BYTES, Plan, plan_of
from fastload.lazy_weights.pages import MappedPages, Pages, ReadPages
from fastload.lazy_weights.places import NeedOrder, Wait
from tests.lazy_weights.weights import PAGE, FakePages, check_sums, here, ref, shelf_of

LARGE = 2 * SMALL_BYTES
NAMES = [f"state/layers/d{number}/vars/0" for number in range(4)]
BIAS = "state/layers/d0/vars/1"


@pytest.fixture
def values() -> dict[str, np.ndarray]:
    """Four matrices that are lent, and a bias that is kept."""
    random = np.random.default_rng(1)
    found = {name: random.normal(size=LARGE // 4).astype("f4") for name in NAMES}
    return {**found, BIAS: random.normal(size=100).astype("f4")}


@pytest.fixture
def path(tmp_path: Path, values: dict[str, np.ndarray]) -> Path:
    """They, one after the other, at multiples of 64."""
    path = tmp_path / "weights"
    path.write_bytes(bytes(64) + b"".join(value.tobytes() for value in values.values()))
    return path


@pytest.fixture
def plan(values: dict[str, np.ndarray]) -> Plan:
    """Where they are."""
    offset, refs = 64, []
    for name, value in values.items():
        refs.append(ref(name, value.nbytes, offset, "float32"))
        offset += value.nbytes
    return plan_of(refs)


@pytest.fixture(params=[MappedPages, ReadPages])
def pages(request: pytest.FixtureRequest, path: Path) -> Pages:
    """The file, opened in each way."""
    kind: Callable[[Path], Pages] = request.param
    return kind(path)


def tight(plan: Plan) -> Budget:
    return Budget(plan.smallest_budget + plan.lent[0].nbytes)


def lent(lender: Lender, name: str) -> np.ndarray:
    """Return a weight, which is lent while the array lives."""
    return array_over(*lender.lend(name, Wait.FOR_OTHERS))


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads ahead."""
    monkeypatch.setattr(ReadAhead, "wake", lambda self: None)


def test_each_weight_has_its_values(
    plan: Plan, pages: Pages, values: dict[str, np.ndarray]
) -> None:
    """Round after round, in a budget for two of four."""
    budget = tight(plan)
    lender = Lender(plan, budget, pages)
    for name in NAMES * 5:
        np.testing.assert_array_equal(lent(lender, name), values[name])

    assert lender.shelf.counts.loans == 20
    assert budget.high_water <= budget.limit
    assert [lender.content(weight).tolist() for weight in plan.kept] == [values[BIAS].tolist()]


def test_what_is_kept_is_counted_from_the_start(plan: Plan) -> None:
    """Whether it was read or not."""
    budget = tight(plan)
    lender = Lender(plan, budget, FakePages())

    assert budget.used == plan.kept_nbytes == 400
    assert sum(lender.owned.values()) == lender.owned[BIAS] == 400


def test_what_is_in_no_file_is_counted_as_well(plan: Plan) -> None:
    """States of a model, and variables that somebody changed while it was made."""
    budget = tight(plan)
    lender = Lender(plan, budget, FakePages(), 1000)

    assert budget.used == sum(lender.owned.values()) == 1400
    del lender
    gc.collect()
    assert budget.used == 0


def test_what_is_kept_must_fit(plan: Plan) -> None:
    """The error says what for."""
    with pytest.raises(MemoryBudgetError, match="keeping small weights needs 400 bytes"):
        Lender(plan, Budget(399), FakePages())


def test_an_owned_weight_is_ordinary_memory(
    plan: Plan, pages: Pages, values: dict[str, np.ndarray]
) -> None:
    """It is counted; it is lent as well until its variable has the values, and then no more."""
    budget = tight(plan)
    lender = Lender(plan, budget, pages)
    found = lender.own(NAMES[1])
    meanwhile = lent(lender, NAMES[1])

    np.testing.assert_array_equal(found, values[NAMES[1]])
    np.testing.assert_array_equal(meanwhile, values[NAMES[1]])
    assert lender.owned[NAMES[1]] == LARGE
    assert budget.used >= plan.kept_nbytes + LARGE + plan.lent[1].nbytes
    lender.forget(NAMES[1])
    with pytest.raises(KeyError):
        lent(lender, NAMES[1])
    np.testing.assert_array_equal(meanwhile, values[NAMES[1]])


def test_a_weight_that_has_no_room_is_not_owned(plan: Plan) -> None:
    """It is lent as before."""
    budget = Budget(plan.smallest_budget)
    lender = Lender(plan, budget, FakePages())
    array = lent(lender, NAMES[0])
    with pytest.raises(MemoryBudgetError, match=f"keeping {NAMES[1]!r} in memory"):
        lender.own(NAMES[1])
    del array

    assert lent(lender, NAMES[1]).size == LARGE // 4


def test_a_weight_that_cannot_be_read_is_not_owned(plan: Plan) -> None:
    """The disk may be well again the next time; the room is free meanwhile."""
    budget, pages = tight(plan), FakePages()
    lender = Lender(plan, budget, pages)
    pages.error = OSError(5, "the disk is gone")
    with pytest.raises(OSError, match="the disk is gone"):
        lender.own(NAMES[1])
    pages.error = None

    assert lent(lender, NAMES[1]).size == LARGE // 4
    assert NAMES[1] not in lender.owned


@pytest.mark.parametrize("kind", [MemoryError, KeyboardInterrupt])
def test_a_weight_that_is_not_owned_takes_no_room(kind: type[BaseException], plan: Plan) -> None:
    """However often it is tried."""
    budget, pages = tight(plan), FakePages()
    lender = Lender(plan, budget, pages)
    pages.error = kind()
    for _ in range(9):
        with pytest.raises(kind):
            lender.own(NAMES[1])

    assert budget.used == plan.kept_nbytes


def test_a_weight_that_is_owned_again_is_counted_once(plan: Plan) -> None:
    """Its variable may have found no memory the first time."""
    budget = tight(plan)
    lender = Lender(plan, budget, FakePages())
    for _ in range(9):
        lender.own(NAMES[1])

    assert budget.used == plan.kept_nbytes + LARGE


def test_a_model_that_goes_gives_everything_back(alone: None, plan: Plan, pages: Pages) -> None:
    """What is lent at that time goes with its loan."""
    budget = tight(plan)
    lender = Lender(plan, budget, pages)
    lender.own(NAMES[1])
    lent(lender, NAMES[0])
    del lender
    gc.collect()

    assert budget.used == 0
    assert budget._here == set()


class Collecting(NeedOrder):
    """An order that is asked just when the garbage collector runs."""

    def distance(self, name: str) -> int:
        gc.collect()
        return super().distance(name)


def test_a_model_that_goes_while_room_is_made(alone: None, plan: Plan) -> None:
    """In the very thread that makes it: its weights are what would be dropped."""
    budget = tight(plan)
    lender = Lender(plan, budget, FakePages())
    lent(lender, NAMES[0])
    lender.shelf.order = Collecting(NAMES)
    garbage = [lender]
    garbage.append(garbage)
    del lender, garbage
    shelf = shelf_of({"b": budget.limit // PAGE})
    owner = budget.lend(shelf.places["b"], Wait.NEVER)

    assert here(budget) == {"b"}
    assert owner is not None
    check_sums(budget, shelf)


def test_nothing_is_read_for_a_model_that_is_gone(alone: None, plan: Plan) -> None:
    """What would be read then, nobody would ever drop."""
    budget, pages = tight(plan), FakePages()
    lender = Lender(plan, budget, pages)
    lent(lender, NAMES[0])
    del lender
    gc.collect()
    ReadAhead.of(budget)._read_next()

    assert budget.used == 0
    assert pages.open == []


def test_what_was_about_to_be_read_when_a_model_went_is_not_read(alone: None, plan: Plan) -> None:
    """The thread that reads ahead had chosen its next weight already."""
    budget, pages = tight(plan), FakePages()
    lender = Lender(plan, budget, pages)
    lent(lender, NAMES[0])
    following = _upcoming(budget)[0]
    del lender
    gc.collect()
    budget.fetch(following)

    assert budget.used == 0
    assert pages.open == []


@pytest.mark.parametrize("kind", [MappedPages, ReadPages])
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning:")
def test_a_loan_outlives_the_model(
    alone: None,
    path: Path,
    plan: Plan,
    values: dict[str, np.ndarray],
    kind: Callable[[Path], Pages],
) -> None:
    """Its bytes stay; with it, the last of them goes, quietly."""
    budget = tight(plan)
    pages = kind(path)
    lender = Lender(plan, budget, pages)
    array = lent(lender, NAMES[0])
    del lender
    gc.collect()

    np.testing.assert_array_equal(array, values[NAMES[0]])
    del array
    gc.collect()
    assert budget.used == 0
    pages._file.close()


def test_two_models_share_a_budget(
    alone: None, plan: Plan, values: dict[str, np.ndarray], path: Path
) -> None:
    """The one that runs has the room of the other."""
    budget = Budget(plan.smallest_budget + plan.lent[0].nbytes + plan.kept_nbytes)
    lenders = [Lender(plan, budget, MappedPages(path)) for _ in range(2)]
    for name in NAMES * 2:
        for lender in lenders:
            np.testing.assert_array_equal(lent(lender, name), values[name])

    assert budget.high_water <= budget.limit
    check_resident(budget, lenders)
    del lender, lenders
    gc.collect()
    assert budget.used == 0


def check_resident(budget: Budget, lenders: list[Lender]) -> None:
    with budget.changed:
        there = sum(place.weight.nbytes for place in budget._here)
        assert budget.used == there + sum(sum(lender.owned.values()) for lender in lenders)


def test_the_sums_are_right_with_a_reader_ahead(plan: Plan) -> None:
    """It takes from the same budget, in its own thread."""
    budget = tight(plan)
    lender = Lender(plan, budget, FakePages())
    for name in NAMES * 10:
        lent(lender, name)
    budget.resize(budget.limit + 1)

    check_sums(budget, lender.shelf, kept=plan.kept_nbytes)
