"""`load_model` of Keras 2 models where `tf.keras` is Keras 3."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import fastload
from fastload.cli.main import commands
from fastload.errors import MigrationError
from tests.keras2to3.conftest import seeded
from tests.needs import NEEDS_MATURE_KERAS_3
from tests.small_models import copy_model

pytestmark = NEEDS_MATURE_KERAS_3
INPUTS = np.random.default_rng(3).normal(size=(4, 5, 3)).astype("float32")
SUFFIXES = ("", ".h5", ".keras")
#: For what is said of a model that was migrated, whatever it was saved as.
as_saved_model = pytest.mark.parametrize(
    "kept",
    ["", *(pytest.param(suffix, marks=pytest.mark.full) for suffix in SUFFIXES[1:])],
    ids=lambda suffix: suffix or "saved_model",
    indirect=True,
)


def recurrent(keras: Any) -> Any:
    """Return a trained model that no Keras 3 opens in any format."""
    inputs = keras.Input((5, 3))
    x = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.GRU(3)(x)))
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
    model.fit(INPUTS, np.ones((4, 1), "float32"), epochs=2, verbose=0)
    return model


@pytest.fixture(scope="module")
def original(keras2: Any) -> Any:
    """A trained Keras 2 model, not to be changed."""
    return recurrent(keras2)


@pytest.fixture(scope="module")
def saved(original: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give the path of that model under a suffix, saved when it is first asked for."""
    folder = tmp_path_factory.mktemp("keras2")

    def path_of(suffix: str) -> Path:
        path = folder / f"model{suffix}"
        if not path.exists():
            original.save(str(path), **({} if suffix else {"save_format": "tf"}))
        return path

    return path_of


@pytest.fixture(scope="module")
def cache_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def shared(cache_of_all: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for tests that do not mind whether the model was migrated by this load."""
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", str(cache_of_all))


@pytest.fixture(params=SUFFIXES, ids=lambda suffix: suffix or "saved_model")
def kept(
    request: pytest.FixtureRequest, original: Any, saved: Callable[[str], Path]
) -> tuple[Any, Path]:
    """That model, and where it was saved."""
    return original, saved(request.param)


def test_a_keras_2_model_is_a_keras_3_model(kept: tuple[Any, Path], keras3: Any) -> None:
    """The first load migrates it, later ones open the twin; outputs are those of Keras 2."""
    original, path = kept

    models = [fastload.load_model(path, keras="keras") for _ in range(2)]

    report = fastload.last_load()
    assert report is not None
    assert (report.outcome.value, report.reason) == ("hit", None)
    for model in models:
        assert isinstance(model, keras3.Model)
        np.testing.assert_allclose(model(INPUTS), original(INPUTS), rtol=1e-5, atol=1e-6)


def test_tensorflow_warns_of_nothing_that_the_program_did_not_call(
    saved: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Loaders of TensorFlow 1 say that they are deprecated, once in a process."""
    path = saved("")
    deprecation = importlib.import_module("tensorflow.python.util.deprecation")
    deprecation._PRINTED_WARNING.clear()

    with caplog.at_level(logging.WARNING, logger="tensorflow"):
        fastload.load_model(path, keras="keras")

    assert "deprecated" not in caplog.text


@as_saved_model
def test_it_can_be_saved_and_opened_by_stock(
    shared: None, kept: tuple[Any, Path], keras3: Any, tmp_path: Path
) -> None:
    _, path = kept
    model = fastload.load_model(path, keras="keras")

    model.save(tmp_path / "again.keras")
    again = keras3.models.load_model(tmp_path / "again.keras")

    np.testing.assert_array_equal(again(INPUTS), model(INPUTS))


@as_saved_model
def test_it_goes_on_training(shared: None, kept: tuple[Any, Path], keras3: Any) -> None:
    _, path = kept
    model = fastload.load_model(path, keras="keras")
    before = np.array(model(INPUTS))

    model.fit(INPUTS, np.ones((4, 1), "float32"), verbose=0)

    assert model.metrics_names == ["loss", "compile_metrics"]
    assert not np.array_equal(before, model(INPUTS))


def test_a_saved_model_keeps_the_state_of_its_optimizer(
    shared: None, original: Any, saved: Callable[[str], Path], keras3: Any
) -> None:
    model = fastload.load_model(saved(""), keras="keras")

    assert np.asarray(model.optimizer.iterations) == 2
    assert np.asarray(model.optimizer.learning_rate) == pytest.approx(0.01)
    theirs = sorted(float(abs(v.numpy()).sum()) for v in original.optimizer._velocities)
    ours = sorted(float(abs(v.numpy()).sum()) for v in model.optimizer._velocities)
    assert theirs == ours


def test_hdf5_under_the_name_of_an_archive(
    original: Any, saved: Callable[[str], Path], keras3: Any, tmp_path: Path
) -> None:
    path = copy_model(saved(".h5"), tmp_path / "model.keras")

    model = fastload.load_model(path, keras="keras")

    np.testing.assert_allclose(model(INPUTS), original(INPUTS), rtol=1e-5, atol=1e-6)


@as_saved_model
def test_strict_calls_are_served_as_well(kept: tuple[Any, Path], keras3: Any) -> None:
    _, path = kept

    fastload.load_model(path, keras="keras", strict=True)

    report = fastload.last_load()
    assert report is not None
    assert report.outcome.value == "miss"


def test_what_stock_opens_is_stocks(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """A Keras 2 file without anything that Keras 3 lacks."""
    inputs = keras2.Input((4,))
    seeded(keras2.Model(inputs, keras2.layers.Dense(2)(inputs))).save(str(tmp_path / "m.h5"))

    fastload.load_model(tmp_path / "m.h5", keras="keras")

    result = CliRunner().invoke(commands, ["info", str(tmp_path / "m.h5")])
    assert "HDF5" in result.output
    assert "Migrated" not in result.output


@pytest.mark.slow
@as_saved_model
def test_a_program_that_calls_stock_gets_its_error(
    kept: tuple[Any, Path], keras3: Any, run_python: Any
) -> None:
    """The only way to tell that fastload is there is the speed."""
    _, path = kept
    program = """
import sys, keras, fastload
try:
    keras.models.load_model(sys.argv[1])
except Exception as error:
    print(type(error).__name__, str(error).splitlines()[0])
"""

    ours = run_python(program.replace("fastload", "fastload; fastload.install()"), path)

    assert ours == run_python(program, path)
    assert "Error" in ours


def test_a_program_that_calls_stock_may_ask_for_it(
    shared: None, kept: tuple[Any, Path], keras3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then stock's error says how."""
    original, path = kept
    with fastload.enabled():
        with pytest.raises((TypeError, ValueError)) as refused:
            keras3.models.load_model(path)
        monkeypatch.setenv("FASTLOAD_MIGRATE", "1")
        model = keras3.models.load_model(path)

    np.testing.assert_allclose(model(INPUTS), original(INPUTS), rtol=1e-5, atol=1e-6)
    if sys.version_info >= (3, 11):
        assert "FASTLOAD_MIGRATE=1" in "".join(refused.value.__notes__)


def test_what_stock_refuses_otherwise_gets_no_note(keras3: Any, tmp_path: Path) -> None:
    """A file that no Keras 2 wrote, a path without a file."""
    path = tmp_path / "m.keras"
    keras3.Sequential([keras3.Input((3,)), keras3.layers.Dense(2)]).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with fastload.enabled():
        for each in (path, tmp_path / "gone.keras"):
            with pytest.raises(Exception) as refused:  # noqa: PT011 - whatever stock raises
                keras3.models.load_model(each)
            assert not getattr(refused.value, "__notes__", ())


def of_python(inputs: Any) -> Any:
    """Compute something that no file holds: a graph with this is of no use in another process."""
    tensorflow = importlib.import_module("tensorflow")
    return tensorflow.numpy_function(lambda x: x * 2.0, [inputs], inputs.dtype)


def test_what_cannot_be_migrated_is_stocks_error(
    keras2: Any, keras3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For who calls stock; a note says which layer it is."""
    model = keras2.Sequential([keras2.Input((3,)), keras2.layers.Lambda(of_python)])
    model.save(str(tmp_path / "m"), save_format="tf")
    with pytest.raises(ValueError, match="File format not supported") as stock:
        keras3.models.load_model(tmp_path / "m")
    monkeypatch.setenv("FASTLOAD_MIGRATE", "1")
    with fastload.enabled(), pytest.raises(ValueError, match="File format") as ours:
        keras3.models.load_model(tmp_path / "m")

    assert (type(ours.value), str(ours.value)) == (type(stock.value), str(stock.value))
    if sys.version_info >= (3, 11):
        assert "lambda" in "".join(ours.value.__notes__)


def test_an_unknown_layer_is_named(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """With the two ways that work; also for those who catch what stock raises."""

    class Scale(keras2.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return of_python(inputs)

    model = keras2.Sequential([keras2.Input((3,)), Scale(name="scale")])
    model.save(str(tmp_path / "m"), save_format="tf")

    with pytest.raises(ValueError, match="FL207") as caught:
        fastload.load_model(tmp_path / "m", keras="keras")

    assert isinstance(caught.value, MigrationError)
    assert "layer 'scale' of class Scale" in str(caught.value)
    assert 'keras="tf_keras"' in str(caught.value)
    assert "load_predictor" in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(("factor", "is_right"), [(2.0, True), (2.1, False)])
def test_a_ported_layer_is_proved(
    factor: float, is_right: bool, keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """One that computes something else is refused, with the figure."""

    class Scale(keras2.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return inputs * 2.0

    class Ported(keras3.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return inputs * factor

    keras2.Sequential([keras2.Input((3,)), Scale()]).save(str(tmp_path / "m"), save_format="tf")

    def load() -> Any:
        return fastload.load_model(tmp_path / "m", {"Scale": Ported}, keras="keras")

    if is_right:
        assert isinstance(load().layers[-1], Ported)
    else:
        with pytest.raises(MigrationError, match=r"the original's by 0\.05 of the largest"):
            load()


@as_saved_model
def test_info_shows_the_proof(shared: None, kept: tuple[Any, Path], keras3: Any) -> None:
    _, path = kept
    fastload.load_model(path, keras="keras")

    shown = CliRunner().invoke(commands, ["info", str(path)]).output

    assert "Migrated from   a Keras 2" in shown
    assert "time-major (" in shown
    assert "of the largest (1e-05 is allowed)" in shown


def test_without_tf_keras_a_file_is_not_proved_and_the_report_says_so(
    saved: Callable[[str], Path],
    keras3: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from fastload.errors import MissingTensorFlowError
    from fastload.keras2to3 import migrate as migration

    path = saved(".h5")

    def missing(name: str) -> Any:
        raise MissingTensorFlowError(name)

    monkeypatch.setattr(migration, "keras_of", missing)
    with caplog.at_level(logging.INFO, logger="fastload"):
        fastload.load_model(path, keras="keras")

    report = fastload.last_load()
    assert report is not None
    assert "not proved: tf-keras" in str(report.reason)


def test_a_failed_migration_leaves_no_twin(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    model = keras2.Sequential([keras2.Input((3,)), keras2.layers.Lambda(of_python)])
    model.save(str(tmp_path / "m"), save_format="tf")

    for _ in range(2):
        with pytest.raises(MigrationError, match="bytecode"):
            fastload.load_model(tmp_path / "m", keras="keras")

    assert fastload.explain(tmp_path / "m", keras="keras").outcome.value == "miss"


def test_a_predictor_of_a_file_that_stock_refuses(kept: tuple[Any, Path]) -> None:
    """With Keras 3 alone it is of the migrated model; a SavedModel has functions of its own."""
    original, path = kept

    predictors = [fastload.load_predictor(path, keras="keras") for _ in range(2)]

    report = fastload.last_load()
    assert report is not None
    assert (report.outcome.value, report.reason) == ("hit", None)
    for predict in predictors:
        np.testing.assert_allclose(predict.predict(INPUTS), original(INPUTS), rtol=1e-5, atol=1e-6)


def test_a_predictor_and_a_model_share_a_twin(saved: Callable[[str], Path], keras3: Any) -> None:
    path = saved(".h5")
    fastload.load_predictor(path, keras="keras")

    model = fastload.load_model(path, keras="keras")

    report = fastload.last_load()
    assert report is not None
    assert report.outcome.value == "hit"
    assert isinstance(model, keras3.Model)
    assert model.optimizer is not None


def test_a_predictor_of_what_cannot_be_migrated_says_why(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    del keras3

    class Own(keras2.layers.Layer):  # type: ignore[misc, name-defined]
        pass

    path = tmp_path / "model.h5"
    keras2.Sequential([keras2.layers.LSTM(2, input_shape=(5, 3)), Own()]).save(path)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - of Keras's, which changes
        fastload.load_predictor(path, keras="keras")
    assert "layer 'own' of class Own" in "".join(getattr(caught.value, "__notes__", []))


@as_saved_model
def test_what_was_warmed_is_a_hit(kept: tuple[Any, Path]) -> None:
    original, path = kept
    first, second = (fastload.warm(path, keras="keras") for _ in range(2))

    model = fastload.load_model(path, keras="keras")

    report = fastload.last_load()
    assert report is not None
    assert [first.outcome.value, second.outcome.value, report.outcome.value] == [
        "miss",
        "hit",
        "hit",
    ]
    assert (first.reason, first.twin) == (None, report.twin)
    np.testing.assert_allclose(model(INPUTS), original(INPUTS), rtol=1e-5, atol=1e-6)


def test_warm_says_which_layer_cannot_be_migrated(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    del keras3
    inputs = keras2.Input((2,))
    model = keras2.Model(inputs, keras2.layers.Lambda(of_python, name="own")(inputs))
    model.save(tmp_path / "model", save_format="tf")

    report = fastload.warm(tmp_path / "model", keras="keras")

    assert report.code == "FL207"
    assert "layer 'own'" in str(report.reason)
    assert fastload.load_predictor(tmp_path / "model") is not None
