"""The comparison itself: it sees and places every difference, and sees none where none is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from contract.comparison import assert_same, differences
from hypothesis import given
from hypothesis import strategies as st

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(_VALUES)
def test_equal_descriptions_do_not_differ(value: Any) -> None:
    """A description equals its own copy, however deep."""
    assert list(differences(value, copy.deepcopy(value))) == []


@given(st.dictionaries(st.text(min_size=1), _VALUES, min_size=1), st.data())
def test_one_changed_value_is_found(stock: dict[str, Any], data: st.DataObject) -> None:
    """Whatever is replaced by something else is reported under its key."""
    key = data.draw(st.sampled_from(sorted(stock)))
    ours = {**stock, key: ["something", "else", "altogether"]}
    if stock[key] == ours[key]:
        return

    found = list(differences(stock, ours))

    assert found != []
    assert all(line.startswith(key) for line in found)


@given(st.lists(_VALUES, min_size=1), st.dictionaries(st.text(), _VALUES))
def test_lost_items_and_keys_are_found(items: list[Any], values: dict[str, Any]) -> None:
    """A shorter list differs, and so does a key that only one side has."""
    assert list(differences({"a": items}, {"a": items[:-1]}))
    assert list(differences({**values, "extra": 1}, values | {"extra": None}))


def test_failure_lists_places_and_values() -> None:
    """The message says how the model was loaded, where it differs and what either side has."""
    stock = {"weights": [{"name": "kernel:0", "bits": "aa"}], "config": {"units": 3}}
    ours = {"weights": [{"name": "kernel:0", "bits": "ab"}], "config": {"units": 3}}

    with pytest.raises(AssertionError) as caught:
        assert_same(stock, ours, ["config", "weights"], "second load")

    expected = "second load: 1 differences from stock:\n  weights[0].bits: stock 'aa', ours 'ab'"
    assert str(caught.value).startswith(expected)


def test_long_failures_are_cut_and_counted() -> None:
    """Of very many differences the first are shown and the rest are counted."""
    stock, ours = {"config": list(range(40))}, {"config": list(range(1, 41))}

    with pytest.raises(AssertionError, match="and 28 more"):
        assert_same(stock, ours, ["config"], "first load")
