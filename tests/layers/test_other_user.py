"""A layer that root made, for users who can write nowhere: their first load is a hit.

With real processes: another uid, no home, and layers that are read-only by their modes, by a mount,
or because the whole file system is. Skipped where the tests do not run as root.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import RunPython, SavedOnce
from tests.layers.conftest import MakeLayer, listing, readable
from tests.layers.other_user import NOBODY, run_as_nobody, why_not
from tests.small_models import INPUTS, KERAS3_ARCHIVE, SAVED_MODEL, Form, copy_model

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

LOAD = """
import json, os, sys
import fastload

function, path, keras, inputs = sys.argv[1:]
named = {} if function == "load_saved_model" else {"keras": keras}
loaded = getattr(fastload, function)(path, **named)
report = fastload.last_load()

import numpy as np

inputs = np.load(inputs)
if function == "load_model":
    outputs = loaded.predict(inputs, verbose=0)
elif function == "load_predictor":
    outputs = loaded.predict(inputs)
else:
    import tensorflow as tf

    serve = loaded.signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    outputs = serve(**{name: tf.constant(inputs)})
outputs = [*outputs.values()] if isinstance(outputs, dict) else [outputs]
print(json.dumps({
    "uid": os.getuid(),
    "home": os.environ.get("HOME"),
    "outcome": report.outcome.value,
    "layer": str(report.layer),
    "reason": report.reason,
    "outputs": [np.asarray(each).tobytes().hex() for each in outputs],
}))
"""
#: Which functions load what, and how layers are kept from being written besides by their modes.
CASES = [
    (SAVED_MODEL, "load_model", []),
    pytest.param(SAVED_MODEL, "load_predictor", ["layer"], marks=pytest.mark.slow),
    pytest.param(SAVED_MODEL, "load_saved_model", ["/"], marks=pytest.mark.slow),
    pytest.param(KERAS3_ARCHIVE, "load_model", ["/"], marks=pytest.mark.slow),
    pytest.param(KERAS3_ARCHIVE, "load_predictor", [], marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("form", "function", "mounts"), CASES)
def test_the_first_load_of_a_user_who_can_write_nowhere_is_a_hit(  # noqa: PLR0917 - fixtures
    form: Form,
    function: str,
    mounts: list[str],
    saved_once: SavedOnce,
    open_folder: Path,
    make_layer: MakeLayer,
    run_python: RunPython,
    cache_root: Path,
) -> None:
    """The model is a copy of the one that root warmed; outputs are stock's; no file is touched."""
    layer = make_layer(saved_once(form), keras=form.package)
    model = readable(copy_model(saved_once(form), open_folder / f"copy{form.suffix}"))
    inputs = open_folder / "inputs.npy"
    np.save(inputs, INPUTS)
    call = (LOAD, function, model, form.package, readable(inputs))
    before = listing(layer)
    expected = json.loads(run_python(*call, FASTLOAD_DISABLE="1").splitlines()[-1])

    told = run_as_nobody(
        *call,
        read_only=[open_folder / mount for mount in mounts],
        FASTLOAD_CACHE_PATH=str(layer),
        FASTLOAD_STRICT="1",
        TMPDIR="/dev/shm",  # TensorFlow's own: it does not start without one
        CUDA_VISIBLE_DEVICES="",
    )
    actual = json.loads(told.splitlines()[-1])

    assert (actual["uid"], actual["home"]) == (NOBODY, None)
    assert (actual["outcome"], actual["layer"], actual["reason"]) == ("hit", str(layer), None)
    assert actual["outputs"] == expected["outputs"]
    assert listing(layer) == before
