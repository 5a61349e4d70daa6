"""Round trips through tf-keras's own files and loaders, over the models that its tests use.

tf-keras ships no tests, but what they are built from: models of each type (`test_utils`), formats
(`test_combinations`), preprocessing (`kpl_test_utils`) and examples in docstrings. Each test saves
a model, loads it with the public loader, and compares the two.
"""

from __future__ import annotations

import doctest
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras.src.saving.legacy import save as legacy_save
from tf_keras.src.testing_infra import keras_doctest_lib, test_combinations, test_utils
from tf_keras.src.utils import kpl_test_utils

layers = tf_keras.layers
ROWS = 6
FORMATS = ("tf", "tf_no_traces", "h5", "keras")
MODEL_TYPES = ("functional", "sequential", "subclass", "subclass_custom_build")
#: A subclassed model saved without traces cannot be called when it is loaded.
TYPES_AND_FORMATS = [
    (model_type, file_format)
    for model_type in MODEL_TYPES
    for file_format in FORMATS
    if not (model_type.startswith("subclass") and file_format == "tf_no_traces")
]
OPTIMIZERS = ("adadelta", "adagrad", "adam", "adamax", "nadam", "rmsprop", "sgd")
#: Layers, and the shape of what they take.
LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "activation": (lambda: layers.Activation("relu"), (5,)),
    "average_pooling": (layers.AveragePooling2D, (6, 6, 2)),
    "batch_normalization": (layers.BatchNormalization, (4,)),
    "bidirectional_gru": (lambda: layers.Bidirectional(layers.GRU(3)), (4, 2)),
    "bias": (test_utils.Bias, (4,)),
    "conv1d": (lambda: layers.Conv1D(3, 2, padding="causal"), (6, 2)),
    "conv2d_transpose": (lambda: layers.Conv2DTranspose(3, 2), (4, 4, 2)),
    "conv3d": (lambda: layers.Conv3D(2, 2), (3, 3, 3, 1)),
    "conv_lstm": (lambda: layers.ConvLSTM2D(2, 2), (3, 4, 4, 1)),
    "depthwise_conv2d": (lambda: layers.DepthwiseConv2D(2), (4, 4, 2)),
    "dropout": (lambda: layers.Dropout(0.5), (4,)),
    "einsum_dense": (lambda: layers.EinsumDense("ab,bc->ac", 3), (4,)),
    "group_normalization": (lambda: layers.GroupNormalization(2), (4,)),
    "gru": (lambda: layers.GRU(3, return_sequences=True), (4, 2)),
    "layer_normalization": (layers.LayerNormalization, (4,)),
    "locally_connected": (lambda: layers.LocallyConnected1D(2, 2), (5, 2)),
    "lstm": (lambda: layers.LSTM(3), (4, 2)),
    "normalization": (lambda: layers.Normalization(mean=1.0, variance=2.0), (4,)),
    "prelu": (layers.PReLU, (4,)),
    "reshape": (lambda: layers.Reshape((2, 2)), (4,)),
    "rnn_cells": (lambda: layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)]), (4, 2)),
    "separable_conv2d": (lambda: layers.SeparableConv2D(3, 2), (4, 4, 2)),
    "spectral_normalization": (lambda: layers.SpectralNormalization(layers.Dense(3)), (4,)),
    "time_distributed": (lambda: layers.TimeDistributed(layers.Dense(2)), (4, 3)),
    "unit_normalization": (layers.UnitNormalization, (4,)),
}


def inputs_of(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).standard_normal((ROWS, *shape)).astype("float32")


def saved(model: Any, folder: Path, file_format: str) -> Path:
    """Save *model* with the means of its format, and return where."""
    options: dict[str, dict[str, Any]] = {
        "tf": {"save_format": "tf"},
        "tf_no_traces": {"save_format": "tf", "save_traces": False},
        "h5": {"save_format": "h5"},
        "keras": {},
    }
    suffix = {"h5": ".h5", "keras": ".keras"}.get(file_format, "")
    path = folder / f"model{suffix}"
    try:
        model.save(path, **options[file_format])
    except NotImplementedError as error:
        pytest.skip(f"tf-keras does not save it so: {error}")
    return path


def trained(model: Any, inputs: Any, optimizer: Any = "adam") -> Any:
    """Compile *model* and train it for a step, so that its optimizer has a state."""
    model.compile(optimizer, "mse", metrics=["mae"])
    model.fit(inputs, np.zeros_like(model(inputs)), verbose=0)
    return model


def assert_same(expected: Any, actual: Any, inputs: Any) -> None:
    """Check that *actual*, loaded from where *expected* was saved, knows and does the same."""
    assert [each.shape for each in expected.weights] == [each.shape for each in actual.weights]
    for ours, theirs in zip(expected.get_weights(), actual.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    both = [model.predict(inputs, verbose=0) for model in (expected, actual)]
    np.testing.assert_allclose(*both, rtol=1e-5)


class Observe:
    """Puts what a test sees of a loaded model into the record, where runs are compared by it."""

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record = record

    def __call__(self, model: Any, inputs: Any) -> None:
        optimizer = getattr(model, "optimizer", None)
        state = getattr(optimizer, "variables", [])
        state = state() if callable(state) else state  # the older kind of optimizer
        self._record("classes", [type(each).__name__ for each in (model, optimizer, *model.layers)])
        self._record("names", [each.name for each in (*model.weights, *state)])
        self._record("weights", digest(model.weights))
        self._record("optimizer", digest(state))
        self._record("predictions", digest([model.predict(inputs, verbose=0)]))
        if optimizer is not None:
            self._record("training", losses(model, inputs))

    def load(self, path: Path, **arguments: Any) -> Any:
        """Load a model; an error is put on record, and ends the test."""
        try:
            return tf_keras.models.load_model(path, **arguments)
        except Exception as error:
            text = str(error).replace(str(path.parent), "...")
            self._record("error", f"{type(error).__qualname__}: {text}")
            pytest.skip(f"tf-keras does not load it: {type(error).__name__}")


@pytest.fixture
def observe(record_property: Callable[[str, object], None]) -> Observe:
    return Observe(record_property)


def digest(tensors: Iterable[Any]) -> str:
    found = hashlib.sha256()
    for each in tensors:
        found.update(np.asarray(each).tobytes())
    return found.hexdigest()[:16]


def losses(model: Any, inputs: Any) -> list[float]:
    """Train *model* for two steps more."""
    targets = np.ones_like(model(inputs))
    fitted = model.fit(inputs, targets, epochs=2, shuffle=False, verbose=0)
    return [round(loss, 5) for loss in fitted.history["loss"]]


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.mark.parametrize(("model_type", "file_format"), TYPES_AND_FORMATS)
def test_small_mlp(model_type: str, file_format: str, tmp_path: Path, observe: Observe) -> None:
    inputs = inputs_of((4,))
    with test_utils.model_type_scope(model_type):
        model = trained(test_utils.get_small_mlp(5, 3, 4), inputs, "sgd")
    path = saved(model, tmp_path, file_format)

    loaded = observe.load(path)

    assert_same(model, loaded, inputs)
    observe(loaded, inputs)


@pytest.mark.parametrize("file_format", ["tf", "h5", "keras"])
@pytest.mark.parametrize("model_type", ["functional", "subclass"])
def test_two_inputs(model_type: str, file_format: str, tmp_path: Path, observe: Observe) -> None:
    inputs = (inputs_of((2,)), inputs_of((3,)))
    branches = [[layers.Input((n,)), layers.Dense(4)] for n in (2, 3)]
    shared = [layers.Concatenate(), layers.Dense(2)]
    with test_utils.model_type_scope(model_type):
        model = test_utils.get_multi_io_model(*branches, shared_output_branch=shared)
    model.predict(inputs, verbose=0)
    path = saved(model, tmp_path, file_format)

    loaded = observe.load(path, compile=False)

    assert_same(model, loaded, inputs)
    observe(loaded, inputs)


@pytest.mark.parametrize("file_format", ["tf", "h5", "keras"])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str, file_format: str, tmp_path: Path, observe: Observe) -> None:
    """Each layer in a model that `test_utils` makes of it."""
    make, shape = LAYERS[name]
    inputs = inputs_of(shape)
    model = test_utils.get_model_from_layers([make()], shape, model_type="functional")
    path = saved(trained(model, inputs), tmp_path, file_format)

    loaded = observe.load(path, custom_objects={"Bias": test_utils.Bias})

    assert_same(model, loaded, inputs)
    observe(loaded, inputs)


@pytest.mark.parametrize("file_format", ["tf", "h5", "keras"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name: str, file_format: str, tmp_path: Path, observe: Observe) -> None:
    inputs = inputs_of((4,))
    optimizer = test_utils.get_v2_optimizer(name, learning_rate=0.01)
    model = trained(test_utils.get_small_sequential_mlp(5, 3, 4), inputs, optimizer)
    path = saved(model, tmp_path, file_format)

    loaded = observe.load(path)

    assert_same(model, loaded, inputs)
    observe(loaded, inputs)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_missing_custom_class(file_format: str, tmp_path: Path, observe: Observe) -> None:
    """A SavedModel with traces still gives a class; the others give an error, to the letter."""
    model = test_utils.get_model_from_layers([test_utils.Bias()], (4,), model_type="sequential")
    path = saved(model, tmp_path, file_format)

    observe(observe.load(path), inputs_of((4,)))


class SavedModelFormats(test_combinations.TestCase):
    """The combinations, as tf-keras's own tests use them."""

    @test_combinations.run_with_all_saved_model_formats(exclude_formats=["tf_no_traces"])
    @test_combinations.run_with_all_model_types
    def test_evaluation(self) -> None:
        inputs = inputs_of((4,))
        model = trained(test_utils.get_small_mlp(5, 3, 4), inputs)
        path = Path(self.get_temp_dir(), f"model.{test_utils.get_save_format()}")
        arguments = {"save_format": test_utils.get_save_format(), **test_utils.get_save_kwargs()}
        try:
            model.save(path, **arguments)
        except NotImplementedError:
            self.skipTest("HDF5 files hold no subclassed models")
        loaded = tf_keras.models.load_model(path)
        targets = np.ones_like(model(inputs))
        self.assertAllClose(
            model.evaluate(inputs, targets, verbose=0), loaded.evaluate(inputs, targets, verbose=0)
        )


class ServedPreprocessing(kpl_test_utils.DistributeKplTestUtils, test_combinations.TestCase):
    """`kpl_test_utils` brings its own test, which it means others to call."""

    test_save_load_serving_model = None  # takes arguments: called below

    def test_lookup_tables(self) -> None:
        feature_mapper, _ = self.define_kpls_for_training(use_adapt=False)
        kpl_test_utils.DistributeKplTestUtils.test_save_load_serving_model(
            self, self.define_model(), feature_mapper, self.define_reverse_lookup_layer()
        )


def test_examples_in_docstrings(tmp_path: Path) -> None:
    """Those of the loader and the saver, checked as tf-keras checks them."""
    runner = doctest.DocTestRunner(
        checker=keras_doctest_lib.KerasDoctestOutputChecker(), optionflags=doctest.ELLIPSIS
    )
    names = {"tf": tf, "np": np}
    with working_in(tmp_path):
        for example in doctest.DocTestFinder().find(legacy_save, globs=names):
            runner.run(example)
    assert runner.tries > 0
    assert runner.failures == 0
