"""Reads of a graph take turns: a budget for one weight is enough, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastload.lazy_weights import standstill
from tests.needs import NEEDS_LENDING
from tests.runtime.lent_variables import COLUMNS, ROWS, Lent, is_lazy, lend_variables

tf = pytest.importorskip("tensorflow")

pytestmark = NEEDS_LENDING

Network = Callable[[list[Any], Any], Any]


@pytest.fixture
def lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lent]:
    """Four variables in a budget for one."""
    monkeypatch.setattr(standstill, "PATIENCE_S", 5.0)
    found = lend_variables(tmp_path / "weights", count=4, room=1)
    yield found
    found.close()
    assert found.all_is_given_back()
    assert found.budget.high_water <= found.budget.limit


def layer(variable: Any, value: Any) -> Any:
    """Return vectors as long as *value*'s."""
    return tf.tanh(tf.matmul(tf.pad(value, [[0, 0], [0, ROWS - COLUMNS]]), variable) / 10)


def closed(function: Callable[[Any, Any], Any], variable: Any) -> Callable[[Any], Any]:
    """Return a function that has *variable* from outside: an argument would become ordinary."""
    return lambda value: function(variable, value)


def chain(variables: list[Any], value: Any) -> Any:
    for variable in variables * 2:
        value = layer(variable, value)
    return value


def branches(variables: list[Any], value: Any) -> Any:
    return tf.add_n([layer(variable, value) for variable in variables])


def shared(variables: list[Any], value: Any) -> Any:
    first, second, *_ = variables
    return layer(first, layer(second, layer(first, layer(first, value))))


def calls(variables: list[Any], value: Any) -> Any:
    """Each layer is a function of its own."""
    for run in [tf.function(closed(layer, each)) for each in variables]:
        value = run(value)
    return value


def nested_calls(variables: list[Any], value: Any) -> Any:
    first, *others = variables

    @tf.function
    def inner(given: Any) -> Any:
        return chain(others, given)

    return layer(first, inner(layer(first, value)))


def loop(variables: list[Any], value: Any) -> Any:
    """One layer, step by step, and one before and after."""
    first, second, third, _ = variables
    value = layer(first, value)
    for _ in tf.range(6):
        value = layer(second, value)
    return layer(third, value)


def loop_over_two(variables: list[Any], value: Any) -> Any:
    """Two layers in each step, with room for one."""
    first, second, *_ = variables
    for _ in tf.range(6):
        value = layer(second, layer(first, value))
    return value


def loop_over_steps(variables: list[Any], value: Any) -> Any:
    """Each step first takes an input, which does not depend on the step before."""
    first, second, *_ = variables
    steps = tf.TensorArray(tf.float32, 6).unstack(tf.stack([value] * 6))

    def body(count: Any, state: Any) -> tuple[Any, Any]:
        return count + 1, layer(second, state + layer(first, steps.read(count)))

    return tf.while_loop(lambda count, _: count < 6, body, (tf.constant(0), value))[1]


def loop_in_a_loop(variables: list[Any], value: Any) -> Any:
    first, second, *_ = variables
    for _ in tf.range(3):
        for _ in tf.range(2):
            value = layer(first, value)
        value = layer(second, value)
    return value


def branch(variables: list[Any], value: Any) -> Any:
    first, second, third, _ = variables
    if tf.reduce_sum(value) > 1e6:
        value = layer(first, value)
    else:
        value = layer(third, layer(second, value))
    return layer(first, value)


def mapped(variables: list[Any], value: Any) -> Any:
    first, second, *_ = variables
    found = tf.map_fn(lambda row: layer(second, layer(first, row[None]))[0], value)
    return layer(first, found)


def side_by_side(variables: list[Any], value: Any) -> Any:
    """Two loops that do not depend on each other."""
    first, second, third, fourth = variables
    left = right = value
    for _ in tf.range(4):
        left = layer(second, layer(first, left))
    for _ in tf.range(4):
        right = layer(fourth, layer(third, right))
    return left + right


NETWORKS: dict[str, Network] = {
    each.__name__: each
    for each in (
        chain,
        branches,
        shared,
        calls,
        nested_calls,
        loop,
        loop_over_two,
        loop_over_steps,
        loop_in_a_loop,
        branch,
        mapped,
        side_by_side,
    )
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_room_for_one_weight_is_enough(lent: Lent, network: Network) -> None:
    """Call after call, to the bit."""
    value = tf.ones((2, COLUMNS))
    expected = tf.function(lambda given: network(lent.ordinary, given))(value)
    run = tf.function(lambda given: network(lent.lazy, given))
    for _ in range(3):
        np.testing.assert_array_equal(run(value).numpy(), expected.numpy())

    assert all(map(is_lazy, lent.lazy))


def test_a_read_comes_after_the_one_before(lent: Lent) -> None:
    """Both are operations that call back; the second has an edge from what the first gave."""
    run = tf.function(lambda given: chain(lent.lazy[:2], given))
    graph = run.get_concrete_function(tf.ones((2, COLUMNS))).graph
    reads = [each for each in graph.get_operations() if each.type == "EagerPyFunc"]
    before = [{each.name for each in read.control_inputs} for read in reads]
    given = [each.name for each in graph.get_operations() if each.type == "EnsureShape"]

    assert len(reads) == len(given) == 4
    assert [bool(names & {given[n]}) for n, names in enumerate(before[1:])] == [True] * 3


def test_no_kernel_waits_for_anything_but_its_inputs(lent: Lent) -> None:
    """The optimizer of graphs joins no kernels that have control edges."""
    run = tf.function(lambda given: chain(lent.lazy[:2], given))
    graph = run.get_concrete_function(tf.ones((2, COLUMNS))).graph
    kernels = [each for each in graph.get_operations() if each.type in {"MatMul", "Tanh"}]

    assert kernels
    assert all(not each.control_inputs for each in kernels)
