"""A conversion holds one tensor at a time, however large the model is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.small_models import KERAS2_HDF5, KERAS3_ARCHIVE, KERAS3_HDF5, SAVED_MODEL, Form

pytest.importorskip("tensorflow")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc"),
]

MIB = 2**20
LARGEST = 256 * MIB
ALLOWANCE = 64 * MIB

SAVE = """
import sys
import {package} as keras
sizes = [64, 8192, 8192, 2048]
layers = [keras.layers.Dense(n, kernel_initializer="ones") for n in sizes[1:]]
keras.Sequential([keras.Input((sizes[0],)), *layers]).save(sys.argv[1])
"""
CONVERT = """
import re, sys
from pathlib import Path
import h5py, numpy, tensorflow as tf
from fastload.convert.convert import convert
from fastload.source.detect import detect
from fastload.source.fingerprint import fingerprint
from tensorflow.core.protobuf import saved_model_pb2, saved_object_graph_pb2
from tensorflow.python.keras.protobuf import saved_metadata_pb2

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

source = detect(sys.argv[1])
content = fingerprint(source)
before = peak()
convert(Path(sys.argv[2]), source, content, sys.argv[3], "keras")
print(peak() - before)
"""


@pytest.mark.parametrize(
    "form", [SAVED_MODEL, KERAS2_HDF5, KERAS3_HDF5, KERAS3_ARCHIVE], ids=lambda form: form.id
)
def test_a_conversion_needs_little_more_than_the_largest_tensor(
    form: Form, run_python: RunPython, tmp_path: Path
) -> None:
    """256 MiB among 322 MiB: growth beyond what imports take, measured by the kernel."""
    path = tmp_path / f"m{form.suffix}"
    run_python(SAVE.format(package=form.package), path)
    generation = f"keras{form.generation}"
    grown = int(run_python(CONVERT, path, tmp_path / "twin.h5", generation).splitlines()[-1])

    assert (tmp_path / "twin.h5").stat().st_size > LARGEST
    assert grown < LARGEST + ALLOWANCE, f"{grown / MIB:.0f} MiB"
