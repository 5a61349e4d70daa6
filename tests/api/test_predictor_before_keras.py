"""`load_predictor` of Keras files where neither Keras nor TensorFlow is imported whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fastload
from fastload.runtime.core import keras
from tests.conftest import RunPython
from tests.small_models import INPUTS, SavedModel

pytest.importorskip("tensorflow")

PREDICT = """
import json, sys
import numpy as np
import fastload
inputs = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)
predict = fastload.load_predictor(sys.argv[1], keras=sys.argv[2], strict=True)
outputs = np.asarray(predict(inputs))
tensorflow = type(sys.modules["tensorflow"]).__name__
print(json.dumps({
    "keras": sys.argv[2] in sys.modules,
    "tensorflow": "waits" if tensorflow == "LazyModule" else "is there",
    "outcome": fastload.last_load().outcome.value,
    "outputs": outputs.tobytes().hex(),
}))
"""
OTHER_SETTINGS = {"floatx": "float64", "epsilon": 1e-7, "image_data_format": "channels_last"}


@pytest.fixture
def warm(model: SavedModel, cache_root: Path) -> SavedModel:
    if not model.form.suffix:
        pytest.skip("a SavedModel has functions of its own, which need no Keras")
    fastload.load_predictor(model.path, keras=model.form.package, strict=True)
    return model


def ask(run_python: RunPython, model: SavedModel, **environment: str) -> dict[str, object]:
    text = run_python(PREDICT, model.path, model.form.package, **environment)
    told: dict[str, object] = json.loads(text.splitlines()[-1])
    return told


def test_a_hit_needs_no_keras(warm: SavedModel, run_python: RunPython) -> None:
    """The bits are those of the model's own call in a graph, traced by stock in this process."""
    import tensorflow as tf

    stock = warm.load_stock()
    expected = tf.function(lambda x: stock(x, training=False))(tf.constant(INPUTS))

    told = ask(run_python, warm)

    assert told == {
        "keras": False,
        "tensorflow": "waits",
        "outcome": "hit",
        "outputs": np.asarray(expected).tobytes().hex(),
    }


def test_other_settings_of_keras_need_keras(
    warm: SavedModel, run_python: RunPython, tmp_path: Path
) -> None:
    """What was traced under one `floatx` is not served under another."""
    (tmp_path / "keras.json").write_text(json.dumps(OTHER_SETTINGS))

    told = ask(run_python, warm, KERAS_HOME=str(tmp_path))

    assert (told["keras"], told["tensorflow"]) == (True, "is there")


def test_it_can_be_switched_off(warm: SavedModel, run_python: RunPython) -> None:
    told = ask(run_python, warm, FASTLOAD_DEFER="0")

    assert (told["keras"], told["tensorflow"]) == (True, "is there")


def test_a_name_of_keras_that_is_registered_anew_needs_keras(
    warm: SavedModel, run_python: RunPython
) -> None:
    """Then the model is of another class, which may compute something else."""
    registering = "import fastload\nfastload.custom_objects['Dense'] = object\n"
    text = run_python(registering + PREDICT, warm.path, warm.form.package)

    assert json.loads(text.splitlines()[-1])["keras"] is True


class TestExpectedKeras:
    """What is expected of a Keras that nobody has imported."""

    @pytest.fixture(autouse=True)
    def nothing_imported(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        monkeypatch.setattr(keras.sys, "modules", {})
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
        return tmp_path / "keras.json"

    @pytest.mark.parametrize("content", ["{", "[]", '{"epsilon": 1}', '{"backend": "jax"}'])
    def test_settings_that_keras_would_refuse_or_that_are_not_for_tensorflow(
        self, nothing_imported: Path, content: str
    ) -> None:
        nothing_imported.write_text(content)

        assert keras.expected_keras("keras") is None

    def test_the_environment_says_which_backend(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KERAS_BACKEND", "torch")

        assert keras.expected_keras("keras") is None

    def test_a_keras_that_is_there_is_asked_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(keras.sys.modules, "keras", object())

        assert keras.expected_keras("keras") is None

    def test_without_a_file_it_is_as_keras_is_without_one(self) -> None:
        found = keras.expected_keras("keras")

        assert found is not None
        assert found.choices[2:] == ("float32", "1e-07", "channels_last")


def test_the_expectation_is_what_keras_then_says(model: SavedModel, run_python: RunPython) -> None:
    program = """
import sys
from fastload.runtime.core.keras import expected_keras
from fastload.runtime.core.keras import keras_of, tracing_choices
expected = expected_keras(sys.argv[1])
keras = keras_of(sys.argv[1])
print(expected.choices == tracing_choices(keras) and expected.name == keras.generation)
"""
    assert run_python(program, model.form.package).splitlines()[-1] == "True"
