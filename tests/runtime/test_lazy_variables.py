"""Each way to read a lazy variable gives its values, and gives them back."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastload.errors import MemoryBudgetError, UnsupportedRequestError
from fastload.lazy_weights import tf_lazy_variables
from fastload.lazy_weights.tf_lazy_variables import require_lazy_variables
from tests.needs import NEEDS_LENDING
from tests.runtime.lent_variables import COLUMNS, ROWS, Lent, is_lazy, lend_variables

tf = pytest.importorskip("tensorflow")

pytestmark = NEEDS_LENDING

Read = Callable[[Any], Any]


@pytest.fixture
def lent(tmp_path: Path) -> Iterator[Lent]:
    """Three variables in a budget for two; nothing is lent when the test is over."""
    require_lazy_variables()
    found = lend_variables(tmp_path / "weights")
    yield found
    found.close()
    assert found.all_is_given_back()
    assert found.budget.high_water <= found.budget.limit


def left(rows: int = 4) -> Any:
    return tf.reshape(tf.range(rows * ROWS, dtype=tf.float32) / 100, (rows, ROWS))


def looped(variable: Any) -> Any:
    """Multiply in a loop of TensorFlow's."""

    def body(count: Any, value: Any) -> tuple[Any, Any]:
        product = tf.matmul(tf.pad(value, [[0, 0], [0, ROWS - COLUMNS]]), variable)
        return count + 1, tf.tanh(product)

    start = (tf.constant(0), tf.ones((2, COLUMNS)))
    return tf.while_loop(lambda count, _: count < 5, body, start)[1]


def branched(variable: Any) -> Any:
    chosen = tf.reduce_sum(left()) > 0
    return tf.cond(chosen, lambda: variable * 2.0, lambda: variable + 1.0)


READS: dict[str, Read] = {
    "convert_to_tensor": tf.convert_to_tensor,
    "matmul": lambda v: tf.matmul(left(), v),
    "matmul operator": lambda v: left() @ v,
    "raw MatMul": lambda v: tf.raw_ops.MatMul(a=left(), b=v),
    "value": lambda v: v.value(),
    "read_value": lambda v: v.read_value(),
    "read_value_no_copy": lambda v: v.read_value_no_copy(),
    "sparse_read": lambda v: v.sparse_read([3, 1, 1]),
    "gather": lambda v: tf.gather(v, [[0, 5], [2, 2]]),
    "gather of columns": lambda v: tf.gather(v, [1, 2], axis=1),
    "gather_nd": lambda v: v.gather_nd([[1, 2], [3, 4]]),
    "tf.gather_nd": lambda v: tf.gather_nd(v, [[1, 2], [3, 4]]),
    "embedding_lookup": lambda v: tf.nn.embedding_lookup(v, [7, 8]),
    "slice": lambda v: v[3:9, ::2],
    "row": lambda v: v[5],
    "plus": lambda v: v + 1.0,
    "minus, reflected": lambda v: 1.0 - v,
    "times itself": lambda v: v * v,
    "negative": lambda v: -v,
    "absolute": abs,
    "power": lambda v: v**2,
    "compared": lambda v: v > 0.5,
    "reduced": tf.reduce_sum,
    "cast": lambda v: tf.cast(v, tf.float16),
    "transposed": tf.transpose,
    "stacked": lambda v: tf.stack([v, v]),
    "identity": tf.identity,
    "map_fn": lambda v: tf.map_fn(lambda number: tf.reduce_sum(v) * number, tf.range(4.0)),
    "while_loop": looped,
    "cond": branched,
    "shape": tf.shape,
    "conv": lambda v: tf.nn.conv2d(
        tf.ones((1, 4, 4, 10)), tf.reshape(v, (4, 4, 10, COLUMNS)), 1, "SAME"
    ),
}


def in_function(read: Read) -> Read:
    def run(variable: Any) -> Any:
        return tf.function(lambda: read(variable))()

    return run


def in_nested_functions(read: Read) -> Read:
    def run(variable: Any) -> Any:
        inner = tf.function(lambda: read(variable))
        return tf.function(lambda: tf.identity(inner()))()

    return run


RUNNERS: dict[str, Callable[[Read], Read]] = {
    "eager": lambda read: read,
    "function": in_function,
    "nested functions": in_nested_functions,
}


@pytest.mark.parametrize("how", RUNNERS)
@pytest.mark.parametrize("name", READS)
def test_each_read_is_that_of_an_ordinary_variable(lent: Lent, name: str, how: str) -> None:
    """To the bit, for more variables than there is room for; none becomes ordinary by it."""
    read, run = READS[name], RUNNERS[how]
    for ours, theirs in zip(lent.lazy, lent.ordinary, strict=True):
        expected, actual = run(read)(theirs), run(read)(ours)
        assert actual.dtype == expected.dtype
        assert actual.shape == expected.shape
        assert np.asarray(actual).tobytes() == np.asarray(expected).tobytes()
        del actual

    assert all(map(is_lazy, lent.lazy))


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_an_argument_of_a_function_becomes_ordinary(lent: Lent, read: Read) -> None:
    """The function gets its handle, and could write."""
    expected, actual = (tf.function(read)(each) for each in (lent.ordinary[0], lent.lazy[0]))

    assert np.asarray(actual).tobytes() == np.asarray(expected).tobytes()
    assert not is_lazy(lent.lazy[0])


@pytest.mark.parametrize(
    "read",
    [
        lambda v: v.numpy(),
        np.asarray,
        lambda v: np.array(v.read_value()),
        lambda v: np.array([v[0, 0] * 1, float(v[1, 1])]),
        lambda v: np.array(list(v)[2]),
    ],
    ids=["numpy", "asarray", "read_value", "elements", "iteration"],
)
def test_each_way_to_numpy_has_the_values(lent: Lent, read: Read) -> None:
    """Outside of graphs."""
    for ours, theirs in zip(lent.lazy, lent.ordinary, strict=True):
        np.testing.assert_array_equal(read(ours), read(theirs))


def test_what_is_known_without_the_values_reads_none(lent: Lent) -> None:
    """Names, shapes, and what watches a variable."""
    ours, theirs = lent.lazy[0], lent.ordinary[0]

    assert isinstance(ours, tf.Variable)
    assert type(ours).__name__ == type(theirs).__name__
    for name in ("shape", "dtype", "trainable", "synchronization", "aggregation", "device"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert bool(ours.is_initialized())
    assert hash(ours.ref()) == hash(ours.ref())
    assert lent.lender.shelf.counts.loans == 0
    assert is_lazy(ours)


def test_a_tape_that_is_told_of_a_variable_reads_nothing(lent: Lent) -> None:
    """Nor does it make it ordinary."""
    with tf.GradientTape() as tape:
        tape.watch(lent.lazy[0])

    assert lent.lender.shelf.counts.loans == 0
    assert is_lazy(lent.lazy[0])


def test_its_text_is_that_of_a_variable(lent: Lent) -> None:
    """But for its name."""
    ours, theirs = lent.lazy[0], lent.ordinary[0]

    assert repr(ours).replace(ours.name, "") == repr(theirs).replace(theirs.name, "")


def gradients_of(variable: Any, loss: Read) -> list[Any]:
    with tf.GradientTape() as tape:
        value = loss(variable)
    return tape.gradient(value, [variable])


LOSSES: dict[str, Read] = {
    "matmul": lambda v: tf.reduce_sum(tf.tanh(tf.matmul(left() / 1000, v))),
    "value": lambda v: tf.reduce_sum(v.value() ** 2),
    "twice": lambda v: tf.reduce_sum(v * v) + tf.reduce_sum(v),
    "gather": lambda v: tf.reduce_sum(tf.gather(v, [1, 2, 2]) ** 2),
    "embedding_lookup": lambda v: tf.reduce_sum(tf.nn.embedding_lookup(v, [1, 2, 2]) ** 2),
    "sparse_read": lambda v: tf.reduce_sum(v.sparse_read([1, 2, 2]) ** 2),
    "while_loop": lambda v: tf.reduce_sum(looped(v)),
    "cond": lambda v: tf.reduce_sum(branched(v)),
}


@pytest.mark.parametrize("is_in_graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradients_are_those_of_an_ordinary_variable(
    lent: Lent, loss: Read, is_in_graph: bool
) -> None:
    """Also where they are taken within the graph."""
    run = tf.function(gradients_of) if is_in_graph else gradients_of
    (expected,), (actual,) = run(lent.ordinary[0], loss), run(lent.lazy[0], loss)
    expected, actual = map(tf.convert_to_tensor, (expected, actual))

    np.testing.assert_array_equal(actual.numpy(), expected.numpy())


@pytest.mark.parametrize("loss", ["gather", "embedding_lookup", "sparse_read"])
def test_gradients_of_rows_are_rows(lent: Lent, loss: str) -> None:
    """A large embedding is trained by the rows that were used."""
    (expected,) = gradients_of(lent.ordinary[0], LOSSES[loss])
    (actual,) = gradients_of(lent.lazy[0], LOSSES[loss])

    assert type(actual) is type(expected)


def test_second_derivatives_are_those_of_an_ordinary_variable(lent: Lent) -> None:
    """A tape in a tape."""

    def second(variable: Any) -> Any:
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                value = tf.reduce_sum(variable**3)
            first = inner.gradient(value, variable)
        return outer.gradient(first, variable)

    expected, actual = second(lent.ordinary[0]), second(lent.lazy[0])
    np.testing.assert_array_equal(actual.numpy(), expected.numpy())


def test_a_compiled_function_fails_clearly(lent: Lent) -> None:
    """XLA cannot call back."""
    compiled = tf.function(lambda: tf.matmul(left(), lent.lazy[0]), jit_compile=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match="EagerPyFunc"):
        compiled()


def test_a_budget_error_reaches_who_reads(lent: Lent) -> None:
    """And the next read has its room again."""
    held = [variable.value() for variable in lent.lazy[:2]]
    with pytest.raises(MemoryBudgetError, match="memory_budget= of at least"):
        tf.matmul(left(), lent.lazy[2].value())
    del held

    np.testing.assert_array_equal(lent.lazy[2].numpy(), lent.ordinary[2].numpy())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_a_copy_is_an_ordinary_variable(lent: Lent, copied: Read) -> None:
    """With memory of its own."""
    found = copied(lent.lazy[0])

    assert not is_lazy(found)
    np.testing.assert_array_equal(found.numpy(), lent.ordinary[0].numpy())
    found.assign_add(found)
    np.testing.assert_array_equal(lent.lazy[0].numpy(), lent.ordinary[0].numpy())


def test_a_checkpoint_has_the_values(lent: Lent, tmp_path: Path) -> None:
    """One after the other, where there is room for two of three."""
    path = tf.train.Checkpoint(variables=lent.lazy[:2]).save(str(tmp_path / "checkpoint"))
    fresh = [tf.Variable(tf.zeros((ROWS, COLUMNS))) for _ in range(2)]
    tf.train.Checkpoint(variables=fresh).restore(path).assert_consumed()

    for ours, theirs in zip(fresh, lent.ordinary, strict=False):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_a_checkpoint_is_restored_into_ordinary_memory(lent: Lent, tmp_path: Path) -> None:
    """That is a write."""
    other = tf.Variable(tf.fill((ROWS, COLUMNS), 3.0))
    path = tf.train.Checkpoint(variable=other).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(variable=lent.lazy[0]).restore(path).assert_consumed()

    assert not is_lazy(lent.lazy[0])
    np.testing.assert_array_equal(lent.lazy[0].numpy(), other.numpy())


def test_an_export_is_refused(lent: Lent, tmp_path: Path) -> None:
    """Its functions would read from the cache."""
    module = tf.Module()
    module.variable = lent.lazy[0]
    module.run = tf.function(lambda: module.variable + 1.0, input_signature=[])
    with pytest.raises(UnsupportedRequestError, match=r"\[FL206\] .* weights='mapped'"):
        tf.saved_model.save(module, str(tmp_path / "saved"))


def test_a_function_outlives_no_variable(lent: Lent) -> None:
    """What TensorFlow keeps for ever holds none."""
    import gc
    import weakref

    run = tf.function(lambda: tf.reduce_sum(lent.lazy[0]))
    run()
    known = weakref.ref(lent.lazy[0])
    lent.lazy[0] = None
    del run
    gc.collect()

    assert known() is None


def test_a_first_use_that_was_interrupted_is_made_up_for(lent: Lent) -> None:
    """TensorFlow registers a gradient once: it would refuse the next."""
    tf_lazy_variables._parts.cache_clear()

    np.testing.assert_array_equal(lent.lazy[0].numpy(), lent.ordinary[0].numpy())
    assert tf_lazy_variables._parts().variables is not None


def test_a_graph_of_tensorflow_1_takes_no_variable_of_tensorflow_2(lent: Lent) -> None:
    """The error is the same, and nothing has changed."""
    for variable in (lent.ordinary[0], lent.lazy[0]):
        with tf.Graph().as_default(), pytest.raises(RuntimeError, match="capture an EagerTensor"):
            variable.value()

    np.testing.assert_array_equal(lent.lazy[0].numpy(), lent.ordinary[0].numpy())
