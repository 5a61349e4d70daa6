"""What programs do with a model that they loaded: convert, export, clone, train on. As in stock."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import fastload
from tests.small_models import FORMS, Form, by_format

SHAPE = (12, 12, 3)
IMAGES = np.linspace(0, 1, 2 * np.prod(SHAPE), dtype="float32").reshape(2, *SHAPE)


def save_network(form: Form, path: Path) -> None:
    """Save a network of the layers that converters and exporters have rules for."""
    keras = form.stock
    layers = keras.layers
    inputs = hidden = keras.Input(SHAPE)
    for layer in (
        layers.Conv2D(8, 3, activation="swish"),
        layers.BatchNormalization(),
        layers.DepthwiseConv2D(3),
        layers.GlobalAveragePooling2D(),
        layers.Dropout(0.3),
        layers.Dense(5, activation="softmax"),
    ):
        hidden = layer(hidden)
    keras.Model(inputs, hidden).save(path)


@pytest.fixture(scope="module", params=[by_format(form) for form in FORMS])
def form(request: pytest.FixtureRequest) -> Form:
    return request.param


@pytest.fixture(scope="module")
def path(form: Form, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("afterwards") / f"network{form.suffix}"
    save_network(form, found)
    return found


def answers(model: Any, _: Any) -> Any:
    return np.asarray(model(IMAGES)).tobytes()


def converted_to_tflite(model: Any, _: Any) -> Any:
    return hashlib.sha256(tf.lite.TFLiteConverter.from_keras_model(model).convert()).hexdigest()


def converted_to_quantized_tflite(model: Any, _: Any) -> Any:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return hashlib.sha256(converter.convert()).hexdigest()


def compiled_by_xla(model: Any, _: Any) -> Any:
    return tf.function(model.__call__, jit_compile=True)(IMAGES).numpy().tobytes()


def mapped_over_a_dataset(model: Any, _: Any) -> Any:
    batches = tf.data.Dataset.from_tensor_slices(IMAGES).batch(1).map(model.__call__)
    return [batch.numpy().tobytes() for batch in batches]


def cloned(model: Any, keras: Any) -> Any:
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return answers(clone, keras)


def copied(model: Any, keras: Any) -> Any:
    return answers(copy.deepcopy(model), keras)


def pickled(model: Any, keras: Any) -> Any:
    return answers(pickle.loads(pickle.dumps(model)), keras)


def exported(model: Any, keras: Any, folder: Path) -> Any:
    if not hasattr(model, "export"):  # before Keras 2.13
        tf.saved_model.save(model, str(folder))
    else:
        model.export(str(folder))
    functions = tf.saved_model.load(str(folder)).signatures
    (argument,) = functions["serving_default"].structured_input_signature[1]
    found = functions["serving_default"](**{argument: tf.constant(IMAGES)})
    return {name: value.numpy().tobytes() for name, value in found.items()}


def saved_again(model: Any, keras: Any, folder: Path) -> Any:
    path = folder.with_suffix(".h5")
    model.save(path)
    return answers(keras.models.load_model(path), keras)


def checkpointed(model: Any, _: Any, folder: Path) -> Any:
    return tf.train.list_variables(tf.train.Checkpoint(model=model).save(str(folder / "step")))


def explained_by_gradients(model: Any, keras: Any) -> Any:
    inner = keras.Model(model.inputs, [model.layers[1].output, model.output])
    with tf.GradientTape() as tape:
        features, scores = inner([IMAGES])
        score = scores[:, 0]
    return tape.gradient(score, features).numpy().tobytes()


def printed(model: Any, _: Any) -> Any:
    lines: list[str] = []
    model.summary(print_fn=lambda line, *_, **__: lines.append(line))
    return lines


def frozen_and_trained(model: Any, keras: Any) -> Any:
    model.layers[1].trainable = False
    model.compile("adam", "mse")
    history = model.fit(IMAGES, np.ones((2, 5)), epochs=2, shuffle=False, verbose=0)
    return history.history["loss"], [weight.tobytes() for weight in model.get_weights()]


def assigned(model: Any, keras: Any) -> Any:
    model.weights[0].assign(model.weights[0].numpy() * 2)
    return answers(model, keras)


IN_MEMORY = (
    converted_to_tflite,
    converted_to_quantized_tflite,
    compiled_by_xla,
    mapped_over_a_dataset,
    cloned,
    copied,
    pickled,
    explained_by_gradients,
    printed,
    frozen_and_trained,
    assigned,
)
ON_DISK = (exported, saved_again, checkpointed)


def _told(form: Form, load: Callable[[], Any], use: Callable[..., Any], *folder: Path) -> Any:
    """Return what came of it, with names and random numbers as in a new process."""
    form.stock.backend.clear_session()
    tf.keras.utils.set_random_seed(1)
    form.stock.utils.set_random_seed(1)
    with contextlib.redirect_stdout(io.StringIO()):
        return use(load(), form.stock, *folder)


@pytest.mark.slow
@pytest.mark.parametrize("use", [*IN_MEMORY, *ON_DISK], ids=lambda use: use.__name__)
def test_it_is_as_with_stock_s_model(
    form: Form, path: Path, use: Callable[..., Any], tmp_path: Path
) -> None:
    folders = [(tmp_path / name,) if use in ON_DISK else () for name in ("stock", "first", "later")]
    fastload.load_model(path, keras=form.package)

    expected = _told(form, lambda: form.stock.models.load_model(path), use, *folders[0])
    actual = _told(form, lambda: fastload.load_model(path, keras=form.package), use, *folders[1])

    assert fastload.last_load().outcome.value == "hit"
    assert actual == expected
