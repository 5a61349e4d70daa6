"""Folders of Orbax checkpoints, which Keras 3 writes and opens: stock's, with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.report import Outcome


@pytest.fixture
def folder(keras: Any, tmp_path: Path, cache_root: Path) -> Path:
    """What the callback leaves of a model that is trained for two epochs."""
    pytest.importorskip("orbax.checkpoint")
    if not hasattr(keras.callbacks, "OrbaxCheckpoint"):
        pytest.skip("this Keras has no such callback")
    model = _made(keras)
    x = np.ones((8, 4), "float32")
    callback = keras.callbacks.OrbaxCheckpoint(str(tmp_path / "steps"))
    model.fit(x, x[:, :3], epochs=2, callbacks=[callback], verbose=0)
    return tmp_path / "steps"


def _made(keras: Any) -> Any:
    keras.utils.set_random_seed(1)
    # Keras finds weights by the names of layers; where they are others it leaves what is there.
    layers = [keras.Input((4,)), keras.layers.Dense(3, name="dense")]
    model = keras.Sequential(layers, name="model")
    model.compile("adam", "mean_squared_error")
    return model


def _bits(model: Any) -> list[bytes]:
    return [np.asarray(each.numpy()).tobytes() for each in model.variables]


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
def test_they_are_stocks(keras: Any, folder: Path) -> None:
    """The same models and weights as without fastload, and the report says why."""
    keras.utils.set_random_seed(2)
    loaded = keras.models.load_model(folder)
    keras.utils.set_random_seed(2)
    assert _bits(fastload.load_model(folder, keras="keras")) == _bits(loaded)
    reports = [fastload.last_load()]
    expected, model = _made(keras), _made(keras)
    expected.load_weights(folder)
    fastload.load_weights(model, folder)
    assert _bits(model) == _bits(expected) != _bits(_made(keras))
    for report in (*reports, fastload.last_load()):
        assert (report.outcome, report.code) == (Outcome.BYPASS, "FL201")
        assert "is a folder of Orbax checkpoints" in str(report.reason)


def test_explain_says_what_they_are(folder: Path) -> None:
    """The folder, and one step in it."""
    step = next(folder.iterdir())
    for path, what in ((folder, "a folder of Orbax checkpoints"), (step, "an Orbax checkpoint")):
        for function in ("load_model", "load_weights"):
            found = fastload.explain(path, keras="keras", function=function)  # type: ignore[arg-type]
            assert (found.outcome, found.code) == (Outcome.BYPASS, "FL201")
            assert found.reason == f"'{path}' is {what}"
