"""What follows from measurements, and what is said of them."""

from __future__ import annotations

import pytest

from fastload.bench.result import Timing, paid_back_after
from fastload.bench.verdict import is_worth, verdict

from .made_up import LATER_PHASES, bench, comparison, everything, profile, timing, told


def test_each_figure_is_the_median() -> None:
    """Of three processes, however far off the others are."""
    found = Timing(samples=(told(1.0, 9.0), told(7.0, 4.0), told(3.0, 90.0)))

    assert (found.load_s, found.process_s) == (3.0, 9.0)
    assert found.middle.load_s == 3.0


def test_a_prediction_that_was_not_made_is_no_figure() -> None:
    assert timing(1, 2, predict_s=None).predict_s is None


def test_ratios_say_how_many_times_faster_a_later_load_is() -> None:
    found = comparison(stock_s=3.0, first_s=4.0, later_s=0.5)

    assert found.load_ratio == pytest.approx(6)
    assert found.process_ratio == pytest.approx(2)


@pytest.mark.parametrize(
    ("seconds", "after"),
    [
        ((1.0, 2.5, 0.5), 4),
        ((1.0, 2.0, 0.5), 3),
        ((1.0, 0.9, 0.5), 1),
        ((1.0, 1.0, 2.0), 1),
        ((1.0, 2.0, 1.0), None),
        ((1.0, 1.0001, 0.5), 2),
    ],
)
def test_a_first_load_is_paid_back(seconds: tuple[float, float, float], after: int | None) -> None:
    """After the least number of loads that take no longer than stock's."""
    stock_s, first_s, later_s = seconds
    found = paid_back_after(*seconds)

    assert found == after
    if found is not None:
        assert first_s + (found - 1) * later_s <= found * stock_s + 1e-9
        assert found == 1 or first_s + (found - 2) * later_s > (found - 1) * stock_s


def test_what_stock_does_not_open_is_worth_it_at_any_speed() -> None:
    found = comparison(stock=None, refusal="no", later_s=9.0)

    assert is_worth(found)
    assert verdict(found) == "The stock loader does not open it; fastload does, in 9.00 s."


def test_a_bypass_is_told_with_its_reason_and_code() -> None:
    found = comparison(stock=None, first=None, later=None, reason="it is remote", code="FL201")

    assert not is_worth(found)
    assert verdict(found) == (
        "fastload brings nothing here: every load goes to the stock loader, because it is remote "
        "[FL201]."
    )


def test_an_error_of_fastload_s_own_is_told_as_one() -> None:
    """The stock loader is not asked: it has no predictors."""
    found = comparison(
        stock=None, first=None, later=None, reason="it has no signature.", code="FL403"
    )

    assert verdict(found) == (
        "fastload brings nothing here: it raises an error [FL403]: it has no signature."
    )


def test_a_model_that_is_no_faster_is_told_so_and_why() -> None:
    """Where the process is no faster either."""
    stock = timing(1.0, 4.0)
    found = comparison(stock=stock, later=timing(0.95, 3.9, phases=LATER_PHASES))

    assert not is_worth(found)
    assert verdict(found) == (
        "fastload brings nothing for this model: a later load takes 950 ms, and stock's 1.00 s. "
        "What is left of a load is what both have to do: 250 ms of a later load is 'restore'."
    )


def test_a_tiny_model_has_nothing_to_save() -> None:
    stock = timing(0.02, 3.0)
    found = comparison(stock=stock, later=timing(0.02, 3.0))

    assert verdict(found).endswith("Stock loads it so fast that there is nothing to save.")


def test_a_gain_is_told_with_both_figures() -> None:
    assert verdict(comparison(stock_s=3.4, first_s=4.6, later_s=0.26)) == (
        "A later load takes 260 ms where stock takes 3.40 s: 13.1 times faster. A process that "
        "predicts once takes 2.76 s, not 6.40 s. The first load, which writes the twin, is paid "
        "back after 2 loads."
    )


def test_the_phases_of_a_profile_add_up() -> None:
    found = profile()

    assert found.stock_seconds == pytest.approx(sum(found.stock.values()))
    assert found.later_seconds == pytest.approx(0.2616)
    assert found.to_document()["first"] == found.first


def test_a_document_has_everything() -> None:
    """As JSON values: see tests/cli/test_schemas.py for their types."""
    document = everything().to_document()
    functions = document["functions"]

    assert functions[0]["paid_back_after_loads"] == 2
    assert functions[2]["stock"] is None
    assert functions[3]["code"] == "FL206"
    assert bench().to_document()["functions"] == []
