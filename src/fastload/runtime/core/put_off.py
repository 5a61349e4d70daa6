"""Assignments to variables that have a value: made at the end of a load, or undone where it fails.

Keeping an old value takes a read, and the first read of each shape takes TensorFlow longer than the
rest of a load takes. So an assignment is put off: until the end the variable has its old value,
which nothing touches, and is blank, so that whoever reads it gets the new one first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from fastload.runtime.core import eager
from fastload.runtime.core.blank_variables import (
    agree,
    assign,
    await_value,
    fill,
    initial_value_of,
    is_lingering,
    is_plain,
    keep_value,
    make_blank,
    operations,
    raw_handle,
)

_HOST: Final = "CPU:0"
Undo = Callable[[], None]


class PutOff:
    """The assignments of one load.

    Args:
        undo: gets what puts back each value that was overwritten before the end.
    """

    def __init__(self, undo: list[Undo]) -> None:
        self._undo = undo
        self._waiting: list[Any] = []

    def takes(self, variable: Any, value: Any) -> bool:
        """Put the assignment of a tensor to *variable* off; say whether that could be done.

        A blank variable has no value to keep; a device may have no room for the new ones besides
        the old ones.
        """
        if not (eager.executing_eagerly() and is_plain(variable) and agree(variable, value)):
            return False
        if not _is_on_host(variable):
            return False
        before = initial_value_of(variable)
        if not (before is None or isinstance(before, _Waiting)):
            return False
        await_value(variable, _Waiting(variable, value, self._undo))
        self._waiting.append(variable)
        return True

    def remember(self, variable: Any) -> None:
        """Keep the value that *variable* has: it is about to be overwritten."""
        self._undo.append(_undo_of(variable))

    def settle(self) -> None:
        """Make the assignments that are still put off."""
        while self._waiting:  # an interrupt leaves what is still to be made
            variable = self._waiting[-1]
            value = initial_value_of(variable)
            if isinstance(value, _Waiting):
                assign(variable, value.value)
            self._waiting.pop()

    def drop(self) -> None:
        """Leave each variable the value that it has."""
        while self._waiting:
            variable = self._waiting.pop()
            if isinstance(initial_value_of(variable), _Waiting):
                keep_value(variable)


class _Waiting:
    """The value that a variable gets at the end, or as soon as it is read.

    Args:
        variable: the variable.
        value: a tensor.
        undo: as for `PutOff`.
    """

    __slots__ = ("undo", "value", "variable")

    def __init__(self, variable: Any, value: Any, undo: list[Undo]) -> None:
        self.variable, self.value, self.undo = variable, value, undo

    def __call__(self) -> Any:
        """Return the value, which the variable gets now."""
        self.undo.append(_undo_of_value(self.variable))
        return self.value


def _undo_of(variable: Any) -> Undo:
    """Return what gives a TensorFlow variable the value back that it has now.

    A device has no room for all values twice: what is kept of one is kept on the host.
    """
    if isinstance(initial_value_of(variable), _Waiting):
        fill(variable)
    initial_value = initial_value_of(variable)
    if initial_value is not None:
        return partial(make_blank, variable, initial_value, lingers=is_lingering(variable))
    if not is_plain(variable):
        return partial(variable.assign, variable.read_value())
    return _undo_of_value(variable)


def _undo_of_value(variable: Any) -> Undo:
    handle = raw_handle(variable)
    value = operations().read_variable_op(handle, variable.dtype)
    if not _is_on_host(variable):
        with eager.placed(_HOST):
            value = eager.copied(value)
    return partial(operations().assign_variable_op, handle, value)


def _is_on_host(variable: Any) -> bool:
    return "CPU" in raw_handle(variable).device
