"""Tensors that graphs wait for without a thread.

A graph asks for a tensor by an operation that calls back, and waits for it at a queue: TensorFlow's
queues are the one thing that a kernel can wait for while its thread does other work. Threads for
kernels are few, one on the smallest hosts, and the kernels that others wait for need them.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final

from fastload.errors import MemoryBudgetError
from fastload.lazy_weights.places import Wait
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import LAZY

_logger: Final = logging.getLogger("fastload")
#: Gives a tensor, or raises a MemoryBudgetError.
Read = Callable[[Wait], Any]
#: Longer than any graph leaves a delivery lying, and shorter than a borrower's patience.
STALE_S: Final = 20.0
#: Where tensors are asked for and handed out; TensorFlow takes them to where they are needed.
_HOST: Final = "/device:CPU:0"
#: The operations that a delivery consists of.
DELIVERING: Final = ("EagerPyFunc", "QueueDequeueV2", "EnsureShape")


def delivered(read: Read, inputs: Sequence[Any], dtype: Any, shape: Any) -> Any:
    """Return, in the graph that is built now, a tensor that *read* gives each time it is run.

    Args:
        read: called in a thread of TensorFlow's, with `Wait.NEVER`; if there is no room, again in
            another thread, which may wait.
        inputs: tensors that it comes after.
        dtype: of the tensor.
        shape: of the tensor; where *read* fails after it waited, the graph ends with an
            `InvalidArgumentError` about the shape, and the log says why.
    """

    def ask(*_: Any) -> Any:
        return _counter().ask(read, dtype)

    tf = tensorflow()
    with tf.device(_HOST):
        reference = tf.py_function(ask, inputs, tf.resource)
        (values,) = _operations().queue_dequeue_v2(reference, [dtype])
        return tf.ensure_shape(values, shape)


@functools.cache
def _operations() -> Any:
    return LAZY.part("gen_data_flow_ops")


@functools.cache
def _counter() -> _Counter:
    return _Counter()


@dataclass(slots=True, kw_only=True)
class _Order:
    """Something that was asked for.

    Attributes:
        read: gives it.
        dtype: what it will be.
        queue: where it goes.
        delivered_at: when it got there, in seconds of the monotonic clock.
    """

    read: Read
    dtype: Any
    queue: Any
    delivered_at: float = math.inf

    @property
    def is_taken(self) -> bool:
        """Whether the graph has what was delivered; its queue can be used again."""
        return not int(self.queue.size())

    @property
    def is_stale(self) -> bool:
        """Whether it was delivered so long ago that nobody comes for it: the call has failed."""
        return time.monotonic() - self.delivered_at > STALE_S


class _Counter:
    """Where tensors are asked for and handed out, in the order of asking."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: SimpleQueue[_Order] = SimpleQueue()
        self._undelivered = 0
        #: TensorFlow forgets a queue with the object that stands for it.
        self._delivered: deque[_Order] = deque()
        self._thread: threading.Thread | None = None

    def ask(self, read: Read, dtype: Any) -> Any:
        """Return the handle of a queue that will have the tensor."""
        order = _Order(read=read, dtype=dtype, queue=self._queue(dtype))
        reference = order.queue.queue_ref
        with self._lock:
            is_next = not self._undelivered
            self._undelivered += 1
        try:
            if is_next:
                self._deliver(order, read(Wait.NEVER))
                return reference
        except MemoryBudgetError:
            pass
        except BaseException:
            self._forget()
            raise
        self._start()
        self._waiting.put(order)
        return reference

    def _queue(self, dtype: Any) -> Any:
        """Return an empty queue: one that was used before, or a new one. Drop what is stale."""
        with self._lock:
            for _ in range(len(self._delivered)):
                oldest = self._delivered.popleft()
                if oldest.dtype == dtype and oldest.is_taken:
                    return oldest.queue
                if not oldest.is_stale:
                    self._delivered.append(oldest)
        with tensorflow().device(_HOST):
            return tensorflow().queue.FIFOQueue(1, [dtype])

    def _serve(self) -> None:
        while True:
            order = self._waiting.get()
            try:
                self._deliver(order, self._read(order))
            except Exception as error:  # noqa: BLE001 - the graph is to stop, whatever it is
                _logger.error("a graph stops: %s", error)  # noqa: TRY400 - it says all
                self._deliver(order, _nothing(order.dtype))

    def _read(self, order: _Order) -> Any:
        try:
            return order.read(Wait.ALWAYS)
        except MemoryBudgetError:
            if self._drop_stale():
                return order.read(Wait.ALWAYS)
            raise

    def _deliver(self, order: _Order, tensor: Any) -> None:
        order.queue.enqueue(tensor)
        order.delivered_at = time.monotonic()
        with self._lock:
            self._undelivered -= 1
            self._delivered.append(order)

    def _forget(self) -> None:
        with self._lock:
            self._undelivered -= 1

    def _drop_stale(self) -> bool:
        """Drop what nobody came for: the call that asked has failed. Say whether there was any."""
        with self._lock:
            stale = [each for each in self._delivered if each.is_stale]
            for each in stale:
                self._delivered.remove(each)
        return any(not each.is_taken for each in stale)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                name = "fastload deliveries"
                self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
                self._thread.start()


def _nothing(dtype: Any) -> Any:
    """Return what is no weight, by its shape.

    A queue that is closed instead would end the graph as the end of a dataset does, and Keras takes
    that for the end of its input.
    """
    return tensorflow().zeros([0] * 9, dtype)
