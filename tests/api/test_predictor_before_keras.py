"""`load_predictor` of Keras files where neither Keras nor TensorFlow is imported whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import fastload
from fastload.runtime.core import keras
from tests.conftest import RunPython
from tests.deferral import needs_deferral
from tests.small_models import INPUTS, SavedModel

tf = pytest.importorskip("tensorflow")

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


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of caches by form: what a process learns of equal content is the same."""
    return tmp_path_factory.mktemp("learned")


@pytest.fixture
def warm(model: SavedModel, cache_root: Path, run_python: RunPython, learned: Path) -> SavedModel:
    """A model whose function was made in a process that had not imported Keras before."""
    if not model.form.suffix:
        pytest.skip("a SavedModel has functions of its own, which need no Keras")
    kept = learned / model.form.id
    if kept.exists():
        shutil.copytree(kept, cache_root)
    else:
        ask(run_python, model)
        shutil.copytree(cache_root, kept)
    return model


def ask(run_python: RunPython, model: SavedModel, **environment: str) -> dict[str, object]:
    text = run_python(PREDICT, model.path, model.form.package, **environment)
    told: dict[str, object] = json.loads(text.splitlines()[-1])
    return told


@needs_deferral
def test_a_hit_needs_no_keras(warm: SavedModel, run_python: RunPython) -> None:
    """The bits are those of the model's own call in a graph, traced by stock in this process."""
    stock = warm.load_stock()
    expected = tf.function(lambda x: stock(x, training=False))(tf.constant(INPUTS))

    told = ask(run_python, warm)

    assert told == {
        "keras": False,
        "tensorflow": "waits",
        "outcome": "hit",
        "outputs": np.asarray(expected).tobytes().hex(),
    }


@needs_deferral
def test_what_a_process_with_keras_made_is_compared_first(
    model: SavedModel, cache_root: Path, run_python: RunPython
) -> None:
    """It may have changed Keras before."""
    if not model.form.suffix:
        pytest.skip("a SavedModel has functions of its own, which need no Keras")
    fastload.load_predictor(model.path, keras=model.form.package, strict=True)

    told = [ask(run_python, model) for _ in range(2)]

    assert [each["keras"] for each in told] == [True, False]
    assert told[0]["outputs"] == told[1]["outputs"]
    assert len(list(cache_root.glob("*-0.json"))) == 1  # it was found to be the same


@pytest.mark.slow
def test_what_a_changed_keras_made_stays_there(
    model: SavedModel, cache_root: Path, run_python: RunPython
) -> None:
    if not model.form.suffix:
        pytest.skip("a SavedModel has functions of its own, which need no Keras")
    package = model.form.package
    change = f"import {package}\n{package}.layers.Dense.call = lambda self, inputs: inputs * 3\n"
    changed = json.loads(run_python(change + PREDICT, model.path, package).splitlines()[-1])

    told = [ask(run_python, model) for _ in range(3)]

    stock = model.load_stock()
    expected = np.asarray(tf.function(lambda x: stock(x, training=False))(INPUTS))
    assert [each["keras"] for each in told] == [True, False, False]
    assert {each["outputs"] for each in told} == {expected.tobytes().hex()}
    assert changed["outputs"] == (INPUTS * np.float32(27)).tobytes().hex()


@pytest.mark.slow
def test_a_file_of_keras_that_was_edited_needs_keras(
    warm: SavedModel, run_python: RunPython, tmp_path: Path, cache_root: Path
) -> None:
    """The version says nothing of it; the time of the file does."""
    (kept,) = cache_root.glob("*-installed.json")
    content = json.loads(kept.read_bytes())
    path = next(each for each in content["files"] if each.endswith("dense.py"))
    content["files"][path][1] -= 1  # as if it had been another one then
    kept.chmod(0o600)
    kept.write_text(json.dumps(content))

    told = [ask(run_python, warm) for _ in range(2)]

    assert [each["keras"] for each in told] == [True, False]


@pytest.mark.slow
def test_a_finder_that_may_change_modules_needs_keras(
    warm: SavedModel, run_python: RunPython
) -> None:
    finder = """
import sys
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None
sys.meta_path.insert(0, Finder)
"""
    text = run_python(finder + PREDICT, warm.path, warm.form.package)

    assert json.loads(text.splitlines()[-1])["keras"] is True


@pytest.mark.slow
def test_other_settings_of_keras_need_keras(
    warm: SavedModel, run_python: RunPython, tmp_path: Path
) -> None:
    """What was traced under one `floatx` is not served under another."""
    (tmp_path / "keras.json").write_text(json.dumps(OTHER_SETTINGS))

    told = ask(run_python, warm, KERAS_HOME=str(tmp_path))

    assert (told["keras"], told["tensorflow"]) == (True, "is there")


@pytest.mark.slow
def test_it_can_be_switched_off(warm: SavedModel, run_python: RunPython) -> None:
    told = ask(run_python, warm, FASTLOAD_DEFER="0")

    assert (told["keras"], told["tensorflow"]) == (True, "is there")


@pytest.mark.slow
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
        assert found.choices[2:] == ("float32", "1e-07", "channels_last", "float32")


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
