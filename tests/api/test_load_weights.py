"""`load_weights` from a twin: what it leaves in a model cannot be told from what stock leaves."""

from __future__ import annotations

import importlib
import json
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import fastload
from fastload.cli.main import commands
from fastload.report import Outcome
from tests.small_models import (
    INPUTS,
    assert_same_arrays,
    dense_layers,
    package_of,
    save,
    values,
)

#: What differs from object to object.
_ADDRESS = re.compile(r"0x[0-9a-f]+|(?<=adam)_\d+|(?<=functional)_\d+")
#: Long before any process that tests something.
_OLD_NS = 1_500_000_000_000_000_000
Save = Callable[[Any, Path], None]


def _legacy(model: Any, path: Path) -> None:
    """Save the weights of a Keras 3 model as Keras 2 did."""
    import h5py

    legacy = importlib.import_module("keras.src.legacy.saving.legacy_h5_format")
    with h5py.File(path, "w") as file:
        legacy.save_weights_to_hdf5_group(file, model)


def _weights(model: Any, path: Path) -> None:
    model.save_weights(path)


#: Keras, suffix, and how a model's weights get there.
_FORMS: dict[str, tuple[int, str, Save]] = {
    "keras3-tree": (3, ".weights.h5", _weights),
    "keras3-layers": (3, ".h5", _legacy),
    "keras3-model": (3, ".h5", save),
    "keras3-archive": (3, ".keras", save),
    "keras2-tree": (2, ".weights.h5", _weights),
    "keras2-layers": (2, ".h5", _weights),
    "keras2-model": (2, ".h5", save),
    "keras2-archive": (2, ".keras", save),
}


@pytest.fixture(params=_FORMS)
def form(request: pytest.FixtureRequest, tmp_path: Path, cache_root: Path) -> tuple[Any, Path]:
    """A Keras, and a file of weights of a trained model of it that is older than this process."""
    generation, suffix, saves = _FORMS[request.param]
    keras = keras_of(generation)
    path = tmp_path / f"file{suffix}"
    saves(made(keras, seed=1), path)
    return keras, aged(path)


def keras_of(generation: int) -> Any:
    package = importlib.import_module(package_of(generation))
    is_whole = hasattr(package.utils, "set_random_seed")
    return package if is_whole else importlib.import_module("tensorflow").keras


def aged(path: Path) -> Path:
    """Have a file look as if it was there long before this process."""
    os.utime(path, ns=(_OLD_NS, _OLD_NS))
    return path


def made(keras: Any, *, seed: int = 1) -> Any:
    """Make a compiled model whose variables all have values of their own, without training it."""
    inputs = hidden = keras.Input((4,), name="x")
    for layer in dense_layers(keras):
        hidden = layer(hidden)
    model = keras.Model(inputs, hidden)
    model.compile("adam", keras.losses.MeanSquaredError())
    variables = list(model.trainable_variables)
    optimizer = model.optimizer
    optimizer.build(variables) if hasattr(optimizer, "build") else optimizer._create_all_weights(
        variables
    )
    random = np.random.default_rng(seed)
    slots = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    for variable in (*model.weights, *slots):
        if "float" in str(variable.dtype) and "learning_rate" not in variable.name:
            variable.assign(random.normal(size=tuple(variable.shape)))
    return model


def wider(keras: Any) -> Any:
    """Make a model like `made` whose last layer has another shape."""
    inputs = keras.Input((4,), name="x")
    hidden = inputs
    for layer in dense_layers(keras, "ab"):
        hidden = layer(hidden)
    return keras.Model(inputs, keras.layers.Dense(5, name="c")(hidden))


def told(call: Callable[[], Any]) -> tuple[list[str], str]:
    """Return the warnings that *call* gave, and what it raised."""
    raised = ""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        try:
            assert call() is None
        except Exception as error:
            raised = f"{type(error).__name__}: {error}"
    places = [(str(each.message), each.category, Path(each.filename).name) for each in given]
    return [_ADDRESS.sub("", str(place)) for place in places], _ADDRESS.sub("", raised)


def assert_same_state(expected: Any, actual: Any) -> None:
    assert_same_arrays(expected.get_weights(), actual.get_weights())
    ours, theirs = (getattr(model, "optimizer", None) for model in (actual, expected))
    if theirs is not None:
        assert_same_arrays(values(theirs), values(ours))


def test_weights_are_those_of_stock(form: tuple[Any, Path]) -> None:
    """A miss and a hit leave weights, optimizer and outputs as stock leaves them."""
    keras, path = form
    expected = made(keras, seed=2)
    expected.load_weights(path)
    for outcome in (Outcome.MISS, Outcome.HIT, Outcome.HIT):
        model = made(keras, seed=2)
        assert fastload.load_weights(model, path, strict=True) is None
        assert fastload.last_load().outcome is outcome
        assert_same_state(expected, model)
    assert_same_arrays([np.asarray(expected(INPUTS))], [np.asarray(model(INPUTS))])


def test_training_never_reaches_the_twin(tmp_path: Path, cache_root: Path) -> None:
    """It goes on as after stock, and a later load gets what is in the file."""
    keras = keras_of(3)
    path = tmp_path / "file.weights.h5"
    made(keras).save_weights(path)
    expected, model = made(keras, seed=2), made(keras, seed=2)
    expected.load_weights(path)
    fastload.load_weights(model, aged(path), strict=True)
    loaded = expected.get_weights()
    for each in (expected, model):
        each.fit(INPUTS, np.zeros((3, 4)), shuffle=False, verbose=0)
    assert_same_state(expected, model)
    fastload.load_weights(model, path, strict=True)
    assert_same_arrays(loaded, model.get_weights())


def like(model: Any) -> Any:
    """Return another model of the same configuration."""
    return type(model).from_config(model.get_config())


def test_uncompiled_models_get_weights_alone(form: tuple[Any, Path]) -> None:
    """Without an optimizer the model's own weights are the same, and so is what is warned of."""
    keras, path = form
    models = [like(made(keras)) for _ in range(2)]
    expected = told(lambda: models[0].load_weights(path))
    for _ in range(2):
        assert told(lambda: fastload.load_weights(models[1], path)) == expected
        assert_same_state(*models)


def test_what_does_not_fit_fails_as_in_stock(form: tuple[Any, Path]) -> None:
    """Same error, warnings and half-loaded state; the next load of a model that fits is a hit."""
    keras, path = form
    fastload.load_weights(made(keras), path)
    keras.utils.set_random_seed(5)
    expected, model = wider(keras), wider(keras)
    model.set_weights(expected.get_weights())
    assert told(lambda: fastload.load_weights(model, path)) == told(
        lambda: expected.load_weights(path)
    )
    assert fastload.last_load().outcome is Outcome.BYPASS
    assert fastload.last_load().code == "FL105"
    assert_same_state(expected, model)
    fastload.load_weights(made(keras), path, strict=True)
    assert fastload.last_load().outcome is Outcome.HIT


@pytest.mark.parametrize("arguments", [{"skip_mismatch": True}, {"by_name": True}], ids=str)
def test_arguments_do_as_in_stock(form: tuple[Any, Path], arguments: dict[str, Any]) -> None:
    """What does not fit is skipped, told and left as stock does it; refusals are the same."""
    keras, path = form
    if keras.__version__.startswith("2"):
        arguments = arguments | {"by_name": True}
    fastload.load_weights(made(keras), path)
    keras.utils.set_random_seed(5)
    expected, model = wider(keras), wider(keras)
    model.set_weights(expected.get_weights())
    ours = told(lambda: fastload.load_weights(model, path, **arguments))
    assert ours == told(lambda: expected.load_weights(path, **arguments))
    assert_same_state(expected, model)


def test_other_optimizers_are_told_once(tmp_path: Path, cache_root: Path) -> None:
    """A warning before an error is not given again by stock, which tries again."""
    keras = keras_of(3)
    path = tmp_path / "file.weights.h5"
    made(keras).save_weights(path)
    fastload.load_weights(made(keras), aged(path))

    def other() -> Any:
        keras.utils.set_random_seed(5)
        model = wider(keras)
        model.compile(keras.optimizers.SGD(name="other"), "mse")
        return model

    expected = told(lambda: other().load_weights(path))
    assert [each for each in expected[0] if "Skipping variable loading" in each]
    assert expected[1].startswith("ValueError")
    assert told(lambda: fastload.load_weights(other(), path)) == expected


def test_failures_of_ours_leave_the_model_to_stock(
    form: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where our side fails after some variables, they get their values back before stock begins."""
    from fastload.loading import stock

    keras, path = form
    fastload.load_weights(made(keras), path, strict=True)
    model = made(keras, seed=3)
    before, load = model.get_weights(), stock._weights
    seen: list[Any] = []

    def looks(*arguments: Any) -> Any:
        seen.append(model.get_weights())
        return load(*arguments)

    monkeypatch.setattr(stock, "_weights", looks)
    _fail_at(monkeypatch, 3)
    fastload.load_weights(model, path)
    assert "injected" in str(fastload.last_load().reason)
    assert_same_arrays(before, seen[0])
    expected = made(keras, seed=3)
    expected.load_weights(path)
    assert_same_state(expected, model)


def _fail_at(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Have the twin fail at the *count*th weight that is asked of it."""
    from fastload.twin import reader

    decode, left = reader.decode, [count]

    def fails(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("injected")
        return decode(*arguments)

    monkeypatch.setattr(reader, "decode", fails)


def test_files_of_this_process_get_no_twin(tmp_path: Path, cache_root: Path) -> None:
    """A checkpoint that a program has just written is stock's; a twin that is there is used."""
    keras = keras_of(3)
    path = tmp_path / "file.weights.h5"
    model = made(keras)
    for _ in range(2):
        model.save_weights(path)
        fastload.load_weights(model, path)
        report = fastload.last_load()
        assert (report.outcome, report.code) == (Outcome.BYPASS, "FL206")
        assert "after this process began" in str(report.reason)
    assert not list(cache_root.glob("**/*.h5"))
    fastload.load_weights(model, path, strict=True)
    assert fastload.last_load().outcome is Outcome.MISS


def test_overwritten_files_are_read_anew(tmp_path: Path, cache_root: Path) -> None:
    """Another content at the same path is never served from the twin of the former."""
    keras = keras_of(3)
    path = tmp_path / "file.weights.h5"
    for seed in (1, 2):
        source = made(keras, seed=seed)
        source.save_weights(path)
        model = made(keras, seed=3)
        fastload.load_weights(model, aged(path), strict=True)
        assert fastload.last_load().outcome is Outcome.MISS
        assert_same_state(source, model)


def test_methods_of_the_program_are_called(tmp_path: Path, cache_root: Path) -> None:
    """A class with a `load_weights` of its own gets the call."""
    keras = keras_of(3)
    called: list[Any] = []

    class Own(keras.Model):  # type: ignore[misc, name-defined]
        def load_weights(self, *arguments: Any, **others: Any) -> Any:
            called.append(arguments)
            return super().load_weights(*arguments, **others)

    plain = made(keras)
    path = tmp_path / "file.weights.h5"
    plain.save_weights(path)
    model = Own(plain.inputs, plain.outputs)
    fastload.load_weights(model, aged(path))
    assert called == [(path,)]
    assert fastload.last_load().code == "FL206"
    with fastload.enabled():
        model.load_weights(path)
    assert fastload.last_load().outcome is Outcome.MISS


def test_unknown_arguments_and_objects_are_for_stock(tmp_path: Path, cache_root: Path) -> None:
    """What stock does not take fails as in stock."""
    keras = keras_of(3)
    path = tmp_path / "file.weights.h5"
    model = made(keras)
    model.save_weights(path)
    assert told(lambda: fastload.load_weights(model, path, other=1)) == told(
        lambda: model.load_weights(path, other=1)
    )
    with pytest.raises(AttributeError, match="load_weights"):
        fastload.load_weights(object(), path)
    unbuilt = keras.Sequential([keras.layers.Dense(3)])
    assert told(lambda: fastload.load_weights(unbuilt, aged(path))) == told(
        lambda: unbuilt.load_weights(path)
    )


def test_checkpoints_are_stocks(tmp_path: Path, cache_root: Path) -> None:
    """TensorFlow's own format, read and matched by TensorFlow: status object and all."""
    keras = keras_of(2)
    prefix = str(tmp_path / "checkpoint")
    source, model = made(keras), made(keras, seed=2)
    source.save_weights(prefix)
    status = fastload.load_weights(model, prefix)
    assert (fastload.last_load().outcome, fastload.last_load().code) == (Outcome.BYPASS, "FL201")
    assert "TensorFlow checkpoint" in str(fastload.last_load().reason)
    status.assert_existing_objects_matched()
    assert_same_arrays(source.get_weights(), model.get_weights())


def test_warm_and_explain_know_files_of_weights(tmp_path: Path, cache_root: Path) -> None:
    """`warm` writes the twin of a fresh file too; the first load finds it, of another process."""
    keras = keras_of(3)
    path = tmp_path / "file.weights.h5"
    made(keras).save_weights(path)
    explained = fastload.explain(path, keras="keras", function="load_weights")
    assert (explained.outcome, explained.code) == (Outcome.MISS, None)
    report = fastload.warm(aged(path), keras="keras")
    assert (report.outcome, report.code) == (Outcome.MISS, "FL203")
    assert "it serves load_weights alone" in str(report.reason)
    explained = fastload.explain(path, keras="keras", function="load_weights")
    assert (explained.outcome, explained.twin) == (Outcome.HIT, report.twin)
    assert fastload.explain(path, keras="keras").code == "FL203"
    fastload.load_weights(made(keras), path, strict=True)
    assert fastload.last_load().outcome is Outcome.HIT
    done = CliRunner().invoke(commands, ["info", "--json", str(report.twin.stem)])
    assert json.loads(done.stdout)["entries"][0]["serves"] == ["load_weights"]


def test_a_twin_of_weights_is_no_model(tmp_path: Path, cache_root: Path) -> None:
    """A load of the model that the file lacks fails as in stock, with and without the twin."""
    keras = keras_of(3)
    path = tmp_path / "file.h5"
    _legacy(made(keras), path)
    expected = told(lambda: keras.models.load_model(path))
    assert told(lambda: fastload.load_model(path, keras="keras")) == expected
    fastload.load_weights(made(keras), aged(path), strict=True)
    assert told(lambda: fastload.load_model(path, keras="keras")) == expected
    assert fastload.last_load().code == "FL203"
