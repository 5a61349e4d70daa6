"""Whether this TensorFlow reads variables as lazy ones need it: one is made, and read twice."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from fastload.errors import FastloadError, UnsupportedRuntimeError
from fastload.lazy_weights.lending_plan import LazyWeight
from fastload.lazy_weights.places import Wait
from fastload.lazy_weights.tf_lazy_variables import make_lazy
from fastload.runtime.core.tensorflow import tensorflow
from fastload.twin.format import WeightRef


@functools.cache
def require_lazy_variables() -> None:
    """Check that this TensorFlow reads variables as `lazy_variables` expects, also in graphs.

    Raises:
        UnsupportedRuntimeError: it does not.
    """
    if tuple(map(int, np.__version__.split(".")[:2])) < (1, 24):
        raise UnsupportedRuntimeError("lazy weights need numpy 1.24 or later (numpy#22507)")
    try:
        seen = _tried()
    except (FastloadError, MemoryError):
        raise
    except Exception as error:  # found now, the load can still be left to stock
        what = f"{type(error).__name__}: {error}"
        raise UnsupportedRuntimeError(f"TensorFlow reads no lazy variable: {what}") from error
    if seen != [(8.0, 1), (8.0, 2)]:
        raise UnsupportedRuntimeError("TensorFlow reads variables in an unknown way")


def _tried() -> list[tuple[float, int]]:
    """Return what is computed with a lazy variable at once and in a graph, and after what reads."""
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
    """Stands for a lender: counts, and lends what the variable does not hold."""

    count = 0

    def lend(self, name: str, wait: Wait) -> tuple[Any, LazyWeight]:
        self.count += 1
        ref = WeightRef(name=name, dtype="float32", shape=(2, 2), offset=0, nbytes=16, sha256="")
        return np.ones((2, 2), np.float32), LazyWeight(ref=ref, layer="")
