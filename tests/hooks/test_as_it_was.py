"""Doing later what stock does now, without TensorFlow."""

from __future__ import annotations

import os
import random
import warnings

import pytest

from fastload.hooks.as_it_was import AsItWas, merged

SKIP = pytest.mark.skipif(
    not hasattr(warnings, "_filters_mutated"), reason="filters are kept in another way"
)


@pytest.mark.parametrize(
    ("now", "found", "expected"),
    [
        ("ab", "ab", "ab"),
        ("pab", "ab", "pab"),
        ("ab", "iab", "iab"),
        ("pab", "iabj", "piabj"),
        ("pabq", "iabj", "piabjq"),
        ("ipab", "iab", "ipab"),  # the program added the same, later: it is moved to the front
        ("pa", "iab", "pia"),  # the program took `b` away
        ("bpa", "iab", "bpia"),  # the program added `b` again
        ("pq", "iab", "pq"),  # the program has reset them
        ("", "iab", ""),
        ("ab", "bia", "bia"),  # the import moved one to the front
    ],
)
def test_filters_are_as_if_the_import_had_come_first(now: str, found: str, expected: str) -> None:
    assert "".join(merged(list("ab"), list(now), list(found))) == expected


def test_where_there_were_no_filters_those_of_the_program_are_in_front() -> None:
    assert merged([], list("p"), list("i")) == ["p", "i"]


def test_the_program_keeps_its_variables_and_the_work_sees_those_of_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KERAS_A", "then")
    monkeypatch.setenv("KERAS_GONE", "then")
    monkeypatch.setenv("OTHER", "then")
    monkeypatch.delenv("KERAS_NEW", raising=False)
    then = AsItWas()
    monkeypatch.setenv("KERAS_A", "now")
    monkeypatch.setenv("KERAS_NEW", "now")
    monkeypatch.setenv("OTHER", "now")
    monkeypatch.delenv("KERAS_GONE")
    seen = []

    def work() -> None:
        seen.extend(os.environ.get(f"{name}") for name in names)
        monkeypatch.setenv("KERAS_A", "of the work")
        monkeypatch.setenv("KERAS_OWN", "of the work")
        monkeypatch.setenv("OTHER", "of the work")

    names = ["KERAS_A", "KERAS_NEW", "KERAS_GONE", "OTHER", "KERAS_OWN"]
    then.replay(work)
    assert seen == ["then", None, "then", "now", None]
    after = [os.environ.get(name) for name in names]
    assert after == ["now", "now", None, "of the work", "of the work"]


@SKIP
def test_the_work_runs_under_the_filters_of_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "filters", [])
    warnings.simplefilter("ignore")
    then = AsItWas()
    warnings.simplefilter("error")
    then.replay(lambda: warnings.warn("not seen", stacklevel=1))
    with pytest.raises(UserWarning):
        warnings.warn("seen", stacklevel=1)


@SKIP
def test_filters_that_come_back_have_what_the_work_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "filters", [])
    warnings.simplefilter("ignore")
    then = AsItWas()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        then.replay(lambda: warnings.simplefilter("always", ImportWarning))
        assert [entry[0] for entry in warnings.filters] == ["error", "always", "ignore"]
    assert [entry[0] for entry in warnings.filters] == ["always", "ignore"]


def test_random_numbers_and_all_else_are_left_alone_after_an_error() -> None:
    def fail() -> None:
        random.random()
        raise KeyError("work")

    state, variables, filters = random.getstate(), dict(os.environ), list(warnings.filters)
    with pytest.raises(KeyError, match="work"):
        AsItWas().replay(fail)
    assert random.getstate() == state
    assert dict(os.environ) == variables
    assert warnings.filters == filters
