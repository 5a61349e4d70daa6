"""Variables that lend their values within a budget, and ordinary ones of the same values."""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from fastload.lazy_weights import tf_graph_reads as deliveries
from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.lender import Lender, array_over
from fastload.lazy_weights.lending_plan import plan_of
from fastload.lazy_weights.pages import MappedPages
from fastload.lazy_weights.places import Wait
from fastload.lazy_weights.tf_lazy_variables import _LOAN, make_lazy
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.core.zero_copy import tensor_over
from fastload.twin.format import ALIGNMENT_BYTES, WeightRef
from tests.lazy_weights.weights import end_readers

ROWS, COLUMNS = 160, 128
NBYTES = ROWS * COLUMNS * 4
SOON_S = 5.0


def is_lazy(variable: Any) -> bool:
    return _LOAN in vars(variable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """Variables over a file.

    Attributes:
        lazy: those that lend their values.
        ordinary: those of the same values that do not.
        lender: of the former.
    """

    lazy: list[Any]
    ordinary: list[Any]
    lender: Lender

    @property
    def budget(self) -> Budget:
        return self.lender.budget

    @property
    def owned(self) -> dict[str, int]:
        """Bytes of what became ordinary memory, by name."""
        return {name: nbytes for name, nbytes in self.lender.owned.items() if nbytes}

    def all_is_given_back(self) -> bool:
        """Say whether nobody has a loan; kernels of a graph may end a little later than it."""
        deadline = time.monotonic() + SOON_S
        while time.monotonic() < deadline:
            gc.collect()
            if not self.budget._borrowers:
                return True
            time.sleep(0.01)
        return False

    def close(self) -> None:
        """End the threads, and close the file."""
        end_threads()
        self.lender.shelf.pages._file.close()

    def same_values(self) -> bool:
        """Say whether all variables have the values of their counterparts, to the bit."""
        pairs = zip(self.lazy, self.ordinary, strict=True)
        return all(ours.numpy().tobytes() == theirs.numpy().tobytes() for ours, theirs in pairs)


def lend_variables(path: Path, count: int = 3, room: int = 2, dtype: str = "float32") -> Lent:
    """Return *count* variables, in a budget that has room for the pages of *room* of them."""
    tf = tensorflow()
    values = np.random.default_rng(1).normal(size=(count, ROWS, COLUMNS)).astype(dtype)
    path.write_bytes(bytes(ALIGNMENT_BYTES) + values.tobytes())
    refs = [
        WeightRef(
            name=f"state/layers/dense_{number}/vars/0",
            dtype=dtype,
            shape=(ROWS, COLUMNS),
            offset=ALIGNMENT_BYTES + number * values[number].nbytes,
            nbytes=values[number].nbytes,
            sha256="",
        )
        for number in range(count)
    ]
    plan, pages = plan_of(refs), MappedPages(path)
    lender = Lender(plan, Budget(room * max(weight.nbytes for weight in plan.lent)), pages)
    lazy = []
    for weight in plan.lent:
        # As a restored model: over pages of the twin, which are of nobody's budget.
        twin = pages.piece(weight)
        lazy.append(tf.Variable(tensor_over(array_over(twin.owner(), weight))))
        make_lazy(lazy[-1], lender, weight.name)
    ordinary = [tf.Variable(value) for value in values]
    return Lent(lazy=lazy, ordinary=ordinary, lender=lender)


def end_threads() -> None:
    """End the threads that read ahead and deliver: other tests are about processes with one."""
    end_readers()

    def leave(wait: Wait) -> Any:
        raise SystemExit

    requests = deliveries._deliveries
    if requests._thread is not None and requests._thread.is_alive():
        with mock.patch.object(threading, "excepthook"):
            requests._waiting.put(deliveries._Request(read=leave, dtype=None, queue=mock.Mock()))
            requests._thread.join(SOON_S)
