"""The weights of a hit are the pages of its twin: nothing copied them.

Outputs are the same either way, so nothing but this would show a Keras whose variables get copies.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.report import Outcome
from tests.runtime.variable_reads import variable_of
from tests.small_models import FORMS, Form, save

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is mapped")

MAPS = Path("/proc/self/maps")
#: Bytes of a weight from which on it is mapped for certain.
LARGE = 4096


def layers(keras: Any) -> list[Any]:
    """Return layers that read their state by methods of their own, and others."""
    kinds = keras.layers
    einsum_dense = getattr(kinds, "EinsumDense", None) or kinds.experimental.EinsumDense
    return [
        kinds.Embedding(50, 24),
        einsum_dense("abc,cd->abd", output_shape=(None, 64)),
        kinds.Conv1D(32, 3),
        kinds.LSTM(48),
        kinds.BatchNormalization(),
        kinds.Dense(64),
    ]


def pages_of(folder: Path) -> list[range]:
    """Return which memory of this process is that of files in *folder*."""
    lines = [line.split() for line in MAPS.read_text().splitlines() if str(folder) in line]
    return [range(*(int(each, 16) for each in line[0].split("-"))) for line in lines]


def large_weights(model: Any) -> Iterator[tuple[str, int]]:
    """Yield the name and the address of each of *model*'s weights, its optimizer's too."""
    found = model.optimizer.variables
    for variable in map(variable_of, [*model.weights, *(found() if callable(found) else found)]):
        value = np.asarray(variable.read_value())
        if value.nbytes >= LARGE:
            yield variable.name, value.ctypes.data


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.id)
def test_nothing_copies_them(form: Form, tmp_path: Path, cache_root: Path) -> None:
    keras = form.stock
    inputs = outputs = keras.Input((12,), dtype="int32")
    for layer in layers(keras):
        outputs = layer(outputs)
    original = keras.Model(inputs, outputs)
    original.compile("adam", keras.losses.MeanSquaredError())
    original.fit(np.ones((4, 12), "int32"), np.ones((4, 64), "float32"), verbose=0)
    path = tmp_path / f"m{form.suffix}"
    save(original, path)
    fastload.load_model(path, keras=form.package, strict=True)

    model = fastload.load_model(path, keras=form.package, strict=True)

    report = fastload.last_load()
    assert report is not None
    assert report.outcome is Outcome.HIT
    pages, found = pages_of(cache_root), list(large_weights(model))
    assert len(found) >= len(layers(keras))
    assert [name for name, at in found if not any(at in each for each in pages)] == []
