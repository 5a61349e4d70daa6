"""Variables of TensorFlow that are blank until they get their weights, or are read.

Until then, a variable is an instance of a subclass of its class. Every way to its value leads
through its attribute `_handle`, also in C++: whoever reads that gets the initial value first. The
one exception are graphs that nobody runs: Keras calls layers in them, to learn what they return.

An initial value that comes late is the one that stock draws: only initializers whose value follows
from what they hold are put off (`rebuild.can_come_later`).
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable
from threading import get_ident
from types import FrameType
from typing import Any, Final
from weakref import ref

from fastload import unfinished
from fastload.errors import UnsupportedRequestError
from fastload.runtime.core import eager
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import ASSIGNMENT, BLANKS
from fastload.unfinished import Change

_INITIAL_VALUE: Final = "_fastload_initial_value"
_HANDLE: Final = "_handle"
#: The thread that is assigning.
_OVERWRITTEN_BY: Final = "_fastload_overwritten_by"
#: Keras 3 numbers their names; Keras 2 puts the layer's name before.
_SCRATCH_GRAPH: Final = re.compile(r"(?:^|_)scratch_graph(?:_\d+)?$|^build_graph$")
#: Two threads must not both give a variable its initial value: the later would undo what the faster
#: one assigned meanwhile. A process that is forked meanwhile has no reference to such a variable.
_lock: Final = unfinished.lock()
#: By `id`: TensorFlow's variables have no hash.
_lingering: Final[dict[int, ref[Any]]] = {}


def require_blanks() -> None:
    """Check that this TensorFlow has what blank variables need.

    Raises:
        UnsupportedRuntimeError: it lacks a name.
    """
    for part in ("ops", "variables", "branches"):
        BLANKS.part(part)
    require_assignment()


def require_no_tape() -> None:
    """Check that no tape of gradients notices which variables are assigned.

    Raises:
        UnsupportedRequestError: one does.
    """
    is_empty = getattr(ASSIGNMENT.part("tapes"), "TFE_Py_TapeSetIsEmpty", None)
    if is_empty is not None and not is_empty():
        raise UnsupportedRequestError("a tf.GradientTape records the variables that are assigned")


def require_assignment() -> None:
    """Check that this TensorFlow has what assigning without a copy needs.

    Raises:
        UnsupportedRuntimeError: it lacks a name.
    """
    operations()


def make_blank(variable: Any, initial_value: Callable[[], Any], *, lingers: bool = False) -> None:
    """Make *variable* blank.

    Args:
        variable: a new one, whose value means nothing.
        initial_value: returns what stock makes it hold at first.
        lingers: it may stay blank for long, so that a fork may come.
    """
    kind: Any = type(variable)
    vars(variable)[_INITIAL_VALUE] = initial_value
    variable.__class__ = _blank_class(kind)
    if lingers:
        _register(variable)


def await_value(variable: Any, value: Callable[[], Any]) -> None:
    """Make *variable* blank, or have a blank one get another value."""
    with _lock:
        if is_blank(variable):
            vars(variable)[_INITIAL_VALUE] = value
        else:
            make_blank(variable, value)


def keep_value(variable: Any) -> None:
    """Let *variable*, if it is blank, have the value that is behind its handle."""
    with _lock:
        if is_blank(variable):
            _become_ordinary(variable)


def _register(variable: Any) -> None:
    """Have *variable* filled before this process is forked, if it is blank then.

    TensorFlow can read variables in the child of a fork, but not compute: its threads are not
    there.
    """
    key = id(variable)
    _lingering[key] = ref(variable, lambda _: _lingering.pop(key, None))
    _fill_before_forks()


@functools.cache
def _fill_before_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=fill_lingering)


def fill_lingering() -> None:
    """Fill all variables that are still blank and may stay so."""
    for reference in list(_lingering.values()):
        variable = reference()
        if variable is not None:
            fill(variable)


def is_blank(variable: Any) -> bool:
    """Say whether *variable* has neither its weights nor its initial value."""
    return _INITIAL_VALUE in vars(variable)


def fill(variable: Any) -> None:
    """Give *variable* its initial value, if it is blank; also while a graph is made."""
    with _lock:
        if not is_blank(variable):
            return
        handle = vars(variable)[_HANDLE]
        with eager.runtime().context.eager_mode(), eager.placed(handle.device):
            value = vars(variable)[_INITIAL_VALUE]()
            value = tensorflow().convert_to_tensor(value, dtype=variable.dtype)
            operations().assign_variable_op(handle, value)
        _become_ordinary(variable)


#: Variables that are nothing but a handle; wrappers define assignment in their own ways.
_PLAIN_VARIABLES = frozenset({"ResourceVariable", "UninitializedVariable"})


def assign(variable: Any, value: Any) -> None:
    """Assign a tensor to a TensorFlow variable; to a plain one by the operation alone.

    Raises:
        ValueError: their shapes differ.
    """
    is_now = eager.executing_eagerly()  # a graph may be run later, or never
    if not (is_now and is_plain(variable) and agree(variable, value)):
        variable.assign(value)
    elif is_blank(variable):
        _overwrite(variable, functools.partial(_assign_to_handle, variable, value))
    else:
        operations().assign_variable_op(variable.handle, value)


def is_plain(variable: Any) -> bool:
    """Say whether *variable* is nothing but a handle, which the operation alone assigns."""
    return type(variable).__name__ in _PLAIN_VARIABLES


def raw_handle(variable: Any) -> Any:
    """Return the handle of *variable*, whether there is a value behind it or not."""
    return vars(variable)[_HANDLE]


def initial_value_of(variable: Any) -> Callable[[], Any] | None:
    """Return what a blank variable gets its value by; None where it has one."""
    found: Callable[[], Any] | None = vars(variable).get(_INITIAL_VALUE)
    return found


def is_lingering(variable: Any) -> bool:
    """Say whether *variable* is blank and may stay so for long."""
    return id(variable) in _lingering


def agree(variable: Any, value: Any) -> bool:
    """Say whether a tensor has the dtype and shape of *variable*."""
    return bool(variable.dtype == value.dtype) and bool(variable.shape == value.shape)


def _assign_to_handle(variable: Any, value: Any) -> None:
    operations().assign_variable_op(raw_handle(variable), value)


def _overwrite(variable: Any, assign_value: Callable[[], Any]) -> Any:
    """Call *assign_value*, which needs no initial value; afterwards *variable* is an ordinary one.

    Threads that read it meanwhile wait; where the assignment fails, it stays blank.
    """
    with _lock:
        state = vars(variable)
        if not is_blank(variable):
            return assign_value()
        with Change(functools.partial(state.pop, _OVERWRITTEN_BY, None)):
            state[_OVERWRITTEN_BY] = get_ident()
            assigned = assign_value()
        _become_ordinary(variable)
        return assigned


def _become_ordinary(variable: Any) -> None:
    """Give a variable that has a value its own class again."""
    variable.__class__ = type(variable).__bases__[1]
    del vars(variable)[_INITIAL_VALUE]
    _lingering.pop(id(variable), None)


def can_be_blank() -> bool:
    """Say whether a variable that is made now is made by TensorFlow alone, and eagerly.

    A variable creator of the program is given the initial value.
    """
    graph = _ops().get_default_graph()
    return eager.executing_eagerly() and not graph._variable_creator_stack


@functools.cache
def _blank_class(final: Any) -> Any:
    copied = {name: getattr(final, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(final)(final.__name__, (_BlankVariable, final), copied)


class _BlankVariable:
    """The methods in which a blank variable differs from an ordinary one."""

    dtype: Any

    @property
    def _handle(self) -> Any:
        if not (_is_overwriting(self) or _is_in_scratch_graph()):
            fill(self)
        return vars(self)[_HANDLE]

    @property
    def handle(self) -> Any:
        """The handle, with the initial value behind it unless it only serves as a name."""
        return vars(self)[_HANDLE] if _is_naming(sys._getframe(1)) else self._handle

    @property
    def device(self) -> Any:
        """The device of the variable."""
        return vars(self)[_HANDLE].device

    def assign(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Assign; the initial value is needed only where that fails, or comes later."""
        final: Any = type(self).__bases__[1] if is_blank(self) else type(self)
        if not eager.executing_eagerly():
            return final.assign(self, value, *args, **kwargs)
        # What stock does first; it may run code of a program, so not while others wait.
        tensor = tensorflow().convert_to_tensor(value, dtype=self.dtype)
        assign_tensor = functools.partial(final.assign, self, tensor, *args, **kwargs)
        return _overwrite(self, assign_tensor) if agree(self, tensor) else assign_tensor()


def _is_overwriting(variable: Any) -> bool:
    return bool(vars(variable).get(_OVERWRITTEN_BY) == get_ident())


def _is_in_scratch_graph() -> bool:
    """Say whether a graph is being made that Keras makes to look at, and never runs.

    A function that is traced meanwhile is one that can be run, whatever a program calls it: its
    graph has the name of the Python function, and a signature.
    """
    if eager.executing_eagerly():
        return False
    graph = _ops().get_default_graph()
    while isinstance(graph, _branches()):  # of a condition or loop
        graph = graph.outer_graph
    is_of_function = getattr(graph, "structured_input_signature", ()) is not None
    return not is_of_function and _SCRATCH_GRAPH.search(getattr(graph, "name", "")) is not None


def _is_naming(frame: FrameType) -> bool:
    """Say whether the code in *frame* is that by which Keras's optimizers know variables."""
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    return frame.f_code.co_name == "_var_key" and package in ("keras", "tf_keras")


@functools.cache
def _ops() -> Any:
    return BLANKS.part("ops")


@functools.cache
def operations() -> Any:
    """Return TensorFlow's operations on variables."""
    return ASSIGNMENT.part("operations")


@functools.cache
def _branches() -> Any:
    return BLANKS.part("branches").ControlFlowFuncGraph
