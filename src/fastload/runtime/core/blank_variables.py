"""Variables of TensorFlow that are blank until they get their weights, or are read.

Until then, a variable is an instance of a subclass of its class. Every way to its value leads
through its attribute `_handle`, also in C++: whoever reads that eagerly gets the initial value
first. In a graph the handle alone says nothing; a graph that has captured it gets the initial value
when its inputs are asked for, which is before it is run.

An initial value that comes late is the one that stock draws: only initializers whose value follows
from what they hold are put off (`rebuild.can_come_later`).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final

import numpy as np

from fastload import unfinished
from fastload.runtime.core import eager
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.requirements import ASSIGNMENT, BLANKS

_INITIAL_VALUE: Final = "_fastload_initial_value"
_HANDLE: Final = "_handle"
#: Two threads must not both give a variable its initial value: the later would undo what the faster
#: one assigned meanwhile. A process that is forked meanwhile has no reference to such a variable.
_lock: Final = unfinished.lock()


def require_blanks() -> None:
    """Check that this TensorFlow has what blank variables need.

    Raises:
        UnsupportedRuntimeError: it lacks a name.
    """
    for part in ("ops", "variables", "functions"):
        BLANKS.part(part)
    require_assignment()


def require_assignment() -> None:
    """Check that this TensorFlow has what assigning without a copy needs.

    Raises:
        UnsupportedRuntimeError: it lacks a name.
    """
    _operations()


def make_blank(variable: Any, initial_value: Callable[[], Any]) -> None:
    """Make *variable* blank.

    Args:
        variable: a new one, whose value means nothing.
        initial_value: returns what stock makes it hold at first.
    """
    kind: Any = type(variable)
    vars(variable)[_INITIAL_VALUE] = initial_value
    variable.__class__ = _blank_class(kind)


def is_blank(variable: Any) -> bool:
    """Say whether *variable* has neither its weights nor its initial value."""
    return _INITIAL_VALUE in vars(variable)


def fill(variable: Any) -> None:
    """Give *variable* its initial value, if it is blank; to be called in eager mode."""
    with _lock:
        if not is_blank(variable):
            return
        handle = vars(variable)[_HANDLE]
        with eager.placed(handle.device):
            value = vars(variable)[_INITIAL_VALUE]()
            value = tensorflow().convert_to_tensor(value, dtype=variable.dtype)
            _operations().assign_variable_op(handle, value)
        _handle_to_overwrite(variable)


#: Variables that are nothing but a handle; wrappers define assignment in their own ways.
_PLAIN_VARIABLES = frozenset({"ResourceVariable", "UninitializedVariable"})


def assign(variable: Any, value: Any) -> None:
    """Assign a tensor to a TensorFlow variable; to a plain one by the operation alone.

    Raises:
        ValueError: their shapes differ.
    """
    if type(variable).__name__ in _PLAIN_VARIABLES and _agree(variable, value):
        _operations().assign_variable_op(_handle_to_overwrite(variable), value)
    else:
        variable.assign(value)


def undo_of(variable: Any) -> Callable[[], None]:
    """Return what gives a TensorFlow variable the value back that it has now."""
    if is_blank(variable):
        return functools.partial(make_blank, variable, vars(variable)[_INITIAL_VALUE])
    if type(variable).__name__ not in _PLAIN_VARIABLES:
        return functools.partial(variable.assign, variable.read_value())
    handle = variable.handle
    value = _operations().read_variable_op(handle, variable.dtype)
    return functools.partial(_operations().assign_variable_op, handle, value)


def _agree(variable: Any, value: Any) -> bool:
    return bool(variable.dtype == value.dtype) and bool(variable.shape == value.shape)


def _handle_to_overwrite(variable: Any) -> Any:
    """Return the handle of a plain variable that is about to be assigned, and no longer blank."""
    with _lock:
        if is_blank(variable):
            variable.__class__ = type(variable).__bases__[1]
            del vars(variable)[_INITIAL_VALUE]
    return variable.handle


def can_be_blank() -> bool:
    """Say whether a variable that is made now is made by TensorFlow alone.

    A variable creator of the program is given the initial value.
    """
    return not _ops().get_default_graph()._variable_creator_stack


def fill_captured(variables: Sequence[Any], inputs: Sequence[Any]) -> None:
    """Fill those of *variables* whose handles are among *inputs* of a function."""
    captured = {id(each) for each in inputs}
    for variable in variables:
        if is_blank(variable) and id(vars(variable)[_HANDLE]) in captured:
            fill(variable)


@functools.cache
def _blank_class(final: Any) -> Any:
    copied = {name: getattr(final, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(final)(final.__name__, (_BlankVariable, final), copied)


class _BlankVariable:
    """The methods in which a blank variable differs from an ordinary one."""

    @property
    def _handle(self) -> Any:
        if eager.executing_eagerly():
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
        """Assign; the initial value is needed only where that may fail, or comes later."""
        if eager.executing_eagerly() and _fits(self, value):
            _handle_to_overwrite(self)
        final: Any = type(self).__bases__[1] if is_blank(self) else type(self)
        return final.assign(self, value, *args, **kwargs)


def _is_naming(frame: FrameType) -> bool:
    """Say whether the code in *frame* is that by which Keras's optimizers know variables."""
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    return frame.f_code.co_name == "_var_key" and package in ("keras", "tf_keras")


def _fits(variable: Any, value: Any) -> bool:
    """Say whether *value* is an array or tensor that can be assigned to *variable*."""
    is_known = isinstance(value, (np.ndarray, eager.runtime().ops.EagerTensor))
    return is_known and bool(variable.dtype == value.dtype and variable.shape == value.shape)


@functools.cache
def _ops() -> Any:
    return BLANKS.part("ops")


@functools.cache
def _operations() -> Any:
    return ASSIGNMENT.part("operations")
