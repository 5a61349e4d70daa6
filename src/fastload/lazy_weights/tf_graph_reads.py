"""How graphs read lent weights: in an order that cannot deadlock, and without holding a thread.

**Order.** A read that runs too early holds room until its layer's inputs are there; if those need a
weight that has no room, both wait for ever. So a read comes after everything that its layer can
need:

- after the read that was traced before it, in the same graph. A weight is then lent only after
  those of all earlier layers, whose kernels need no later one.
- after the loops, branches and calls traced in between, which may have reads of their own.
- the first read within a loop, branch or called function, after a value that was computed there
  before it: TensorFlow starts what needs no input at once, and loops run ahead of their data.

None of these is an edge that graph optimizers see when they fuse kernels: they fuse none that have
control edges, so no kernel gets one. A value that is waited for has one more consumer.

**Threads.** A graph requests a tensor by an operation that calls back, and waits for it at a queue:
TensorFlow's queues are the one thing that a kernel can wait for while its thread does other work.
Threads for kernels are few, one on the smallest hosts, and the kernels that others wait for need
them.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final

from fastload import unfinished
from fastload.errors import MemoryBudgetError
from fastload.lazy_weights.places import Wait
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import LAZY

_CALLS: Final = ("While", "If", "Case", "PartitionedCall")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a read waits for.

    Attributes:
        after: operations.
        data: tensors.
    """

    after: tuple[Any, ...] = ()
    data: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Last:
    operation: Any
    count: int


#: The last read in each graph, and how many operations the graph had then.
_last: Final[weakref.WeakKeyDictionary[Any, _Last]] = weakref.WeakKeyDictionary()


def turn_in(graph: Any) -> Turn:
    """Return what the next read in *graph*, a `FuncGraph`, waits for."""
    operations = graph.get_operations()
    last = _last.get(graph)
    if last is not None:
        calls = [each for each in operations[last.count :] if each.type.endswith(_CALLS)]
        return Turn(after=(last.operation, *calls))
    if not hasattr(graph.outer_graph, "capture"):  # only Python calls this one
        calls = [each for each in operations if each.type.endswith(_CALLS)]
        return Turn(after=tuple(calls))
    return Turn(data=_latest_value(operations))


def took_turn(graph: Any, operation: Any) -> None:
    """Record *operation* as the latest read in *graph*."""
    _last[graph] = _Last(operation=operation, count=len(graph.get_operations()))


def _latest_value(operations: list[Any]) -> tuple[Any, ...]:
    """Return the last tensor of *operations* that is neither a resource nor a variant."""
    for operation in reversed(operations):
        for tensor in operation.outputs:
            if not tensor.dtype.name.startswith(("resource", "variant")):
                return (tensor,)
    return ()


_logger: Final = logging.getLogger("fastload")
#: Returns a tensor, or raises a MemoryBudgetError.
Read = Callable[[Wait], Any]
#: Longer than any graph leaves a delivery in its queue, and shorter than a borrower's patience.
STALE_S: Final = 20.0
#: Where tensors are requested and delivered; TensorFlow copies them to where they are needed.
_HOST: Final = "/device:CPU:0"
#: The operations that a delivery consists of.
DELIVERING: Final = ("EagerPyFunc", "QueueDequeueV2", "EnsureShape")


def delivered(read: Read, inputs: Sequence[Any], dtype: Any, shape: Any) -> Any:
    """Return a tensor of the current graph that *read* provides each time it is evaluated.

    Args:
        read: called in a thread of TensorFlow's, with `Wait.NEVER`; where there is no room, called
            again in another thread, which may wait.
        inputs: tensors that it comes after.
        dtype: of the tensor.
        shape: of the tensor; where *read* fails after waiting, the graph fails with an
            `InvalidArgumentError` about the shape, and the log has the reason.
    """

    def ask(*_: Any) -> Any:
        return _deliveries.request(read, dtype)

    tf = tensorflow()
    with tf.device(_HOST):
        reference = tf.py_function(ask, inputs, tf.resource)
        (values,) = LAZY.part("gen_data_flow_ops").queue_dequeue_v2(reference, [dtype])
        return tf.ensure_shape(values, shape)


@dataclass(slots=True, kw_only=True)
class _Request:
    """A tensor that was requested.

    Attributes:
        read: returns it.
        dtype: its dtype.
        queue: where it is delivered.
        delivered_at: when it was, in seconds of the monotonic clock.
    """

    read: Read
    dtype: Any
    queue: Any
    delivered_at: float = math.inf

    @property
    def is_taken(self) -> bool:
        """Whether the graph has taken the tensor; the queue can be used again."""
        return not int(self.queue.size())

    @property
    def is_stale(self) -> bool:
        """Whether it was delivered so long ago that its call must have failed."""
        return time.monotonic() - self.delivered_at > STALE_S


class _Deliveries:
    """Requests and deliveries of tensors, in the order of the requests."""

    def __init__(self) -> None:
        self._lock = unfinished.lock()
        self._waiting: SimpleQueue[_Request] = SimpleQueue()
        self._undelivered = 0
        #: Keeps the queues alive: TensorFlow deletes a queue with its Python object.
        self._delivered: deque[_Request] = deque()
        self._thread: threading.Thread | None = None

    def request(self, read: Read, dtype: Any) -> Any:
        """Return the handle of a queue that the tensor will be delivered to."""
        request = _Request(read=read, dtype=dtype, queue=self._queue(dtype))
        reference = request.queue.queue_ref
        with self._lock:
            is_next = not self._undelivered
            self._undelivered += 1
        try:
            if is_next and self._delivers_now(request):
                return reference
            self._start()
        except BaseException:
            with self._lock:
                self._undelivered -= 1
            raise
        self._waiting.put(request)
        return reference

    def _delivers_now(self, request: _Request) -> bool:
        """Deliver a tensor, and say whether there was room for it."""
        try:
            tensor = request.read(Wait.NEVER)
        except MemoryBudgetError:
            return False
        self._deliver(request, tensor)
        return True

    def _queue(self, dtype: Any) -> Any:
        """Return an empty queue, used or new; drop stale deliveries."""
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
            request = self._waiting.get()
            try:
                self._deliver(request, self._read(request))
            except Exception as error:  # noqa: BLE001 - whatever it is, the graph must fail
                _logger.error("a graph cannot get its weights, and fails: %s", error)  # noqa: TRY400 - the message is enough
                self._deliver(request, _wrong_shape(request.dtype))

    def _read(self, request: _Request) -> Any:
        try:
            return request.read(Wait.ALWAYS)
        except MemoryBudgetError:
            if self._drop_stale():
                return request.read(Wait.ALWAYS)
            raise

    def _deliver(self, request: _Request, tensor: Any) -> None:
        request.queue.enqueue(tensor)
        request.delivered_at = time.monotonic()
        with self._lock:
            self._undelivered -= 1
            self._delivered.append(request)

    def _drop_stale(self) -> bool:
        """Drop deliveries to calls that failed; say whether there were any."""
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


_deliveries: Final = _Deliveries()


def _wrong_shape(dtype: Any) -> Any:
    """Return a tensor that fails the check of the shape.

    Closing the queue would end the graph as the end of a dataset does, and Keras would take that
    for the end of its input.
    """
    return tensorflow().zeros([0] * 9, dtype)
