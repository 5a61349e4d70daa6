"""Many processes that load one cold model at the same moment convert it once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from .conftest import StartPython

PROCESSES = 16

_LOAD = """
import hashlib, sys
import numpy as np
import tensorflow as tf
import fastload

print("ready", flush=True)
sys.stdin.readline()
model = fastload.load_model(sys.argv[1])
output = np.asarray(model(np.ones((2, 256), "float32"), training=False))
digest = hashlib.sha256(b"".join(weight.tobytes() for weight in [*model.get_weights(), output]))
print(fastload.last_load().outcome.value, digest.hexdigest(), flush=True)
"""

_STOCK = _LOAD.replace("fastload.load_model", "tf.keras.models.load_model").replace(
    "fastload.last_load().outcome.value", "'stock'"
)


@pytest.mark.slow
def test_sixteen_processes_convert_once_and_load_sixteen_right_models(
    start_python: StartPython, hdf5_model: Path, tmp_path: Path
) -> None:
    """One writes, fifteen wait and map; all have the weights and outputs of the stock loader."""
    with start_python(_STOCK, hdf5_model, cache=tmp_path) as stock:
        expected = stock.communicate("\n")[0].split()[-1]
    herd = [start_python(_LOAD, hdf5_model, cache=tmp_path) for _ in range(PROCESSES)]
    for process in herd:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in herd:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate()[0].split() for process in herd]

    assert [process.returncode for process in herd] == [0] * PROCESSES
    assert Counter(outcome for outcome, _ in answers) == {"miss": 1, "hit": PROCESSES - 1}
    assert {digest for _, digest in answers} == {expected}
