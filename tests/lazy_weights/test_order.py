"""The order of needs is learnt, whatever the rounds are like."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from fastload.lazy_weights.places import NeedOrder


def noted(order: NeedOrder, names: str) -> NeedOrder:
    for name in names:
        order.note(name)
    return order


def test_the_expected_order_is_that_of_the_first_round() -> None:
    """Nothing is known yet."""
    order = NeedOrder("abcd")

    assert list(order.upcoming()) == list("abcd")
    assert [order.distance(name) for name in "abcd"] == [1, 2, 3, 4]


def test_another_order_is_learnt_after_a_round() -> None:
    """A round ends where it began."""
    order = noted(NeedOrder("abcd"), "dbca" * 2)

    assert list(order.upcoming()) == list("dbca")
    assert [order.distance(name) for name in "dbca"] == [1, 2, 3, 4]


def test_a_shared_weight_is_needed_several_times_a_round() -> None:
    """Its next need counts."""
    order = noted(NeedOrder("abc"), "abac" * 2 + "a")

    assert list(order.upcoming()) == list("baca")
    assert (order.distance("a"), order.distance("c")) == (2, 3)


def test_needs_in_a_row_are_one() -> None:
    """As those of a loop over one weight, or of threads side by side."""
    order = noted(NeedOrder("abc"), "aaabbbbbccc" * 2 + "a")

    assert list(order.upcoming()) == list("bca")


def test_a_loop_over_two_weights_is_learnt_as_it_is() -> None:
    """An RNN needs kernel and recurrent kernel step after step."""
    one = "a" + "kr" * 5 + "z"
    order = noted(NeedOrder("akrz"), one * 2 + "ak")

    assert list(order.upcoming())[:4] == list("rkrk")
    assert order.distance("z") == 10


def test_a_round_without_some_weights_is_learnt_in_the_end() -> None:
    """A head that is not called is needed after all that is."""
    order = noted(NeedOrder("abcx"), "abc" * 20)

    assert order.distance("x") > max(order.distance(name) for name in "abc")
    assert list(order.upcoming()) == list("abc")


def test_a_stranger_is_needed_last() -> None:
    """And changes nothing until its round is over."""
    order = noted(NeedOrder("abc"), "aq")

    assert order.distance("q") == 4
    assert list(order.upcoming()) == list("bca")


def test_no_weights_have_no_order() -> None:
    """A model may have small weights alone."""
    order = NeedOrder("")

    assert list(order.upcoming()) == []
    assert order.distance("a") == 1


def test_a_weight_that_is_needed_once_ends_no_learning() -> None:
    """`get_weights` of a layer, and then calls of a part of the model: what is noted is bounded."""
    order = noted(NeedOrder("abc"), "a" + "cb" * 1000)

    assert len(order._round) <= 100
    assert list(order.upcoming())[:2] == ["c", "b"]


@given(expected=st.permutations("abcde"), rounds=st.text("abcdeq", max_size=60))
def test_whatever_is_needed_each_weight_has_its_distance(expected: list[str], rounds: str) -> None:
    """The distance of a weight is where it comes in what is needed from now on."""
    order = noted(NeedOrder(expected), rounds)
    upcoming = list(order.upcoming())

    for name, place in zip(reversed(upcoming), itertools.count(len(upcoming), -1), strict=False):
        assert order.distance(name) <= place
    for name in set(upcoming):
        assert upcoming[order.distance(name) - 1] == name


@given(one=st.text("abcde", min_size=5, max_size=12).filter(lambda each: set(each) == set("abcde")))
def test_rounds_that_are_alike_are_foreseen(one: str) -> None:
    """From the third on, each need is the one that was expected next."""
    plain = "".join(name for name, _ in itertools.groupby(one))
    order = noted(NeedOrder("abcde"), plain * 2)
    seen = []
    for name in plain * 2:
        seen.append(order.distance(name))
        order.note(name)

    assert set(seen[: len(plain)]) <= set(range(len(plain) + 1))
