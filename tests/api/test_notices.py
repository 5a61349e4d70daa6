"""What a load logs: each notice as often as stock logs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.small_models import SAVED_MODEL

pytest.importorskip("tensorflow")

PROGRAM = """
import os, sys
os.dup2(1, 2)
loader, path, package = sys.argv[1:]
import tensorflow
if loader == "stock":
    import importlib
    importlib.import_module(package).models.load_model(path)
else:
    import fastload
    fastload.load_model(path, keras=package, strict=True)
"""


@pytest.mark.slow
def test_a_model_without_a_fingerprint_is_noticed_as_often_as_by_stock(
    run_python: RunPython, tmp_path: Path, cache_root: Path
) -> None:
    """Stock logs that there is none, to a log that repeats TensorFlow's from then on."""
    keras, path = SAVED_MODEL.stock, tmp_path / "m"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(path)
    (path / "fingerprint.pb").unlink(missing_ok=True)

    def notices(loader: str) -> list[str]:
        printed = run_python(PROGRAM, loader, path, SAVED_MODEL.package)
        return [line for line in printed.splitlines() if "No training configuration" in line]

    stock, miss, hit = notices("stock"), notices("fastload"), notices("fastload")

    assert stock
    assert miss == hit == stock
