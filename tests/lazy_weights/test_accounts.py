"""What is told of a lender's weights is what they take, by layer and in all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastload.lazy_weights.accounts import Residency, residency_of, residency_of_whole
from fastload.lazy_weights.lender import Lender
from fastload.lazy_weights.places import Wait
from tests.lazy_weights.lenders import KEPT_BYTES, LENT_BYTES, lender_over, plan_of_layers

#: Room for two of three large weights.
LIMIT = 2 * LENT_BYTES + 3 * KEPT_BYTES
TABLE = """\
0.1 of 0.2 MiB in memory, 0.0 of them always
budget 0.1 MiB, at most 0.1 taken
2 loans, 50.0% hits, 0 stalls; 1 reads of 0.1 MiB, 0 evictions
layer             MiB   in memory      always
layers/a0         0.1         0.1         0.0
layers/a1         0.1         0.0         0.0
layers/a2         0.1         0.0         0.0"""
TABLE_OF_WHOLE = """\
0.1 of 0.1 MiB in memory, 0.1 of them always
budget 1.0 MiB, at most 0.1 taken
all weights fit: this is an ordinary model
layer             MiB   in memory      always
layers/a0         0.1         0.1         0.1"""


def lent(lender: Lender, *layers: int) -> list[Any]:
    """Borrow the large weights of some layers, one after the other; nothing is read ahead."""
    places = [lender.shelf.places[f"state/layers/a{layer}/vars/0"] for layer in layers]
    return [lender.budget.lend(place, Wait.FOR_OTHERS) for place in places]


def resident(told: Residency) -> list[int]:
    return [layer.resident_bytes for layer in told.layers]


def test_before_any_call_only_small_weights_are_in_memory(tmp_path: Path) -> None:
    """They stay there."""
    told = residency_of(lender_over(tmp_path, plan_of_layers(3), LIMIT))

    assert told.is_lazy
    assert (told.budget_bytes, told.total_bytes) == (LIMIT, 3 * LENT_BYTES + 3 * KEPT_BYTES)
    assert told.kept_bytes == told.resident_bytes == told.high_water_bytes == 3 * KEPT_BYTES
    assert resident(told) == [KEPT_BYTES] * 3
    assert (told.loans, told.hit_rate) == (0, 1.0)


def test_loans_are_counted_and_shown_by_layer(tmp_path: Path) -> None:
    """A weight that had to go is in memory no more."""
    lender = lender_over(tmp_path, plan_of_layers(3), LIMIT)
    for layers in [(0, 1), (1,), (2,)]:
        lent(lender, *layers)
    told = residency_of(lender)

    assert (told.loans, told.hits, told.hit_rate) == (4, 1, 0.25)
    assert (told.reads, told.bytes_read, told.evictions) == (3, 3 * LENT_BYTES, 1)
    assert sum(resident(told)) == told.resident_bytes == LIMIT == told.high_water_bytes
    assert sorted(resident(told)) == [KEPT_BYTES, *[KEPT_BYTES + LENT_BYTES] * 2]


def test_a_weight_that_was_changed_is_kept(tmp_path: Path) -> None:
    """It is ordinary memory from then on."""
    lender = lender_over(tmp_path, plan_of_layers(3), LIMIT)
    lender.own("state/layers/a1/vars/0")
    told = residency_of(lender)

    assert [layer.owned_bytes for layer in told.layers] == [
        KEPT_BYTES,
        KEPT_BYTES + LENT_BYTES,
        KEPT_BYTES,
    ]
    assert told.kept_bytes == told.resident_bytes == LENT_BYTES + 3 * KEPT_BYTES


def test_layers_add_up_to_the_model(tmp_path: Path) -> None:
    """Whatever is in memory."""
    lender = lender_over(tmp_path, plan_of_layers(3), LIMIT)
    borrowed = lent(lender, 0, 2)
    told = residency_of(lender)

    assert sum(layer.total_bytes for layer in told.layers) == told.total_bytes
    assert sum(resident(told)) == told.resident_bytes == LIMIT
    assert len(borrowed) == 2


def test_as_text_it_is_a_table(tmp_path: Path) -> None:
    """The model first, then its layers in the order of the model."""
    lender = lender_over(tmp_path, plan_of_layers(3), LIMIT)
    lent(lender, 0)
    lent(lender, 0)

    assert str(residency_of(lender)) == TABLE


def test_a_model_that_fits_is_told_as_one() -> None:
    """Nothing comes and goes, so all of it may be in memory."""
    told = residency_of_whole(plan_of_layers(1), 2**20)

    assert not told.is_lazy
    assert told.total_bytes == told.resident_bytes == told.kept_bytes == LENT_BYTES + KEPT_BYTES
    assert str(told) == TABLE_OF_WHOLE


def test_a_table_of_many_layers_shows_the_largest() -> None:
    """A terminal has some forty lines."""
    lines = str(residency_of_whole(plan_of_layers(100), 2**30)).splitlines()

    assert len(lines) == 3 + 1 + 40 + 1
    assert lines[-1] == "and 60 smaller layers"
