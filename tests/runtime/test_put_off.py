"""Assignments that are put off: old values until the end, new ones for whoever reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

tf = pytest.importorskip("tensorflow")

from fastload.runtime.core import eager, put_off  # noqa: E402 - after TensorFlow
from fastload.runtime.core.blank_variables import is_blank  # noqa: E402

OLD, NEW, NEWER = [1.0, 2.0], [3.0, 4.0], [5.0, 6.0]


@pytest.fixture
def undo() -> list[Callable[[], None]]:
    return []


@pytest.fixture
def assignments(undo: list[Callable[[], None]]) -> put_off.PutOff:
    return put_off.PutOff(undo)


def values(variable: Any) -> Any:
    """Return what is behind the handle, whoever waits for what."""
    handle = put_off.raw_handle(variable)
    return tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32).numpy().tolist()


def put_back(assignments: put_off.PutOff, undo: list[Callable[[], None]]) -> None:
    """What a load does that failed."""
    assignments.drop()
    while undo:
        undo.pop()()


def test_a_variable_has_its_old_value_until_the_end(assignments: put_off.PutOff) -> None:
    variable = tf.Variable(OLD)
    kind = type(variable)

    assert assignments.takes(variable, tf.constant(NEW))
    assert values(variable) == OLD
    assignments.settle()
    assert values(variable) == NEW
    assert type(variable) is kind


def test_who_reads_it_gets_the_new_one(assignments: put_off.PutOff, undo: list[Any]) -> None:
    """And a load that fails later puts the old one back."""
    variable = tf.Variable(OLD)
    assignments.takes(variable, tf.constant(NEW))

    assert (variable + 1).numpy().tolist() == [4.0, 5.0]
    assert not is_blank(variable)
    put_back(assignments, undo)
    assert variable.numpy().tolist() == OLD


def test_nothing_is_left_of_a_load_that_failed(
    assignments: put_off.PutOff, undo: list[Any]
) -> None:
    variable = tf.Variable(OLD)
    kind = type(variable)
    assignments.takes(variable, tf.constant(NEW))

    put_back(assignments, undo)

    assert type(variable) is kind
    assert variable.numpy().tolist() == OLD


@pytest.mark.parametrize("reads", [False, True])
def test_the_last_of_two_assignments_counts(
    reads: bool, assignments: put_off.PutOff, undo: list[Any]
) -> None:
    for fails in (False, True):
        variable = tf.Variable(OLD)
        assignments.takes(variable, tf.constant(NEW))
        if reads:
            assert variable.numpy().tolist() == NEW
        assignments.takes(variable, tf.constant(NEWER))
        if fails:
            put_back(assignments, undo)
        else:
            assignments.settle()
        assert variable.numpy().tolist() == (OLD if fails else NEWER)


@pytest.mark.parametrize("fails", [False, True])
def test_an_assignment_of_a_program_comes_after(
    fails: bool, assignments: put_off.PutOff, undo: list[Any]
) -> None:
    """A layer of a program's changes what it was given."""
    variable = tf.Variable(OLD)
    assignments.takes(variable, tf.constant(NEW))
    assignments.remember(variable)
    variable.assign_add([1.0, 1.0])
    if fails:
        put_back(assignments, undo)
    else:
        assignments.settle()

    assert variable.numpy().tolist() == (OLD if fails else [4.0, 5.0])


def test_what_cannot_wait_is_assigned_at_once(assignments: put_off.PutOff) -> None:
    """Another shape or dtype is for the variable itself to refuse."""
    variable = tf.Variable(OLD)

    assert not assignments.takes(variable, tf.constant([1.0]))
    assert not assignments.takes(variable, tf.constant([1, 2]))
    assert not is_blank(variable)


def test_values_of_another_device_are_kept_on_the_host(
    monkeypatch: pytest.MonkeyPatch, assignments: put_off.PutOff, undo: list[Any]
) -> None:
    """What undoes an assignment gives the value back, wherever the variable is."""
    variable = tf.Variable(OLD)
    asked: list[str] = []
    placed = eager.placed

    def noted(device: str) -> Any:
        asked.append(device)
        return placed(device)

    monkeypatch.setattr(eager, "placed", noted)
    assignments.remember(variable)
    assert asked == []
    monkeypatch.setattr(put_off, "_is_on_host", lambda _: False)
    assert not assignments.takes(variable, tf.constant(NEW))
    assignments.remember(variable)
    assert asked == ["CPU:0"]
    variable.assign(NEW)
    put_back(assignments, undo)
    assert variable.numpy().tolist() == OLD
