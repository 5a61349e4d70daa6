"""Nests of specs go through JSON and come back as they were."""

from __future__ import annotations

import enum
import json
from collections import OrderedDict, namedtuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.runtime.core.spec_codec import NotPlainError, decode, decode_spec, encode, encode_spec

tf = pytest.importorskip("tensorflow")

DTYPES = ["float32", "bfloat16", "int64", "bool", "string", "complex64", "uint8"]
shapes = st.none() | st.lists(st.none() | st.integers(0, 2**40), max_size=5)
names = st.none() | st.text(max_size=9)
specs = st.builds(tf.TensorSpec, shapes, st.sampled_from(DTYPES), names)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
nests = st.recursive(
    plain | specs,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


def refuse(leaf: Any) -> Any:
    raise NotPlainError(type(leaf).__name__)


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def types_of(nest: Any) -> Any:
    """Return the types in a nest: 1, 1.0 and True are equal."""
    if isinstance(nest, dict):
        return {key: types_of(value) for key, value in nest.items()}
    inner = [types_of(item) for item in nest] if isinstance(nest, (list, tuple)) else []
    return (type(nest), inner)


@given(nests)
def test_a_nest_comes_back_as_it_was(nest: Any) -> None:
    """With its lists, tuples and dicts, and with names that look like ours."""
    found = decode(through_json(encode(nest, refuse)), refuse)

    assert found == nest
    assert types_of(found) == types_of(nest)


@given(specs)
def test_a_spec_comes_back_with_its_name(spec: Any) -> None:
    """Names do not take part in equality of specs everywhere."""
    found = decode_spec(through_json(encode_spec(spec)))

    assert found == spec
    assert (found.name, found.dtype) == (spec.name, spec.dtype)
    # As text: an unknown length is equal to none in TensorFlow 2.8.
    assert (str(found.shape), found.shape.rank) == (str(spec.shape), spec.shape.rank)


@given(st.lists(st.complex_numbers(allow_nan=False), min_size=1, max_size=3))
def test_other_leaves_are_left_to_the_caller(leaves: list[complex]) -> None:
    """What `leaf` makes of a value is what `decode` gives back to its own."""
    encoded = encode([leaves], lambda leaf: {"complex": [leaf.real, leaf.imag]})

    assert decode(through_json(encoded), lambda value: complex(*value["complex"])) == [leaves]


class Colour(enum.IntEnum):
    RED = 1


REFUSED = [
    {1: "a"},
    OrderedDict(a=1),
    namedtuple("Pair", "a b")(1, 2),  # noqa: PYI024 (the plain kind is what Keras users have)
    {1, 2},
    b"bytes",
    Colour.RED,
    tf.RaggedTensorSpec([None, None]),
    tf.SparseTensorSpec([3]),
    tf.TensorShape([1]),
]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
def test_what_json_would_change_is_no_plain_value(value: Any) -> None:
    """A value that would come back as another type is refused, at any depth."""
    for nest in (value, [value], {"a": (value,)}):
        with pytest.raises(NotPlainError, match=type(value).__name__):
            encode(nest, refuse)
