"""The import of TensorFlow that a load makes is the light one."""

from __future__ import annotations

import pytest

import fastload
from tests.conftest import RunPython
from tests.imports.test_light_import import version
from tests.small_models import SavedModel

pytest.importorskip("tensorflow")

LOAD = """
import sys
import fastload
fastload.load_model(sys.argv[1], keras=sys.argv[2])
print(type(sys.modules["tensorflow._api.v2.lite"]).__name__)
"""


@pytest.mark.skipif(version() != "2.21", reason="nothing is deferred in this TensorFlow")
def test_a_load_imports_tensorflow_in_less_time(
    model: SavedModel, cache_root: object, run_python: RunPython
) -> None:
    assert loaded(run_python, model, "1") == "LazyModule"


@pytest.mark.slow
@pytest.mark.skipif(version() != "2.21", reason="nothing is deferred in this TensorFlow")
def test_it_can_be_switched_off(
    saved_model: SavedModel, cache_root: object, run_python: RunPython
) -> None:
    assert loaded(run_python, saved_model, "0") == "module"


def loaded(run_python: RunPython, model: SavedModel, value: str) -> str:
    """Return what a deferred part of TensorFlow is after a load, from the twin."""
    fastload.load_model(model.path, keras=model.form.package)
    printed = run_python(LOAD, model.path, model.form.package, FASTLOAD_LAZY_IMPORT=value)
    return printed.splitlines()[-1]
