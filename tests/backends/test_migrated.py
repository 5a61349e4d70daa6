"""Keras 2 models on JAX and PyTorch: files are migrated there, SavedModels open from their twins.

They are made where Keras 2 is: in the environment of `make test`, by another process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.errors import MigrationError, MissingTensorFlowError

ROOT = Path(__file__).parents[2]
WITH_KERAS_2 = ROOT / ".venv" / "bin" / "python"
#: No Keras 3 opens any of the three; the SavedModel is migrated there, so its twin is written.
MAKE = """
import sys
from pathlib import Path
import numpy as np
import fastload, tf_keras
tf_keras.utils.set_random_seed(1)
inputs = tf_keras.Input((5, 3))
x = tf_keras.layers.Bidirectional(tf_keras.layers.LSTM(4, return_sequences=True))(inputs)
x = tf_keras.activations.gelu(tf_keras.layers.BatchNormalization()(x)[:, 1:])
model = tf_keras.Model(inputs, tf_keras.layers.Dense(1)(tf_keras.layers.GRU(3)(x)))
model.compile(optimizer=tf_keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
batch = np.random.default_rng(3).normal(size=(4, 5, 3)).astype("float32")
model.fit(batch, np.ones((4, 1), "float32"), verbose=0)
folder = Path(sys.argv[1])
np.savez(folder / "predicted.npz", batch=batch, outputs=model.predict(batch, verbose=0))
model.save(str(folder / "model"), save_format="tf")
model.save(str(folder / "model.h5"))
model.save(str(folder / "model.keras"))

class Own(tf_keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2.0

own = tf_keras.Sequential([tf_keras.Input((3,)), Own(name="own")])
own.save(str(folder / "own"), save_format="tf")
fastload.load_model(folder / "own", keras="keras", strict=True)
fastload.load_model(folder / "model", keras="keras", strict=True)
"""


#: Where TensorFlow is installed beside another backend.
WITH_BOTH = """
import sys, fastload
model = fastload.load_model(sys.argv[1], strict=True)
import keras
print(keras.backend.backend(), isinstance(model, keras.Model), fastload.last_load().reason)
"""


@pytest.fixture(scope="module")
def made(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models, and a cache in which the SavedModel is."""
    if not WITH_KERAS_2.exists():
        pytest.skip("no environment with tf-keras: `make test` makes it")
    folder = tmp_path_factory.mktemp("keras2")
    changes = {"KERAS_BACKEND": "tensorflow", "FASTLOAD_CACHE_DIR": str(folder / "cache")}
    _run(WITH_KERAS_2, MAKE, folder, changes)
    return folder


def _run(python: Path, program: str, argument: Path, changes: dict[str, str]) -> str:
    done = subprocess.run(
        [str(python), "-c", program, str(argument)],
        env=os.environ | changes,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def shared_cache(made: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache of the process that made them."""
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", str(made / "cache"))


@pytest.mark.usefixtures("shared_cache")
@pytest.mark.parametrize("name", ["model", "model.h5", "model.keras"])
def test_it_is_a_model_of_this_backend(keras: Any, made: Path, tmp_path: Path, name: str) -> None:
    models = [fastload.load_model(made / name, strict=True) for _ in range(2)]

    report = fastload.last_load()
    assert report is not None
    assert report.outcome.value == "hit"
    with np.load(made / "predicted.npz") as kept:
        batch, outputs = kept["batch"], kept["outputs"]
    for model in models:
        assert isinstance(model, keras.Model)
        predicted = model.predict(batch, verbose=0)
        assert np.abs(predicted - outputs).max() <= 1e-5 * np.abs(outputs).max()

    models[0].save(tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    np.testing.assert_array_equal(again.predict(batch, verbose=0), predicted)
    models[0].fit(batch, np.zeros((4, 1), "float32"), verbose=0)
    assert not np.array_equal(models[0].predict(batch, verbose=0), predicted)
    assert "tensorflow" not in sys.modules


@pytest.mark.usefixtures("keras", "shared_cache")
def test_functions_of_tensorflow_are_refused(made: Path) -> None:
    """A layer without a class calls one; its twin was written where Keras is on TensorFlow."""
    for _ in range(2):
        with pytest.raises(MigrationError, match=r"'own'.* functions are TensorFlow's"):
            fastload.load_model(made / "own")


@pytest.mark.usefixtures("keras", "cache_root")
def test_without_a_twin_a_saved_model_needs_tensorflow(made: Path) -> None:
    for ask in (fastload.load_model, fastload.warm, fastload.load_model):
        with pytest.raises(MissingTensorFlowError, match="needs tensorflow"):
            ask(made / "model")


def test_with_tensorflow_it_is_migrated_and_proved(
    keras: Any, backend: str, made: Path, cache_root: Path
) -> None:
    folders = [ROOT / "src", *(ROOT / ".venv" / "lib").glob("python*/site-packages")]
    if folders[-1].parent.name != f"python3.{sys.version_info.minor}":
        pytest.skip("the environment of `make test` has another Python")

    path = os.pathsep.join(map(str, folders))
    told = _run(Path(sys.executable), WITH_BOTH, made / "model", {"PYTHONPATH": path})

    assert told.splitlines()[-1] == f"{backend} True None"
