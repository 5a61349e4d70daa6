"""Variables whose values are lent to whoever reads them, and to nobody else.

Every way to a variable's value leads through its `_read_variable_op` in Python, with one exception:
the eager runtime reads a variable that is handed to an operation by itself, in C++, through its
attribute `_handle`. Where that is no eager tensor, the runtime leaves the operation to Python, and
Python converts the variable by reading it. So a lazy variable has a stand-in there.

In a graph a read becomes an operation that calls back when it is run. What it returns is a tensor
over the lent pages: TensorFlow lets go of it as soon as the last kernel that takes it has run, so
the weight is lent for just as long as it is needed, and no other node knows of it: the graph is
optimized as it would be. `turns` keeps reads in an order in which none takes the room that an
earlier layer still waits for.

Whoever asks for the handle itself may be about to write: the variable becomes ordinary memory.
The variable keeps its tensor over the twin's own mapping all the while. Nobody touches that, and
whoever does it in a way that is not foreseen here gets the right values all the same.
"""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, ModuleType
from typing import Any, Final

import numpy as np

from fastload.errors import UnsupportedRequestError
from fastload.lazy_weights.lender import Lender
from fastload.lazy_weights.places import Wait
from fastload.lazy_weights.tf_deliveries import DELIVERING, delivered
from fastload.lazy_weights.tf_lent_tensors import lent_tensor
from fastload.lazy_weights.turns import took_turn, turn_in
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import LAZY

_LOAN: Final = "_fastload_loan"
_GRADIENT: Final = "FastloadRead"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loan:
    """What a lazy variable knows besides.

    Attributes:
        handle: the variable's true handle.
        lender: lends its values, on the host.
        name: under this name.
        near: lends them on a device, where they are wanted there.
    """

    handle: Any
    lender: Lender
    name: str
    near: Lender | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The modules of TensorFlow that this one needs.

    Attributes:
        variables: where resource variables are.
        tape: records operations for gradients.
    """

    variables: ModuleType
    tape: Any


@functools.cache
def _parts() -> _Parts:
    variables, tape = LAZY.part("variables"), LAZY.part("record")
    tensorflow().RegisterGradient(_GRADIENT)(_gradient_of_read)
    return _Parts(variables=variables, tape=tape)


def _gradient_of_read(operation: Any, gradient: Any) -> list[Any]:
    return [gradient, *[None] * (len(operation.inputs) - 1)]


def make_lazy(variable: Any, lender: Lender, name: str, near: Lender | None = None) -> None:
    """Have *variable* lend its values from now on.

    Args:
        variable: a variable of TensorFlow that is nothing but a handle; see `is_plain`.
        lender: lends them, on the host.
        name: under this name.
        near: lends them on a device, to what is run at once; None for the host. Graphs get them
            from the host, and TensorFlow takes each to where it is needed.
    """
    _parts()  # checked here: later, it is too late to leave the load to stock
    kind: Any = type(variable)
    loan = _Loan(handle=variable.handle, lender=lender, name=name, near=near)
    del vars(variable)["_handle"]
    vars(variable)[_LOAN] = loan
    variable.__class__ = _lazy_class(kind)


def make_ordinary(variable: Any) -> None:
    """Give a lazy variable its values in memory of its own.

    Raises:
        MemoryBudgetError: there is no room for them.
    """
    with _lock:
        loan: _Loan | None = vars(variable).get(_LOAN)
        if loan is None:  # another thread was faster
            return
        array = loan.lender.own(loan.name)
        _fill(loan.handle, array)
        # In this order: another thread may be anywhere in the methods of a lazy variable.
        vars(variable)["_handle"] = loan.handle
        variable.__class__ = type(variable).__bases__[1]
        del vars(variable)[_LOAN]
        for lender in (loan.lender, loan.near):
            if lender is not None:
                lender.forget(loan.name)


def own_memory(variable: Any, array: np.ndarray[Any, Any]) -> None:
    """Give *variable* a copy of *array* in memory of TensorFlow's."""
    _fill(variable.handle, array)


def _fill(handle: Any, array: np.ndarray[Any, Any]) -> None:
    operations = _parts().variables.gen_resource_variable_ops
    with tensorflow().init_scope():
        operations.assign_variable_op(handle, tensorflow().constant(array))


def _true_handle(variable: Any) -> Any:
    """Return the handle of a variable that is or was lazy."""
    loan: _Loan | None = vars(variable).get(_LOAN)
    return vars(variable)["_handle"] if loan is None else loan.handle


def is_lazy(variable: Any) -> bool:
    """Say whether *variable* lends its values."""
    return _LOAN in vars(variable)


def is_plain(variable: Any) -> bool:
    """Say whether *variable* is nothing but a handle, so that it can lend its values."""
    return type(variable).__name__ in {"ResourceVariable", "UninitializedVariable"}


_lock: Final = threading.RLock()
#: Functions of TensorFlow that take a handle for a name, and neither read nor write.
_WATCHERS: Final = frozenset(
    {"variable_accessed", "watch_variable", "watch", "_handle_or_self"}  # gradients
    | {"graph", "_op_to_colocate_with", "_colocate_with"}  # where operations go
)


def _is_watching(frame: FrameType) -> bool:
    """Say whether the code in *frame* takes a handle for no more than a name."""
    is_tensorflow = str(frame.f_globals.get("__name__")).startswith("tensorflow.")
    return is_tensorflow and frame.f_code.co_name in _WATCHERS


@functools.cache
def _lazy_class(final: Any) -> Any:
    told = {name: getattr(final, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(final)(final.__name__, (_LazyVariable, final), told)


class _HandleStandIn:
    """What the eager runtime finds in place of a handle: all that a handle has, but no tensor."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)


class _LazyVariable:
    """What a lazy variable does in another way than an ordinary one."""

    @property
    def _handle(self) -> Any:
        return _HandleStandIn(_true_handle(self))

    @_handle.setter
    def _handle(self, handle: Any) -> None:
        raise AttributeError("the handle of a lazy variable cannot be replaced")

    @property
    def handle(self) -> Any:
        """The handle; whoever has it may write, so the values become ordinary memory first."""
        if not _is_watching(sys._getframe(1)):
            make_ordinary(self)
        return _true_handle(self)

    @property
    def device(self) -> Any:
        """Where it is."""
        return _true_handle(self).device

    def is_initialized(self, name: Any = None) -> Any:
        """Return true, as a tensor."""
        return tensorflow().constant(True, name=name)

    def sparse_read(self, indices: Any, name: Any = None) -> Any:
        """Return rows."""
        return tensorflow().gather(self._read_variable_op(), indices, name=name)

    def gather_nd(self, indices: Any, name: Any = None) -> Any:
        """Return elements."""
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
            "a model with lazy weights cannot be exported: its functions read from the cache. "
            "Load it with weights='mapped' for that"
        )

    _map_resources = _export_to_saved_model_graph  # its name before TensorFlow 2.10


def lent(variable: Any, wait: Wait) -> Any:
    """Return the values of a variable that is or was lazy, as a tensor over what is lent.

    Raises:
        MemoryBudgetError: there is no room.
    """
    loan: _Loan | None = vars(variable).get(_LOAN)
    if loan is not None:
        try:
            near = loan.near if wait is Wait.FOR_OTHERS else None  # nobody else asks so
            return lent_tensor(near or loan.lender, loan.name, wait)
        except KeyError:  # it became ordinary in this moment
            return lent(variable, wait)
    operations = _parts().variables.gen_resource_variable_ops
    return operations.read_variable_op(variable.handle, variable.dtype)


def _recorded(handle: Any, read: Callable[[], Any]) -> Any:
    """Read, and have gradients flow to the variable, as `ReadVariableOp` would."""
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
    if not hasattr(graph, "capture"):  # of TensorFlow 1, with a session of its own
        make_ordinary(variable)
        return variable._read_variable_op()
    handle = graph.capture(_true_handle(variable))
    # TensorFlow keeps the functions that graphs call for ever, so this one holds no variable.
    known = weakref.ref(variable)

    def read(wait: Wait) -> Any:
        found = known()
        if found is None:
            raise tf.errors.FailedPreconditionError(None, None, "the variable is gone")
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
