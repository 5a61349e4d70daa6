"""A TensorFlow that is not as lazy variables need it is found before one is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

from fastload.errors import MemoryBudgetError, UnsupportedRuntimeError
from fastload.lazy_weights import tf_lazy_variables as lazy_trial
from fastload.lazy_weights.tf_lazy_variables import require_lazy_variables
from tests.needs import NEEDS_LENDING
from tests.runtime.lent_variables import end_threads

tf = pytest.importorskip("tensorflow")

pytestmark = NEEDS_LENDING


@pytest.fixture(autouse=True)
def untried() -> Iterator[None]:
    """Nobody has tried this TensorFlow yet; afterwards it is as it was."""
    require_lazy_variables()
    require_lazy_variables.cache_clear()
    yield
    require_lazy_variables.cache_clear()
    end_threads()


def reads_once_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_trial._Reads, "count", 1)


def has_no_such_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(tf.queue.QueueBase, "queue_ref")


def has_no_such_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    operations = import_module("tensorflow.python.ops.gen_data_flow_ops")
    monkeypatch.delattr(operations, "queue_dequeue_v2")


def takes_other_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf, "py_function", lambda function, tensors: None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (reads_once_too_often, "in an unexpected way"),
        (has_no_such_queue, "AttributeError"),
        (has_no_such_operation, "has no 'queue_dequeue_v2'"),
        (takes_other_arguments, "TypeError"),
    ],
)
def test_a_tensorflow_that_reads_in_another_way_is_refused(
    change: Callable[[pytest.MonkeyPatch], None], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once or in a graph; and looked at again by the next load."""
    change(monkeypatch)
    with pytest.raises(UnsupportedRuntimeError, match=reason):
        require_lazy_variables()
    monkeypatch.undo()

    require_lazy_variables()


def test_a_lack_of_memory_is_no_fault_of_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    def lend(*_: Any) -> Any:
        raise MemoryBudgetError("reading it", 1, 2)

    monkeypatch.setattr(lazy_trial._Reads, "lend", lend)

    with pytest.raises(MemoryBudgetError):
        require_lazy_variables()
