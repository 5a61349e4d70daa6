"""A full disk, memory in use, and a weight that no 32-bit length can hold."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastload.twin.format import Manifest, WeightSpec
from fastload.twin.reader import Twin
from fastload.twin.writer import write_twin

MANIFEST = Manifest(source_kind="keras_hdf5", source_digest="5" * 64, generation="keras3")


FULL_DISK = """
import resource, sys
import numpy as np
from pathlib import Path
from fastload.twin.format import Manifest, WeightSpec
from fastload.twin.writer import write_twin

limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
specs = [WeightSpec(name=f"w{n}", dtype="float32", shape=(5000,)) for n in range(20)]
stream = ((spec.name, np.ones(5000, np.float32)) for spec in specs)
documents = {"d": b"1" * 40000}
manifest = Manifest(source_kind="k", source_digest="d", generation="f", documents=documents)
try:
    write_twin(Path(sys.argv[1]), manifest, specs, stream)
except OSError:
    print("OSError")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE stands for a full disk")
@pytest.mark.parametrize("limit", [1000, 50_000, 200_000, 440_000, 450_000])
def test_a_full_disk_is_an_os_error_wherever_it_strikes(tmp_path: Path, limit: int) -> None:
    """HDF5 has several errors for it; the caller sees one that it knows."""
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "twin.h5"), str(limit)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "OSError"


PEAK_MEMORY = """
import resource, sys
import numpy as np
from pathlib import Path
from fastload.twin.format import Manifest, WeightSpec
from fastload.twin.writer import write_twin

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

specs = [WeightSpec(name=f"w{n}", dtype="float32", shape=(4096, 8192)) for n in range(3)]
stream = ((spec.name, np.full(spec.shape, 7, np.float32)) for spec in specs)
manifest = Manifest(source_kind="k", source_digest="d", generation="f")
before = peak()
write_twin(Path(sys.argv[1]), manifest, specs, stream)
print((peak() - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
def test_a_write_holds_one_weight_at_a_time(tmp_path: Path) -> None:
    """Three weights of 128 MiB cost less than one of them and 64 MiB."""
    command = [sys.executable, "-c", PEAK_MEMORY, str(tmp_path / "twin.h5")]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert int(done.stdout) < 128 + 64


@pytest.mark.slow
def test_one_weight_of_more_than_4_gib_is_whole(tmp_path: Path) -> None:
    """Neither HDF5, the writer nor the map has a 32-bit length in it."""
    if shutil.disk_usage(tmp_path).free < 2**33:
        pytest.skip("needs 8 GiB of free disk")
    row = np.arange(2**20, dtype=np.float32)
    array = np.broadcast_to(row, (1100, 2**20))
    spec = WeightSpec(name="big", dtype="float32", shape=array.shape)

    write_twin(tmp_path / "twin.h5", MANIFEST, [spec], [("big", array)])
    found = Twin.open(tmp_path / "twin.h5").array("big")

    assert found.nbytes > 2**32
    np.testing.assert_array_equal(found[[0, 1023, 1024, 1099]], np.broadcast_to(row, (4, 2**20)))
