"""Processes with lazy weights live within a limit of memory; those with mapped ones share them."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from benchmarks.cases import Generation
from benchmarks.lazy import BUDGETS
from benchmarks.lazy_measure import (
    HEADROOM_BYTES,
    Limited,
    Outputs,
    limited,
    prepare,
    share,
    take_down_stock,
)
from benchmarks.lazy_process import CALL, PREDICT, STOCK, Call, Load, Subject
from benchmarks.memory_limit import control_group
from benchmarks.resident import has_pagemap

SIZE = "small"
BUDGET = BUDGETS[SIZE]
CALLS = [Call(how=how) for how in (CALL, PREDICT) for _ in range(2)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_pagemap(), reason="the system does not tell what is in memory"),
    pytest.mark.skipif(version("keras") < "3", reason="benchmarks take Keras 3 or tf-keras"),
]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the network and its twin."""
    return tmp_path_factory.mktemp("lazy")


@pytest.fixture(scope="module")
def subject(work: Path) -> Subject:
    """A network of 256 MiB."""
    return prepare(SIZE, Generation.KERAS3, work)


@pytest.fixture(scope="module")
def outputs(subject: Subject, work: Path) -> Outputs:
    """What the stock loader's model computes; all others are compared with it, to the bit."""
    expected = Outputs()
    take_down_stock(subject, work / "cache", expected, CALLS[::2])
    return expected


@pytest.fixture(scope="module")
def lazy(subject: Subject, work: Path, outputs: Outputs) -> Limited:
    """A process that calls a lazy model, and was looked at every 5 milliseconds."""
    load = Load(weights="lazy", budget=BUDGET)
    return limited(subject, load, work / "cache", outputs, CALLS)


def test_a_lazy_model_makes_all_its_calls_within_the_limit(lazy: Limited) -> None:
    assert lazy.status is None
    assert lazy.calls == len(CALLS)


def test_what_is_in_memory_of_the_twin_is_never_more_than_the_budget(lazy: Limited) -> None:
    assert lazy.looks > 20
    assert BUDGET // 2 < lazy.of_twin <= BUDGET


def test_a_process_grows_by_the_budget_and_little_more(lazy: Limited) -> None:
    assert lazy.growth < BUDGET + HEADROOM_BYTES


def test_a_stock_load_dies_of_the_same_limit(
    subject: Subject, work: Path, outputs: Outputs
) -> None:
    group = control_group()
    if group is None:
        pytest.skip("this process may not make control groups")
    group.close()

    stock = limited(subject, Load(weights=STOCK, budget=BUDGET), work / "cache", outputs, CALLS)

    assert (stock.limiter, stock.calls, stock.status) == ("control group", 0, -9)


def test_four_processes_share_one_copy_of_mapped_weights(
    subject: Subject, work: Path, outputs: Outputs
) -> None:
    found = share(subject, work / "cache", outputs, processes=4)

    assert found.nbytes < found.share + 2**22
    assert found.share < 1.1 * found.nbytes
    assert found.growth < found.nbytes / 2
