"""What TensorFlow would execute: asked with nothing run, nobody disturbed, and compared in full."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastload.runtime.core import eager
from fastload.runtime.functions.executed_graphs import difference
from tests.runtime.flat_functions import executed_of, flat_of

tf = pytest.importorskip("tensorflow")

_ROW = tf.TensorSpec([None, 2], "float32")
_X = tf.constant([[1.0, 2.0]])


@pytest.fixture
def collecting() -> Iterator[Any]:
    """TensorFlow's context, while a program collects graphs itself."""
    context = eager.context()
    context.ensure_initialized()
    context.enable_graph_collection()
    yield context
    context.disable_graph_collection()
    context.export_run_metadata()


def _twice(x: Any) -> Any:
    return x * 2.0


def test_nothing_of_the_function_runs() -> None:
    """It may take long, or end the process, with what is made up for it."""
    calls: list[Any] = []

    def noted(x: Any) -> Any:
        calls.append(x)
        return x

    asked = flat_of(lambda x: tf.py_function(noted, [x], x.dtype), _ROW, name="test_runs")
    found = executed_of(asked, _X)

    assert found is not None
    assert "EagerPyFunc" in {node.op for node in found.post_optimization_graph.node}
    assert calls == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x, y: x - y, lambda x, y: y - x),
        (lambda x, y: tf.matmul(x, y, transpose_b=True), lambda x, y: tf.matmul(y, x, False, True)),
        (lambda x, y: x + y * 2.0, lambda x, y: x + y * 3.0),
        (lambda x, y: (x + y, x * y), lambda x, y: (x * y, x + y)),
        (lambda x, y: x + y, lambda x, y: tf.identity(x) + y + 0.5),
    ],
    ids=["wiring", "arguments", "constant", "results", "more"],
)
def test_graphs_that_compute_otherwise_differ(
    one: Callable[..., Any], other: Callable[..., Any]
) -> None:
    """Most of them have the same operations, as many times."""
    first, second, again = (
        executed_of(flat_of(each, _ROW, _ROW, name=f"test_differ_{index}"), _X, _X)
        for index, each in enumerate([one, other, one])
    )

    assert first is not None
    assert second is not None
    assert again is not None
    assert difference(first, second, {}) is not None
    assert difference(first, again, {}) is None


def test_a_function_that_ran_before_is_told_of_all_the_same() -> None:
    """TensorFlow makes a graph for the first call only."""
    asked = flat_of(_twice, _ROW, name="test_before")

    assert executed_of(asked, _X) is not None
    assert executed_of(asked, _X) is not None


def test_a_program_that_collects_graphs_goes_on_doing_so(
    collecting: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What it has collected is lost, and said to be."""
    with caplog.at_level(logging.WARNING):
        found = executed_of(flat_of(_twice, _ROW, name="test_collecting"), _X)
    tf.function(_twice)(_X)

    assert found is None
    assert "collected so far is lost" in caplog.text
    assert len(collecting.export_run_metadata().function_graphs) == 1


def test_a_trace_of_summaries_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = flat_of(_twice, _ROW, name="test_trace")
    tf.summary.trace_on(graph=True, profiler=False)
    tf.function(_twice)(_X)
    with caplog.at_level(logging.WARNING):
        found = executed_of(asked, _X)
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        tf.summary.trace_export("trace", step=0)
    tf.summary.trace_off()

    assert found is None
    assert caplog.text == ""
    assert b"mul" in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    context = eager.context()
    context.disable_graph_collection()  # TensorFlow 2.21 goes on collecting after a trace
    context.export_run_metadata()
    assert executed_of(asked, _X) is not None


def test_nothing_is_collected_once_it_was_asked() -> None:
    """Neither are functions kept that were only asked about."""
    asked = flat_of(_twice, _ROW, name="test_after")

    assert executed_of(asked, _X) is not None
    tf.function(_twice)(_X)

    context = eager.context()
    assert not context.export_run_metadata().ListFields()
    assert not any(name.startswith("test_after") for name in context.list_function_names())
