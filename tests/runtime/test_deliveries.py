"""Tensors that graphs wait for: delivered when they are asked for, or an error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastload.errors import MemoryBudgetError
from fastload.lazy_weights import tf_graph_reads as deliveries
from fastload.lazy_weights.places import Wait
from fastload.lazy_weights.tf_graph_reads import delivered
from tests.runtime.lent_variables import end_threads

tf = pytest.importorskip("tensorflow")

ERROR = MemoryBudgetError("reading 'w'", 1, 2)


@pytest.fixture(autouse=True)
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Deliveries of the test's own."""
    made = deliveries._Deliveries()
    monkeypatch.setattr(deliveries, "_deliveries", made)
    yield made
    end_threads()


class Source:
    """Gives numbers, or an error where it may not wait, or always."""

    def __init__(self) -> None:
        self.asked: list[Wait] = []
        self.refuses: set[Wait] = set()

    def __call__(self, wait: Wait) -> Any:
        self.asked.append(wait)
        if wait in self.refuses:
            raise ERROR
        return tf.constant(float(len(self.asked)))


def function_of(source: Callable[[Wait], Any]) -> Any:
    return tf.function(lambda: delivered(source, [tf.constant(0)], tf.float32, ()) * 10.0)


def test_a_delivery_is_asked_for_each_time_a_graph_runs() -> None:
    """In the thread of TensorFlow's that asks, where there is room."""
    source = Source()
    run = function_of(source)
    found = [float(run()) for _ in range(3)]

    assert found == [10.0, 20.0, 30.0]
    assert source.asked == [Wait.NEVER] * 3


def test_without_room_another_thread_waits() -> None:
    """The one of TensorFlow's does something else meanwhile."""
    source = Source()
    source.refuses = {Wait.NEVER}
    run = function_of(source)

    assert float(run()) == 20.0
    assert source.asked == [Wait.NEVER, Wait.ALWAYS]


def test_deliveries_come_in_the_order_of_asking(requests: Any) -> None:
    """Those that come while another one waits do not pass it."""
    gate, order = threading.Event(), []

    def slow(wait: Wait) -> Any:
        if wait is Wait.NEVER:
            raise ERROR
        gate.wait(5)
        order.append("slow")
        return tf.constant(1.0)

    def fast(wait: Wait) -> Any:
        order.append("fast")
        return tf.constant(2.0)

    threads = [threading.Thread(target=function_of(slow))]
    threads[0].start()
    while not requests._undelivered:
        time.sleep(0.001)
    threads.append(threading.Thread(target=function_of(fast)))
    threads[1].start()
    time.sleep(0.2)
    gate.set()
    for thread in threads:
        thread.join()

    assert order == ["slow", "fast"]


def test_queues_are_used_again(requests: Any) -> None:
    """A graph that runs for days makes no more than it needs at once."""
    run = function_of(Source())
    for _ in range(50):
        run()

    assert len(requests._delivered) <= 2
    assert requests._undelivered == 0


def test_another_dtype_has_a_queue_of_its_own() -> None:
    """One that was used for numbers takes no halves."""
    function_of(Source())()
    half = tf.constant(0.5, tf.float16)
    halves = tf.function(lambda: delivered(lambda _: half, [tf.constant(0)], tf.float16, ()))

    assert halves().dtype == tf.float16
    assert float(function_of(Source())()) == 10.0


def test_a_refusal_says_why(caplog: pytest.LogCaptureFixture) -> None:
    """The log does; the call ends with a wrong shape, and not as if it had run out of data.

    Keras 2 takes that for the end of a `predict` in good order, with what it has until then.
    """
    source = Source()
    source.refuses = set(Wait)
    with pytest.raises(tf.errors.InvalidArgumentError, match="shape"):
        function_of(source)()

    assert source.asked == [Wait.NEVER, Wait.ALWAYS]
    assert (
        "a graph cannot get its weights, and fails: [FL406] reading 'w' needs 2 bytes"
        in caplog.text
    )


def test_any_other_error_is_raised_where_it_happens(requests: Any) -> None:
    """No other thread is asked, and the next call works."""
    asked: list[Wait] = []

    def broken(wait: Wait) -> Any:
        asked.append(wait)
        raise OSError(5, "the disk is gone")

    with pytest.raises(tf.errors.OpError, match="the disk is gone"):
        function_of(broken)()

    assert asked == [Wait.NEVER]
    assert requests._undelivered == 0
    assert float(function_of(Source())()) == 10.0


def test_where_no_thread_can_begin_the_call_fails(
    requests: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next that finds room works, in TensorFlow's."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    source = Source()
    source.refuses = {Wait.NEVER}
    with monkeypatch.context() as patch:
        patch.setattr(deliveries.threading.Thread, "start", refuse)
        with pytest.raises(tf.errors.OpError, match="can't start new thread"):
            function_of(source)()
    source.refuses.clear()

    assert requests._undelivered == 0
    assert float(function_of(source)()) == 20.0
    assert source.asked == [Wait.NEVER] * 2


def test_an_error_of_another_thread_ends_the_call(caplog: pytest.LogCaptureFixture) -> None:
    """As a refusal does."""

    def broken(wait: Wait) -> Any:
        raise ERROR if wait is Wait.NEVER else OSError(5, "the disk is gone")

    with pytest.raises(tf.errors.InvalidArgumentError, match="shape"):
        function_of(broken)()

    assert "a graph cannot get its weights, and fails: [Errno 5] the disk is gone" in caplog.text


def test_the_call_after_a_refusal_works() -> None:
    """As often as it is made."""
    source = Source()
    run = function_of(source)
    source.refuses = set(Wait)
    with pytest.raises(tf.errors.InvalidArgumentError):
        run()
    source.refuses = set()

    assert [float(run()) > 0 for _ in range(5)] == [True] * 5


def test_what_a_failed_call_left_is_dropped(requests: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was delivered, and nobody came; after a while its room is needed."""
    monkeypatch.setattr(deliveries, "STALE_S", 0.0)
    order = deliveries._Request(read=Source(), dtype=tf.float32, queue=requests._queue(tf.float32))
    requests._deliver(order, tf.constant(1.0))
    assert len(requests._delivered) == 1

    assert requests._drop_stale()
    assert len(requests._delivered) == 0
    assert not requests._drop_stale()


def left_behind(requests: Any) -> Any:
    """Deliver something for which nobody comes."""
    order = deliveries._Request(read=Source(), dtype=tf.float32, queue=requests._queue(tf.float32))
    requests._undelivered += 1
    requests._deliver(order, tf.constant(1.0))
    return order


def test_what_a_failed_call_left_goes_by_itself(
    requests: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only where its room is needed: it takes part of the budget, and later calls wait."""
    order = left_behind(requests)
    run = function_of(Source())
    run()
    assert order in requests._delivered
    monkeypatch.setattr(deliveries, "STALE_S", 0.0)
    run()

    assert order not in requests._delivered


def test_what_nobody_took_makes_no_more_queues_than_it_must(requests: Any) -> None:
    """The others are used again."""
    for _ in range(3):
        left_behind(requests)
    run = function_of(Source())
    for _ in range(50):
        run()

    assert len(requests._delivered) <= 5
