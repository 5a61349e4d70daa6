"""Whoever writes to a lazy variable makes it ordinary memory, with the right values."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastload.errors import MemoryBudgetError
from fastload.lazy_weights.pages import MappedPages
from fastload.lazy_weights.tf_lazy_variables import make_ordinary
from tests.needs import NEEDS_LENDING
from tests.runtime.lent_variables import COLUMNS, NBYTES, ROWS, Lent, is_lazy, lend_variables
from tests.small_models import package_of

tf = pytest.importorskip("tensorflow")

pytestmark = NEEDS_LENDING

Write = Callable[[Any], object]


@pytest.fixture
def lent(tmp_path: Path) -> Iterator[Lent]:
    """Three variables, in a budget in which all can become ordinary one after the other."""
    found = lend_variables(tmp_path / "weights", room=5)
    yield found
    found.close()
    assert found.all_is_given_back()
    assert found.budget.high_water <= found.budget.limit


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Threads take turns as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def filled(value: float) -> Any:
    return tf.fill((ROWS, COLUMNS), value)


def rows(value: float = 0.25) -> Any:
    return tf.IndexedSlices(tf.fill((3, COLUMNS), value), tf.constant([1, 3, 5]))


WRITES: dict[str, Write] = {
    "assign": lambda v: v.assign(filled(2.0)),
    "assign_add": lambda v: v.assign_add(filled(2.0)),
    "assign_sub": lambda v: v.assign_sub(filled(2.0)),
    "assign of itself": lambda v: v.assign(v * 2.0 + 1.0),
    "slice assign": lambda v: v[2:4, ::2].assign(tf.zeros((2, COLUMNS // 2))),
    "scatter_add": lambda v: v.scatter_add(rows()),
    "scatter_sub": lambda v: v.scatter_sub(rows()),
    "scatter_update": lambda v: v.scatter_update(rows()),
    "scatter_max": lambda v: v.scatter_max(rows(9.0)),
    "scatter_min": lambda v: v.scatter_min(rows()),
    "scatter_mul": lambda v: v.scatter_mul(rows()),
    "scatter_div": lambda v: v.scatter_div(rows()),
    "scatter_nd_update": lambda v: v.scatter_nd_update([[1], [3]], tf.ones((2, COLUMNS))),
    "scatter_nd_add": lambda v: v.scatter_nd_add([[1], [3]], tf.ones((2, COLUMNS))),
    "raw AssignVariableOp": lambda v: tf.raw_ops.AssignVariableOp(
        resource=v.handle, value=filled(4.0)
    ),
    "raw ResourceApplyGradientDescent": lambda v: tf.raw_ops.ResourceApplyGradientDescent(
        var=v.handle, alpha=0.1, delta=filled(0.5)
    ),
}


@pytest.mark.parametrize("is_in_graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_each_write_is_that_to_an_ordinary_variable(
    lent: Lent, write: Write, is_in_graph: bool
) -> None:
    """To the bit; the file keeps its values, and the others stay lazy."""
    for variable in (lent.lazy[0], lent.ordinary[0]):
        if is_in_graph:
            tf.function(lambda each=variable: [write(each), 0][1])()
        else:
            write(variable)

    assert lent.same_values()
    assert [is_lazy(each) for each in lent.lazy] == [False, True, True]
    assert lent.owned == {"state/layers/dense_0/vars/0": NBYTES}


def test_a_function_that_was_traced_before_sees_what_is_written(lent: Lent) -> None:
    """It reads by a callback, which finds an ordinary variable."""
    ours, theirs = lent.lazy[0], lent.ordinary[0]
    read_ours = tf.function(lambda: tf.reduce_sum(ours, axis=0))
    read_theirs = tf.function(lambda: tf.reduce_sum(theirs, axis=0))
    for write in (lambda v: v, WRITES["assign_add"], WRITES["scatter_mul"]):
        write(ours)
        write(theirs)
        np.testing.assert_array_equal(read_ours().numpy(), read_theirs().numpy())

    assert not is_lazy(ours)


def test_a_loop_that_reads_what_it_writes_sees_it(lent: Lent) -> None:
    """Each step sees the one before."""

    def steps(variable: Any) -> Any:
        @tf.function
        def run() -> Any:
            total = tf.constant(0.0)
            for _ in tf.range(4):
                total += tf.reduce_sum(variable)
                variable.assign_add(filled(0.5))
                total += variable[0, 0]
            return total

        return run()

    assert steps(lent.lazy[0]).numpy() == steps(lent.ordinary[0]).numpy()
    assert lent.same_values()


@pytest.mark.parametrize("generation", [2, 3])
@pytest.mark.parametrize("kind", ["SGD", "Adam", "RMSprop", "Adagrad"])
def test_an_optimizer_trains_it(lent: Lent, generation: int, kind: str) -> None:
    """As it trains an ordinary variable."""
    import importlib

    keras = importlib.import_module(package_of(generation))
    for variable in (lent.lazy[0], lent.ordinary[0]):
        optimizer = getattr(keras.optimizers, kind)(0.1)
        for _ in range(3):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(variable**2)
            optimizer.apply_gradients([(tape.gradient(loss, variable), variable)])

    assert lent.same_values()
    assert not is_lazy(lent.lazy[0])


def test_a_write_without_room_is_refused(tmp_path: Path) -> None:
    """The variable is as it was."""
    lent = lend_variables(tmp_path / "weights", room=1)
    held = lent.lazy[1].value()
    with pytest.raises(MemoryBudgetError, match=f"needs {2 * NBYTES} bytes|keeping"):
        lent.lazy[0].assign(filled(1.0))
    del held

    assert is_lazy(lent.lazy[0])
    assert lent.same_values()
    lent.close()


def test_a_thread_may_read_while_another_one_writes(
    lent: Lent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the old values or the new ones; large weights take a while to be read."""
    stock = MappedPages.content
    expected = lent.ordinary[0].numpy()

    def slow(self: Any, weight: Any) -> bytes:
        time.sleep(0.2)
        return stock(self, weight)

    monkeypatch.setattr(MappedPages, "content", slow)
    writer = threading.Thread(target=lambda: lent.lazy[0].assign(filled(1.0)))
    writer.start()
    time.sleep(0.05)
    try:
        found = lent.lazy[0].numpy()
    finally:
        writer.join()

    assert np.array_equal(found, expected) or np.all(found == 1.0)


def test_threads_that_write_at_once_agree(lent: Lent) -> None:
    """It becomes ordinary once."""
    threads = [
        threading.Thread(target=lambda: lent.lazy[0].assign_add(filled(1.0))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    np.testing.assert_allclose(lent.lazy[0].numpy(), lent.ordinary[0].numpy() + 8, rtol=1e-5)
    assert list(lent.owned.values()) == [NBYTES]


def test_threads_read_what_becomes_ordinary_in_that_moment(
    tmp_path: Path, quick_switches: None
) -> None:
    """Each way to read, at any point of the change, in many variables one after the other."""
    lent = lend_variables(tmp_path / "weights", count=100, room=202)
    current, faults, is_over = [lent.lazy[0]], [], threading.Event()

    def read(how: Callable[[Any], Any]) -> None:
        while not (is_over.is_set() or faults):
            try:
                how(current[0])
            except Exception as error:
                faults.append(error)

    ways = [lambda v: v.device, lambda v: v.value(), lambda v: v._handle.dtype]
    readers = [threading.Thread(target=read, args=[how]) for how in ways]
    for reader in readers:
        reader.start()
    for current[0] in lent.lazy:
        make_ordinary(current[0])
    is_over.set()
    for reader in readers:
        reader.join()

    assert faults == []
    assert lent.same_values()
    lent.close()
