"""A published model, a thousand rows for it, and what one process makes of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.cache.directory import CacheDir
from fastload.cache.stats import read
from fastload.loading.request import current_settings
from fastload.twin.index import read_index
from tests.conftest import SRC

ROWS = 1000
#: Rows that are predicted at a time: bits depend on how many there are.
BATCH = 50
WORKERS = 3
_ONE_PROCESS = """
import sys
import numpy as np
import fastload
predict = fastload.load_predictor(sys.argv[1])
rows, size = np.load(sys.argv[2]), int(sys.argv[4])
found = [predict.predict(rows[n : n + size], batch_size=size) for n in range(0, len(rows), size)]
np.save(sys.argv[3], np.concatenate(found))
"""


@pytest.fixture(scope="session")
def model() -> Path:
    """A network of 1.9 million weights that ECG-Quality 0.2.0 brings, as Keras 2 wrote it."""
    found = find_spec("ecg_quality")
    if found is None or found.origin is None:
        pytest.skip("ecg-quality is not installed: see `nox -s engines`")
    return Path(found.origin).parent / "models" / "CNN5s.h5"


@pytest.fixture(scope="session")
def rows() -> Any:
    return np.random.default_rng(1).normal(size=(ROWS, 1250, 1)).astype("float32")


@pytest.fixture(scope="session")
def expected(model: Path, rows: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a process alone predicts, with a cache of its own."""
    folder = tmp_path_factory.mktemp("alone")
    np.save(folder / "rows.npy", rows)
    arguments = [model, folder / "rows.npy", folder / "found.npy", BATCH]
    subprocess.run(
        [sys.executable, "-c", _ONE_PROCESS, *map(str, arguments)],
        env={"PYTHONPATH": str(SRC), "FASTLOAD_CACHE_DIR": str(folder / "cache"), "PATH": ""},
        check=True,
    )
    return np.load(folder / "found.npy")


@pytest.fixture
def reference(model: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch) -> fastload.Ref:
    """A reference to the model, with an empty cache that all workers share."""
    monkeypatch.setenv("PYTHONPATH", f"{SRC}:{SRC.parent}")
    monkeypatch.setenv("FASTLOAD_STRICT", "1")
    return fastload.ref(model)


def misses() -> int:
    """Return how many loads of all processes converted the model."""
    tally = read(CacheDir.locate(current_settings())).total
    assert tally.bypasses == 0
    return tally.misses


def assert_shared(found: Mapping[str, Any], weights_bytes: int) -> None:
    """Check that several processes predicted, and had the weights in memory once together.

    Args:
        found: columns `pid`, `mapped` and `own` (`with_process`), in any order.
        weights_bytes: size of the weights.
    """
    columns = [list(map(int, found[name])) for name in ("pid", "mapped", "own")]
    told = {pid: (mapped, own) for pid, mapped, own in zip(*columns, strict=True)}
    assert len(told) >= WORKERS, told
    assert all(mapped >= weights_bytes / 2 for mapped, _ in told.values()), told
    assert sum(own for _, own in told.values()) <= weights_bytes / 10, told


def weights_bytes() -> int:
    """Return the size of the weights in the one twin that there is."""
    [twin] = CacheDir.locate(current_settings()).root.glob("*.h5")
    return sum(ref.nbytes for ref in read_index(twin).weights)
