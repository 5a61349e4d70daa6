"""Whether this TensorFlow reads variables as lazy ones need it: one is made, and read."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from fastload.errors import UnsupportedRuntimeError
from fastload.lending.places import Wait
from fastload.lending.plan import LazyWeight
from fastload.runtime.lazy_variables import make_lazy
from fastload.runtime.tensorflow import tensorflow
from fastload.twin.format import WeightRef


@functools.cache
def require_lazy_variables() -> None:
    """Check that this TensorFlow reads variables as `lazy_variables` expects.

    Raises:
        UnsupportedRuntimeError: it does not.
    """
    if tuple(map(int, np.__version__.split(".")[:2])) < (1, 24):
        raise UnsupportedRuntimeError("lazy weights need numpy 1.24 or later (numpy#22507)")
    tf = tensorflow()
    reads: Any = _Reads()
    with tf.init_scope():
        variable = tf.Variable(np.zeros((2, 2), np.float32), trainable=False)
        make_lazy(variable, reads, "")
        seen = float(tf.reduce_sum(tf.matmul(tf.ones((2, 2)), variable)))
    if (seen, reads.count) != (8.0, 1):
        raise UnsupportedRuntimeError("TensorFlow reads variables in an unknown way")


class _Reads:
    """Stands for a lender: counts, and lends what the variable does not hold."""

    count = 0

    def lend(self, name: str, wait: Wait) -> tuple[Any, LazyWeight]:
        self.count += 1
        ref = WeightRef(name=name, dtype="float32", shape=(2, 2), offset=0, nbytes=16, sha256="")
        return np.ones((2, 2), np.float32), LazyWeight(ref=ref, layer="")
