"""Variables made in a rebuild: their kernels are lighter, and nothing else tells them apart."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

from fastload.runtime.core import bookkeeping
from fastload.runtime.core.bookkeeping import kernel_patches
from fastload.runtime.core.rebuild import Rebuild, rebuilding

tf = pytest.importorskip("tensorflow")


@pytest.fixture
def thrown(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Each position that the switch was thrown to."""
    if tuple(map(int, tf.__version__.split(".")[:2])) < (2, 9):
        pytest.skip("TensorFlow 2.8 wraps no kernels: there is nothing to switch")
    positions: list[bool] = []
    real = bookkeeping._wrapping_switch()
    assert real is not None, "this TensorFlow wraps no kernels any more: is the patch still needed?"

    def switch(position: bool) -> None:
        positions.append(position)
        real(position)

    monkeypatch.setattr(bookkeeping, "_wrapping_switch", lambda: switch)
    return positions


def make_and_assign() -> Any:
    variable = tf.Variable([1.0, 2.0], name="own_name")
    variable.assign([3.0, 4.0])
    return variable


def test_the_switch_is_back_after_each_operation(thrown: list[bool]) -> None:
    """A handle, an initial value and an assignment: off and on for each."""
    with rebuilding(Rebuild(), kernel_patches()):
        variable = make_and_assign()

    assert thrown == [False, True] * 3
    assert variable.numpy().tolist() == [3.0, 4.0]
    assert variable.name == "own_name:0"


def test_the_switch_is_back_after_an_error(thrown: list[bool]) -> None:
    """TensorFlow refuses the shape; the next kernel is wrapped again."""
    with rebuilding(Rebuild(), kernel_patches()):
        variable = tf.Variable([1.0])
        module = sys.modules["tensorflow.python.ops.gen_resource_variable_ops"]
        with pytest.raises(tf.errors.InvalidArgumentError):
            module.assign_variable_op(variable.handle, tf.zeros([2]), validate_shape=True)

    assert thrown[-1] is True


@pytest.mark.parametrize(("name", "count"), [("of the program", 0), ("fastload reader", 6)])
def test_the_switch_is_let_be_while_another_thread_is_there(
    thrown: list[bool], name: str, count: int
) -> None:
    """It is one of the whole process: another thread's kernels would be made without wrapping."""
    done = threading.Event()
    other = threading.Thread(target=done.wait, name=name)
    other.start()
    try:
        with rebuilding(Rebuild(), kernel_patches()):
            make_and_assign()
    finally:
        done.set()
        other.join()

    assert len(thrown) == count


def test_outside_a_rebuild_nothing_is_thrown(thrown: list[bool]) -> None:
    """The patches are there while another context rebuilds a model."""
    make_and_assign()

    assert thrown == []


@pytest.mark.slow
def test_later_errors_read_as_ever() -> None:
    """Messages name the wrapping function: those of a mapped variable do too."""
    program = """
        import sys, tensorflow as tf
        from fastload.runtime.core.bookkeeping import kernel_patches
        from fastload.runtime.core.rebuild import Rebuild, rebuilding
        if sys.argv[1] == "ours":
            with rebuilding(Rebuild(), kernel_patches()):
                variable = tf.Variable([1.0])
        else:
            variable = tf.Variable([1.0])
        for wrong in ([1.0, 2.0], [[1.0]]):
            try:
                tf.raw_ops.AssignVariableOp(
                    resource=variable.handle, value=tf.constant(wrong), validate_shape=True
                )
            except tf.errors.InvalidArgumentError as error:
                print(error)
        try:
            tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=tf.int32)
        except Exception as error:
            print(type(error), error)
    """

    stock, ours = (_output(program, loader) for loader in ("stock", "ours"))

    assert stock
    assert ours == stock


def _output(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
