"""The import of TensorFlow that a load makes is the light one."""

from __future__ import annotations

import pytest

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
@pytest.mark.parametrize(("value", "kind"), [("1", "LazyModule"), ("0", "module")])
def test_a_load_imports_tensorflow_in_less_time(
    model: SavedModel, cache_root: object, run_python: RunPython, value: str, kind: str
) -> None:
    if model.form.generation == 3 and not model.form.suffix:
        pytest.skip("Keras 3 opens no SavedModel")

    printed = run_python(LOAD, model.path, model.form.package, FASTLOAD_LAZY_IMPORT=value)

    assert printed.splitlines()[-1] == kind
