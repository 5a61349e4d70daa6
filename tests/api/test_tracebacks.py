"""Errors of models and functions have stock's tracebacks, whoever loaded them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

keras = pytest.importorskip("keras")
if keras.__version__.startswith("2."):
    pytest.skip("no Keras 3", allow_module_level=True)
pytest.importorskip("tf_keras")
pytest.importorskip("tensorflow")

PROGRAM = """
import json, os, re, sys, traceback
import keras, numpy as np, tensorflow as tf, tf_keras

how, folder = sys.argv[1:]
WRONG = np.ones((2, 7), "float32")
found = {}

if how == "fastload":
    import fastload
    fastload.install()


@tf.function
def own(x):
    raise ValueError(x)


def error_of(name, function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        files = [os.path.basename(frame.filename) for frame in frames]
        found[name] = [re.sub("generated_file.*", "generated", file) for file in files]


served = keras.models.load_model(os.path.join(folder, "m.keras"))
older = tf_keras.models.load_model(os.path.join(folder, "m"))
functions = tf.saved_model.load(os.path.join(folder, "m"))
mine = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
if how == "fastload":
    assert fastload.last_load().outcome.value == "hit", fastload.last_load()
for kind, model in {"served": served, "older": older, "mine": mine}.items():
    error_of(f"{kind} predict", model.predict, WRONG)
    error_of(f"{kind} fit", model.fit, WRONG)
    error_of(f"{kind} call", model, WRONG)
error_of("function", own, 1)
error_of("signature", functions.signatures["serving_default"], tf.constant(WRONG))
print(json.dumps(found))
"""


def _run(how: str, folder: Path) -> Any:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", PROGRAM, how, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_they_have_no_frames_of_ours(tmp_path: Path, cache_root: Path) -> None:
    import tf_keras

    layers = [keras.Input((3,)), keras.layers.Dense(1)]
    keras.Sequential(layers).save(tmp_path / "m.keras")
    layers = [tf_keras.Input((3,)), tf_keras.layers.Dense(1)]
    tf_keras.Sequential(layers).save(str(tmp_path / "m"), save_format="tf")
    import fastload

    fastload.warm(tmp_path / "m.keras", keras="keras")
    fastload.warm(tmp_path / "m", keras="tf_keras")

    ours, stock = _run("fastload", tmp_path), _run("stock", tmp_path)

    assert ours == stock
