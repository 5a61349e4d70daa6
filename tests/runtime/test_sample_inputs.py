"""Inputs that are made up: of the shapes and dtypes that are taken, the same ones each time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastload.runtime.core.sample_inputs import (
    UnknownInputsError,
    as_taken,
    blank,
    input_specs,
    probes,
    seeded,
)
from fastload.signature import TensorSpec

SPECS = [
    TensorSpec(name="x", dtype="float32", shape=(None, None, 3)),
    TensorSpec(name="i", dtype="int32", shape=(None,)),
    TensorSpec(name="b", dtype="bool", shape=(2, 2)),
    TensorSpec(name="s", dtype="string", shape=(None, 1)),
]


def tensor(name: str, **flags: Any) -> Any:
    return SimpleNamespace(name=name, shape=(None, 2), dtype="float32", **flags)


@pytest.mark.parametrize(
    ("dtype", "shape", "made"),
    [
        ("float32", (None, None, 3), (1, 32, 3)),
        ("int32", (2, None), (2, 32)),
        ("string", (None,), (1,)),
        ("bool", (None, 5), (1, 5)),
        ("float16", (), (1,)),
    ],
)
def test_values_have_the_shape_and_dtype_that_is_taken(
    dtype: str, shape: tuple[int | None, ...], made: tuple[int, ...]
) -> None:
    spec = TensorSpec(name="x", dtype=dtype, shape=shape)
    (values,) = seeded([spec], rows=1, open_axis=32, integers_below=3)

    assert values.shape == made
    assert values.dtype == (object if dtype == "string" else dtype)


def test_values_are_the_same_each_time() -> None:
    one, other = (seeded(SPECS, rows=5, open_axis=7, integers_below=3) for _ in range(2))

    assert all(map(np.array_equal, one, other))


def test_blank_values_are_the_smallest() -> None:
    assert [blank(spec).shape for spec in SPECS] == [(1, 1, 3), (1,), (2, 2), (1, 1)]


def test_probes_grow() -> None:
    lengths = [values[0].shape[1] for values in probes(SPECS[:1])]

    assert lengths[:5] == [24, 100, 400, 2_000, 12_000]


def test_a_model_is_called_as_it_says() -> None:
    inputs = [tensor("a"), tensor("b")]
    listed = SimpleNamespace(inputs=inputs, input=inputs)
    named = SimpleNamespace(inputs=inputs, input={"a": inputs[0], "b": inputs[1]})
    single = SimpleNamespace(inputs=inputs[:1], input=inputs[0])

    assert [spec.name for spec in input_specs(listed)] == ["a", "b"]
    assert as_taken(listed, [1, 2]) == [1, 2]
    assert as_taken(named, [1, 2]) == {"a": 1, "b": 2}
    assert as_taken(single, [1]) == 1


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [(None, "does not say"), ([tensor("a", sparse=True)], "'a' is sparse or ragged")],
)
def test_a_model_that_takes_something_else_is_told(inputs: Any, reason: str) -> None:
    with pytest.raises(UnknownInputsError, match=reason):
        input_specs(SimpleNamespace(inputs=inputs))
