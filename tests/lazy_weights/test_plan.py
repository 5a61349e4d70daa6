"""What is lent, what is kept, and how small a budget can be."""

from __future__ import annotations

import pytest

from fastload.lazy_weights.lending_plan import SMALL_BYTES, LazyWeight, layer_of, plan_of
from tests.lazy_weights.weights import PAGE, ref, weight

KERNEL = "state/layers/dense/vars/0"


def test_small_weights_are_kept() -> None:
    """The border belongs to those that are lent."""
    plan = plan_of([ref(KERNEL, SMALL_BYTES), ref("state/layers/dense/vars/1", SMALL_BYTES - 1)])

    assert [each.name for each in plan.lent] == [KERNEL]
    assert [each.name for each in plan.kept] == ["state/layers/dense/vars/1"]
    assert plan.kept_nbytes == SMALL_BYTES - 1


@pytest.mark.parametrize(
    "left_out",
    [
        ref("state/optimizer/vars/0", SMALL_BYTES),
        ref("optimizer_weights/adam/m:0", SMALL_BYTES),
        ref("state/layers/words/table", SMALL_BYTES, dtype="string"),
        ref("state/layers/none/vars/0", 0),
    ],
    ids=["optimizer", "optimizer in HDF5", "strings", "empty"],
)
def test_what_no_call_of_the_model_needs_is_left_out(left_out: object) -> None:
    """And what has no bytes that could be mapped."""
    plan = plan_of([left_out])

    assert (plan.lent, plan.kept, plan.total_nbytes) == ((), (), 0)
    assert plan.largest_layer == ("", 0)
    assert plan.smallest_budget == 0


@pytest.mark.parametrize(
    ("offset", "nbytes", "pages"),
    [
        (0, PAGE, 1),
        (0, 1, 1),
        (0, PAGE + 1, 2),
        (64, PAGE, 2),
        (PAGE - 64, 64, 1),
        (PAGE - 64, 65, 2),
        (3 * PAGE + 64, 2 * PAGE - 64, 2),
    ],
)
def test_a_weight_takes_the_pages_that_it_lies_on(offset: int, nbytes: int, pages: int) -> None:
    """Those that it shares with a neighbour as well."""
    found = weight(KERNEL, nbytes, offset)

    assert found.nbytes == pages * PAGE
    assert found.start <= offset < found.start + PAGE
    assert found.start % PAGE == 0
    assert offset + nbytes <= found.start + found.nbytes


def test_a_layer_is_all_weights_of_its_path() -> None:
    """The kernel and the recurrent kernel of a cell are needed at once."""
    plan = plan_of(
        [
            ref("state/layers/lstm/cell/vars/0", 16 * PAGE),
            ref("state/layers/dense/vars/0", 24 * PAGE),
            ref("state/layers/lstm/cell/vars/1", 16 * PAGE),
            ref("state/layers/lstm/cell/vars/2", 7),
        ]
    )

    assert plan.largest_layer == ("layers/lstm/cell", 32 * PAGE)
    assert plan.smallest_budget == 32 * PAGE + 7
    assert plan.total_nbytes == 56 * PAGE + 7


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("model_weights/conv1/conv1/kernel:0", "conv1/conv1"),
        ("state/layers/dense/vars/0", "layers/dense"),
        ("state/layers/a/layers/b/vars/12", "layers/a/layers/b"),
        ("model_weights/lonely", "lonely"),
    ],
)
def test_a_layer_has_the_path_that_the_file_gives_it(name: str, layer: str) -> None:
    """Of both kinds of files."""
    assert layer_of(name) == layer


def test_the_order_of_the_twin_is_kept() -> None:
    """It is what is expected of the first round."""
    names = [f"state/layers/d{number}/vars/0" for number in (3, 1, 2)]
    plan = plan_of(ref(name, SMALL_BYTES) for name in names)

    assert [each.name for each in plan.lent] == names
    assert all(isinstance(each, LazyWeight) for each in plan.lent)
