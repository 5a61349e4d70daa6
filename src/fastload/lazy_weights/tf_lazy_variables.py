"""Variables whose values are lent, while they are read.

Every way to a variable's value leads through its `_read_variable_op` in Python, with one exception:
the eager runtime reads a variable that is passed to an operation by itself, in C++, through its
attribute `_handle`. Where that is not an eager tensor, the runtime leaves the operation to Python,
and Python converts the variable by reading it. So a lazy variable has a stand-in there.

In a graph a read becomes an operation that calls back when it is run. What it returns is a tensor
over the lent pages: TensorFlow releases it as soon as the last kernel that takes it has run, so
the weight is lent for just as long as it is needed, and no other node depends on it: the graph is
optimized as it would be otherwise. `tf_graph_reads` keeps reads in an order in which none takes the
room that an earlier layer still waits for.

Code that asks for the handle itself may be about to write: the variable becomes ordinary memory.
The variable keeps its tensor over the twin's own mapping all the while. Nothing touches that; code
that does so in a way that is not foreseen here still gets the right values.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, NamedTuple

import numpy as np

from fastload import unfinished
from fastload.errors import FastloadError, UnsupportedRequestError, UnsupportedRuntimeError
from fastload.lazy_weights.lender import Lender
from fastload.lazy_weights.lending_plan import LazyWeight
from fastload.lazy_weights.places import Wait
from fastload.lazy_weights.tf_graph_reads import DELIVERING, delivered, took_turn, turn_in
from fastload.lazy_weights.tf_lent_tensors import lent_tensor
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import LAZY
from fastload.twin.format import WeightRef

_LOAN: Final = "_fastload_loan"
_GRADIENT: Final = "FastloadRead"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loan:
    """What a lazy variable holds besides its attributes.

    Attributes:
        handle: the variable's real handle.
        lender: lends its values on the host.
        name: the weight's name.
        near: lends them on a device, if one was requested.
    """

    handle: Any
    lender: Lender
    name: str
    near: Lender | None = None


class _Parts(NamedTuple):
    """TensorFlow's resource variables, and what records operations for gradients."""

    variables: Any
    tape: Any


@functools.cache
def _parts() -> _Parts:
    variables, tape = LAZY.part("variables"), LAZY.part("record")
    with suppress(KeyError):  # another thread, or a call that was interrupted, has done so
        tensorflow().RegisterGradient(_GRADIENT)(_gradient_of_read)
    return _Parts(variables, tape)


def _gradient_of_read(operation: Any, gradient: Any) -> list[Any]:
    return [gradient, *[None] * (len(operation.inputs) - 1)]


def make_lazy(variable: Any, lender: Lender, name: str, near: Lender | None = None) -> None:
    """Make *variable* lazy: its values are lent from now on.

    Args:
        variable: a plain variable of TensorFlow; see `is_plain`.
        lender: lends the values on the host.
        name: the weight's name.
        near: lends them on a device to eager operations; None for the host. Graphs read from the
            host, and TensorFlow copies each tensor to where it is needed.
    """
    _parts()  # checked here, while the load can still be left to stock
    kind: Any = type(variable)
    loan = _Loan(handle=variable.handle, lender=lender, name=name, near=near)
    del vars(variable)["_handle"]
    vars(variable)[_LOAN] = loan
    variable.__class__ = _lazy_class(kind)


def make_ordinary(variable: Any) -> None:
    """Turn a lazy variable into an ordinary one, with its values in ordinary memory.

    Raises:
        MemoryBudgetError: there is no room for them.
    """
    with _lock:
        loan: _Loan | None = vars(variable).get(_LOAN)
        if loan is None:  # another thread was faster
            return
        array = loan.lender.own(loan.name)
        fill(loan.handle, array)
        # In this order: another thread may be inside any method of the lazy variable.
        vars(variable)["_handle"] = loan.handle
        variable.__class__ = type(variable).__bases__[1]
        del vars(variable)[_LOAN]
        for lender in (loan.lender, loan.near):
            if lender is not None:
                lender.forget(loan.name)


def fill(handle: Any, array: np.ndarray[Any, Any]) -> None:
    """Assign a copy of *array*, in TensorFlow's memory, to the variable of *handle*."""
    operations = _parts().variables.gen_resource_variable_ops
    with tensorflow().init_scope():
        operations.assign_variable_op(handle, tensorflow().constant(array))


def _true_handle(variable: Any) -> Any:
    """Return the real handle of a variable that is or was lazy."""
    loan: _Loan | None = vars(variable).get(_LOAN)
    return vars(variable)["_handle"] if loan is None else loan.handle


def is_plain(variable: Any) -> bool:
    """Say whether *variable* is nothing but a handle, so that it can become lazy."""
    return type(variable).__name__ in {"ResourceVariable", "UninitializedVariable"}


_lock: Final = unfinished.lock()
#: Functions of TensorFlow that use a handle as an identity, and neither read nor write.
_WATCHERS: Final = frozenset(
    {"variable_accessed", "watch_variable", "watch", "_handle_or_self"}  # gradients
    | {"graph", "_op_to_colocate_with", "_colocate_with"}  # where operations go
)


def _is_watching(frame: FrameType) -> bool:
    """Say whether the code in *frame* uses a handle as an identity only."""
    is_tensorflow = str(frame.f_globals.get("__name__")).startswith("tensorflow.")
    return is_tensorflow and frame.f_code.co_name in _WATCHERS


@functools.cache
def _lazy_class(final: Any) -> Any:
    copied = {name: getattr(final, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(final)(final.__name__, (_LazyVariable, final), copied)


class _HandleStandIn:
    """What the eager runtime finds in place of a handle: its attributes, but not a tensor."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)


class _LazyVariable:
    """The methods in which a lazy variable differs from an ordinary one."""

    @property
    def _handle(self) -> Any:
        return _HandleStandIn(_true_handle(self))

    @_handle.setter
    def _handle(self, handle: Any) -> None:
        raise AttributeError("the handle of a lazy variable cannot be replaced")

    @property
    def handle(self) -> Any:
        """The handle, which allows writing; so the variable becomes an ordinary one first."""
        if not _is_watching(sys._getframe(1)):
            make_ordinary(self)
        return _true_handle(self)

    @property
    def device(self) -> Any:
        """The device of the variable."""
        return _true_handle(self).device

    def is_initialized(self, name: Any = None) -> Any:
        """Return true, as a tensor."""
        return tensorflow().constant(True, name=name)

    def sparse_read(self, indices: Any, name: Any = None) -> Any:
        """Return the rows at *indices*."""
        return tensorflow().gather(self._read_variable_op(), indices, name=name)

    def gather_nd(self, indices: Any, name: Any = None) -> Any:
        """Return the elements at *indices*."""
        return tensorflow().gather_nd(self._read_variable_op(), indices, name=name)

    def value(self) -> Any:
        """Return the values."""
        return self._read_variable_op()

    def _read_variable_op(self, no_copy: bool = False) -> Any:  # noqa: FBT001, FBT002 - TensorFlow's
        _parts().variables.variable_accessed(self)
        if tensorflow().executing_eagerly():
            return _recorded(_true_handle(self), lambda: lent(self, Wait.FOR_OTHERS))
        return _read_in_graph(self)

    def _export_to_saved_model_graph(self, *args: Any, **kwargs: Any) -> Any:
        raise UnsupportedRequestError(
            "a model with lazy weights cannot be exported, as its functions read from the cache. "
            "Load it with weights='mapped' for that"
        )

    _map_resources = _export_to_saved_model_graph  # its name before TensorFlow 2.10


def lent(variable: Any, wait: Wait) -> Any:
    """Return the values of a variable that is or was lazy, as a tensor over lent memory.

    Raises:
        MemoryBudgetError: there is no room.
    """
    loan: _Loan | None = vars(variable).get(_LOAN)
    if loan is not None:
        try:
            near = loan.near if wait is Wait.FOR_OTHERS else None  # only eager reads wait so
            return lent_tensor(near or loan.lender, loan.name, wait)
        except KeyError:  # it has just become ordinary
            return lent(variable, wait)
    operations = _parts().variables.gen_resource_variable_ops
    return operations.read_variable_op(variable.handle, variable.dtype)


def _recorded(handle: Any, read: Callable[[], Any]) -> Any:
    """Read, and let gradients flow to the variable as through a `ReadVariableOp`."""
    tape = _parts().tape
    with tape.stop_recording():
        values = read()
    tape.record_operation(
        "ReadVariableOp",
        [values],
        [handle],
        backward_function=lambda gradient: [gradient],
        forward_function=lambda tangent: [tangent],
    )
    return values


def _read_in_graph(variable: Any) -> Any:
    tf = tensorflow()
    graph = tf.compat.v1.get_default_graph()
    if not hasattr(graph, "capture"):  # a graph of TensorFlow 1, which runs in a session
        make_ordinary(variable)
        return variable._read_variable_op()
    handle = graph.capture(_true_handle(variable))
    # TensorFlow never frees the functions that graphs call, so this one must not hold the variable.
    known = weakref.ref(variable)

    def read(wait: Wait) -> Any:
        found = known()
        if found is None:
            raise tf.errors.FailedPreconditionError(None, None, "the variable was deleted")
        return lent(found, wait)

    def emitted() -> Any:
        turn = turn_in(graph)
        with (
            tf.control_dependencies(turn.after),
            graph.gradient_override_map(dict.fromkeys(DELIVERING, _GRADIENT)),
        ):
            return delivered(read, [handle, *turn.data], variable.dtype, variable.shape)

    values = _recorded(handle, emitted)
    took_turn(graph, values.op)
    return values


@functools.cache
def require_lazy_variables() -> None:
    """Check, by a trial, that this TensorFlow reads lazy variables as expected, also in graphs.

    Raises:
        UnsupportedRuntimeError: it does not.
    """
    if tuple(map(int, np.__version__.split(".")[:2])) < (1, 24):
        raise UnsupportedRuntimeError("lazy weights need numpy 1.24 or later (numpy#22507)")
    try:
        results = _trial()
    except (FastloadError, MemoryError):
        raise
    except Exception as error:  # now, while the load can still be left to stock
        what = f"{type(error).__name__}: {error}"
        raise UnsupportedRuntimeError(f"TensorFlow cannot read lazy variables: {what}") from error
    if results != [(8.0, 1), (8.0, 2)]:
        raise UnsupportedRuntimeError("TensorFlow reads variables in an unexpected way")


def _trial() -> list[tuple[float, int]]:
    """Read a lazy variable eagerly and in a graph; return each result with the number of reads."""
    tf = tensorflow()
    reads: Any = _Reads()
    with tf.init_scope():
        variable = tf.Variable(np.zeros((2, 2), np.float32), trainable=False)
        make_lazy(variable, reads, "")

        def total() -> Any:
            return tf.reduce_sum(tf.matmul(tf.ones((2, 2)), variable))

        in_graph = tf.function(total, autograph=False).get_concrete_function()
        return [(float(run()), reads.count) for run in (total, in_graph)]


class _Reads:
    """Stands for a lender: counts reads, and lends values that the variable does not hold."""

    count = 0

    def lend(self, name: str, wait: Wait) -> tuple[Any, LazyWeight]:
        self.count += 1
        ref = WeightRef(name=name, dtype="float32", shape=(2, 2), offset=0, nbytes=16, sha256="")
        return np.ones((2, 2), np.float32), LazyWeight(ref=ref, layer="")
