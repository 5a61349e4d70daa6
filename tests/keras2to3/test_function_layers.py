"""Keras 2 layers whose class Keras 3 lacks: layers over the functions of the SavedModel."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

import fastload
from fastload.cli.main import commands
from fastload.errors import MigrationError
from fastload.loading.plan import migration_record
from fastload.runtime.core.tensorflow import parse_saved_model
from fastload.twin.reader import Twin
from tests.keras2to3.conftest import seeded
from tests.needs import IS_EARLY_KERAS_3, LOSES_LATER_CALLS, NEEDS_MATURE_KERAS_3

INPUTS = np.random.default_rng(5).normal(size=(8, 6)).astype("float32")
TARGETS = np.random.default_rng(6).normal(size=(8, 2)).astype("float32")


def gate(keras: Any) -> Any:
    """Return a class of layers with a layer inside, a mode, and losses of every kind."""

    class Gate(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self, units: int = 4, **others: Any) -> None:
            super().__init__(**others)
            self.units = units
            given = {"dtype": others.get("dtype"), "name": "dense"}
            self.inner = keras.layers.Dense(
                units, activation="swish", kernel_regularizer="l2", **given
            )

        def build(self, shape: Any) -> None:
            l2 = keras.regularizers.L2(0.1)
            self.kernel = self.add_weight("kernel", (shape[-1], self.units), regularizer=l2)
            self.seen = self.add_weight("seen", (), trainable=False)
            super().build(shape)

        def call(self, x: Any, training: bool = False) -> Any:
            inner = self.inner(x)
            if training:
                self.seen.assign_add(1.0)
                inner = inner * 2.0
            self.add_loss(tf.reduce_mean(inner) * 0.01)
            return inner * tf.sigmoid(x @ self.kernel)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "units": self.units}

    return Gate


def gated(keras: Any) -> Any:
    """Return a compiled model with such a layer."""
    inputs = keras.Input((6,))
    x = keras.layers.Dense(5, activation="relu")(inputs)
    x = gate(keras)(4, name="gate", activity_regularizer="l1")(x)
    model = seeded(keras.Model(inputs, keras.layers.Dense(2)(x)))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


@pytest.fixture(scope="module")
def saved(keras2: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A Keras 2 model, not to be changed, and its SavedModel."""
    model, path = gated(keras2), tmp_path_factory.mktemp("gated") / "m"
    model.save(str(path), save_format="tf")
    return model, path


def as_keras2(keras2: Any, path: Path) -> Any:
    """Return the model at *path* as Keras 2 opens it without the class."""
    return keras2.models.load_model(str(path))


def test_a_layer_without_a_class_calls_its_function(saved: tuple[Any, Path], keras3: Any) -> None:
    """Now, and on a hit, which needs nothing of the source."""
    original, path = saved

    for outcome in ("miss", "hit"):
        model = fastload.load_model(path, keras="keras")

        report = fastload.last_load()
        assert report is not None
        assert (report.outcome.value, report.reason) == (outcome, None)
        assert isinstance(model, keras3.Model)
        assert isinstance(model.get_layer("gate"), fastload.SavedFunctionLayer)
        np.testing.assert_allclose(model(INPUTS), original(INPUTS), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            model(INPUTS, training=True),
            as_keras2(pytest.importorskip("tf_keras"), path)(INPUTS, training=True),
            rtol=1e-5,
            atol=1e-6,
        )


def test_it_was_proved_and_says_which_layers_call_functions(
    saved: tuple[Any, Path], keras3: Any
) -> None:
    _, path = saved
    fastload.load_model(path, keras="keras")

    report = fastload.last_load()
    assert report is not None
    assert report.twin is not None
    record = migration_record(Twin.open(report.twin))

    assert record["functions"] == {"gate": "Gate"}
    assert record["proof"]["unproved"] is None
    shown = CliRunner().invoke(commands, ["info", str(path)]).output
    assert "Of functions    gate (Gate)" in shown


def test_its_weights_are_keras_3s_under_their_names(saved: tuple[Any, Path], keras3: Any) -> None:
    original, path = saved
    model = fastload.load_model(path, keras="keras")
    layer = model.get_layer("gate")

    assert [(each.path, each.trainable) for each in layer.weights] == [
        ("gate/kernel", True),
        ("gate/dense/kernel", True),
        ("gate/dense/bias", True),
        ("gate/seen", False),
    ]
    assert layer.kernel is layer.weights[0]
    for mine, theirs in zip(model.get_weights(), original.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    layer.kernel.assign(layer.kernel * 0.0)
    assert not np.array_equal(model(INPUTS), original(INPUTS))
    layer.trainable = False
    assert not layer.trainable_weights


def test_it_trains_as_in_keras_2(saved: tuple[Any, Path], keras2: Any, keras3: Any) -> None:
    """Losses that calls add, of weights and of outputs, gradients, and weights that calls set."""
    _, path = saved
    fastload.load_model(path, keras="keras")
    model, theirs = fastload.load_model(path, keras="keras"), as_keras2(keras2, path)
    for each in (model, theirs):
        each.compile(optimizer=type(each.optimizer)(0.05), loss="mse")

    ours, expected = (
        each.fit(INPUTS, TARGETS, epochs=3, verbose=0, shuffle=False).history["loss"]
        for each in (model, theirs)
    )

    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    assert float(model.get_layer("gate").seen.numpy()) > 2.0
    for mine, other in zip(model.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)


def test_a_hit_makes_no_function_before_a_call(saved: tuple[Any, Path], keras3: Any) -> None:
    _, path = saved
    fastload.load_model(path, keras="keras")

    layer = fastload.load_model(path, keras="keras").get_layer("gate")

    assert layer._state._made is None


def test_a_hit_needs_no_source(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    model = gated(keras2)
    model.save(str(tmp_path / "m"), save_format="tf")
    fastload.load_model(tmp_path / "m", keras="keras")
    served = fastload.load_model(tmp_path / "m", keras="keras")
    for each in (tmp_path / "m").rglob("*"):
        if each.is_file():
            each.unlink()

    np.testing.assert_allclose(served(INPUTS), model(INPUTS), rtol=1e-5, atol=1e-6)


def test_an_archive_keeps_the_functions(
    saved: tuple[Any, Path], keras3: Any, tmp_path: Path
) -> None:
    """Stock opens it, and so does fastload."""
    _, path = saved
    model = fastload.load_model(path, keras="keras")
    model.save(tmp_path / "m.keras")

    again = keras3.models.load_model(tmp_path / "m.keras")
    loaded = [fastload.load_model(tmp_path / "m.keras", keras="keras") for _ in range(2)]

    report = fastload.last_load()
    assert report is not None
    assert report.outcome.value == "hit"
    for each in (again, *loaded):
        np.testing.assert_array_equal(each(INPUTS), model(INPUTS))
        losses = [each.fit(INPUTS, TARGETS, verbose=0).history["loss"] for _ in range(2)]
        assert losses[0] != losses[1]


PROGRAM = """
import sys, numpy as np, keras
{}
try:
    model = keras.models.load_model(sys.argv[1])
    print(float(np.sum(model(np.ones((2, 6), "float32")))))
except Exception as error:
    print("pip install tf-fastload" in str(error), type(error).__name__)
"""


@pytest.mark.parametrize(
    "imported",
    [
        "import fastload; fastload.SavedFunctionLayer",
        pytest.param("", marks=pytest.mark.slow),
    ],
)
def test_another_process_opens_an_archive_where_the_class_is_known(
    imported: str, saved: tuple[Any, Path], keras3: Any, tmp_path: Path, run_python: Any
) -> None:
    """Where it is not, Keras's message says what to do."""
    _, path = saved
    model = fastload.load_model(path, keras="keras")
    model.save(tmp_path / "m.keras")

    told = run_python(PROGRAM.format(imported), tmp_path / "m.keras").split()

    if imported:
        expected = float(np.sum(model(np.ones((2, 6), "float32"))))
        assert float(told[-1]) == pytest.approx(expected, rel=1e-5)
    else:
        assert told[-2:] == ["True", "TypeError"]


@NEEDS_MATURE_KERAS_3
@pytest.mark.parametrize(
    "copied",
    [
        lambda keras, model: pickle.loads(pickle.dumps(model)),
        lambda keras, model: copy.deepcopy(model),
        lambda keras, model: _with_weights(keras.models.clone_model(model), model),
        lambda keras, model: _with_weights(model.from_config(model.get_config()), model),
    ],
    ids=["pickle", "deepcopy", "clone", "from_config"],
)
def test_copies_work(
    copied: Callable[[Any, Any], Any], saved: tuple[Any, Path], keras3: Any
) -> None:
    _, path = saved
    model = fastload.load_model(path, keras="keras")

    copy_of_it = copied(keras3, model)

    np.testing.assert_array_equal(copy_of_it(INPUTS), model(INPUTS))


def _with_weights(model: Any, other: Any) -> Any:
    model.set_weights(other.get_weights())
    return model


def test_a_configuration_alone_says_that_functions_are_missing(
    saved: tuple[Any, Path], keras3: Any
) -> None:
    _, path = saved
    layer = fastload.load_model(path, keras="keras").get_layer("gate")
    config = json.loads(json.dumps(layer.get_config()))
    config["saved"]["digest"] = "0" * 64
    alone = type(layer).from_config(config)

    with pytest.raises(ValueError, match="layer 'gate' has no functions"):
        alone(np.ones((2, 5), "float32"))


def port(keras: Any) -> Any:
    class Ported(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self, units: int, **others: Any) -> None:
            super().__init__(**others)
            self.units = units
            self.inner = keras.layers.Dense(units, activation="swish", name="dense")

        def build(self, shape: Any) -> None:
            self.inner.build(shape)
            self.kernel = self.add_weight(name="kernel", shape=(shape[-1], self.units))
            self.seen = self.add_weight(name="seen", shape=(), trainable=False)

        def call(self, x: Any) -> Any:
            return self.inner(x) * keras.ops.sigmoid(x @ self.kernel)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "units": self.units}

    return Ported


def test_a_port_goes_before_the_function(saved: tuple[Any, Path], keras3: Any) -> None:
    """Whichever was there first: each has a twin of its own."""
    _, path = saved
    given = {"Gate": port(keras3)}

    for objects in (None, given, None, given):
        model = fastload.load_model(path, objects, keras="keras")

        kind = fastload.SavedFunctionLayer if objects is None else given["Gate"]
        assert type(model.get_layer("gate")) is kind
    report = fastload.last_load()
    assert report is not None
    assert report.outcome.value == "hit"


def test_a_port_of_what_is_inside_of_a_layer_goes_before_its_function(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    class Ported(keras3.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return inputs * 3.0

        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

    wrapped(keras2).save(str(tmp_path / "m"), save_format="tf")

    for objects in (None, {"Own": Ported}, None):
        model = fastload.load_model(tmp_path / "m", objects, keras="keras")

        is_keras3s = isinstance(model.layers[-1], keras3.layers.TimeDistributed)
        assert is_keras3s is (objects is not None)


def test_what_was_migrated_with_a_port_loads_without(saved: tuple[Any, Path], keras3: Any) -> None:
    _, path = saved
    fastload.load_model(path, {"Gate": port(keras3)}, keras="keras")

    for outcome in ("miss", "hit"):
        model = fastload.load_model(path, keras="keras")

        report = fastload.last_load()
        assert report is not None
        assert report.outcome.value == outcome
        assert isinstance(model.get_layer("gate"), fastload.SavedFunctionLayer)


def test_a_port_that_fails_is_not_passed_over(saved: tuple[Any, Path], keras3: Any) -> None:
    class Failing(keras3.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()

    _, path = saved

    with pytest.raises(MigrationError, match="layer 'gate' of class Gate"):
        fastload.load_model(path, {"Gate": Failing}, keras="keras")


def own_layer(keras: Any, compute: Callable[..., Any], **attributes: Any) -> Any:
    """Return a layer of a class of its own that computes *compute*."""

    class Own(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return compute(inputs)

    layer = Own(name="own")
    for name, value in attributes.items():
        setattr(layer, name, value)
    return layer


def structured(keras: Any) -> Any:
    first, second = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    own = own_layer(keras, lambda x: {"sum": x[0] + x[1], "both": (x[0], x[1] * 2.0)})
    found = own([first, second])
    return keras.Model([first, second], [found["sum"], *found["both"]])


def twice(keras: Any) -> Any:
    """Return a model that calls one layer twice, on inputs of two lengths."""
    inputs = keras.Input((None, 3))
    own = own_layer(keras, lambda x: tf.cumsum(x, axis=1))
    return keras.Model(inputs, own(own(inputs)[:, :2]))


def nested(keras: Any) -> Any:
    inner = keras.Sequential([keras.Input((6,)), gate(keras)(3, name="gate")], name="inner")
    inputs = keras.Input((6,))
    return seeded(keras.Model(inputs, keras.layers.Dense(2)(inner(inputs))))


def of_keras_2(keras: Any) -> Any:
    """Return a model with a layer that Keras 3 dropped."""
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.LocallyConnected1D(2, 2)(inputs[:, :, None]))


def wrapped(keras: Any) -> Any:
    inputs = keras.Input((5, 6))
    each = keras.layers.TimeDistributed(own_layer(keras, lambda x: x * 3.0))
    return keras.Model(inputs, each(inputs))


def in_half(keras: Any) -> Any:
    inputs = keras.Input((6,))
    policy = keras.mixed_precision.Policy("mixed_float16")
    x = gate(keras)(4, name="gate", dtype=policy)(inputs)
    return keras.Model(inputs, keras.layers.Dense(2)(x))


def with_bytecode(keras: Any) -> Any:
    """Return a model with a `Lambda` of an anonymous function, which nobody runs."""
    inputs = keras.Input((6,))
    return keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2.0 + 1.0)(inputs))


def frozen(keras: Any) -> Any:
    model = gated(keras)
    model.get_layer("gate").trainable = False
    return model


def masked(keras: Any, *, passes: bool) -> Any:
    """Return a model with a layer between a mask and what reads one."""

    class Own(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self, **others: Any) -> None:
            super().__init__(**others)
            self.supports_masking = passes

        def call(self, inputs: Any, mask: Any = None) -> Any:
            return inputs * (2.0 if mask is None else tf.cast(mask, "float32")[:, :, None])

    inputs = keras.Input((5,), dtype="int32")
    x = keras.layers.Embedding(4, 3, mask_zero=True)(inputs)
    return seeded(keras.Model(inputs, keras.layers.LSTM(2)(Own(name="own")(x))))


@pytest.mark.parametrize("passes", [pytest.param(True, marks=pytest.mark.slow), False])
def test_masks_go_on_where_they_did(passes: bool, keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """No file says whether a layer passes its mask on; the proof does."""
    original = masked(keras2, passes=passes)
    original.save(str(tmp_path / "m"), save_format="tf")
    words = np.array([[1, 2, 0, 0, 0], [3, 0, 1, 2, 0]], "int32")

    for _ in range(2):
        model = fastload.load_model(tmp_path / "m", keras="keras")

        np.testing.assert_allclose(model(words), original(words), rtol=1e-5, atol=1e-6)


def looked_up(keras: Any) -> Any:
    """Return a layer with a table, which a function fills."""
    content = tf.lookup.KeyValueTensorInitializer(tf.constant([1, 2]), tf.constant([10.0, 20.0]))
    table = tf.lookup.StaticHashTable(content, -1.0)
    own = own_layer(keras, lambda x: table.lookup(tf.cast(x, "int32")), table=table)
    inputs = keras.Input((6,))
    return keras.Model(inputs, own(inputs * 2.0))


def counting(keras: Any) -> Any:
    """Return a model with a layer that counts in a metric of its own."""
    mean = keras.metrics.Mean()

    def count(x: Any) -> Any:
        mean.update_state(x)
        return x * 2.0

    inputs = keras.Input((6,))
    return keras.Model(inputs, own_layer(keras, count, mean=mean)(inputs))


MODELS: Mapping[str, tuple[Callable[[Any], Any], tuple[tuple[int, ...], ...]]] = {
    "structured": (structured, ((4, 3), (4, 3))),
    **({} if LOSES_LATER_CALLS else {"twice": (twice, ((4, 5, 3),))}),
    "nested": (nested, ((4, 6),)),
    **({} if IS_EARLY_KERAS_3 else {"of_keras_2": (of_keras_2, ((4, 4),))}),
    "wrapped": (wrapped, ((4, 5, 6),)),
    "in_half": (in_half, ((4, 6),)),
    "with_bytecode": (with_bytecode, ((4, 6),)),
    "counting": (counting, ((4, 6),)),
    "looked_up": (looked_up, ((4, 6),)),
    "frozen": (frozen, ((4, 6),)),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_of_many_kinds(name: str, keras2: Any, keras3: Any, tmp_path: Path) -> None:
    make, shapes = MODELS[name]
    original = make(keras2)
    original.save(str(tmp_path / "m"), save_format="tf")
    values = [
        np.random.default_rng(n).normal(size=s).astype("float32") for n, s in enumerate(shapes)
    ]
    given = values if len(values) > 1 else values[0]
    tolerance = 1e-2 if name == "in_half" else 1e-5

    for _ in range(2):
        model = fastload.load_model(tmp_path / "m", keras="keras")

        for mine, theirs in zip(
            tf.nest.flatten(model(given)), tf.nest.flatten(original(given)), strict=True
        ):
            np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance / 10)
            assert mine.dtype == theirs.dtype
        trained = {each.path for each in model.trainable_weights}
        assert len(trained) == len(original.trainable_weights)


def test_words_beside_a_layer_of_functions(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """Keras's own layers have files in their archive, which Keras extracts."""
    inputs = keras2.Input((2,), dtype="string")
    x = keras2.layers.StringLookup(vocabulary=["a", "b"])(inputs)
    original = keras2.Model(inputs, own_layer(keras2, lambda x: x * 2)(x))
    original.save(str(tmp_path / "m"), save_format="tf")
    words = tf.constant([["a", "c"], ["b", "a"]])

    for _ in range(2):
        model = fastload.load_model(tmp_path / "m", keras="keras")

        np.testing.assert_array_equal(model(words), original(words))


def test_a_hit_extracts_nothing(
    saved: tuple[Any, Path], keras3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original, path = saved
    fastload.load_model(path, keras="keras", strict=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

    model = fastload.load_model(path, keras="keras", strict=True)

    np.testing.assert_allclose(model(INPUTS), original(INPUTS), rtol=1e-5, atol=1e-6)


def test_its_weights_are_not_lent(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """Functions keep the handles of their variables; those of other layers are."""
    inputs = keras2.Input((200,))
    inner = keras2.layers.Dense(200)
    x = keras2.layers.Dense(200)(own_layer(keras2, lambda x: inner(x) * 2.0, inner=inner)(inputs))
    original = keras2.Model(inputs, keras2.layers.Dense(200)(x))
    original.save(str(tmp_path / "m"), save_format="tf")
    given = np.random.default_rng(1).normal(size=(3, 200)).astype("float32")

    for _ in range(2):
        model = fastload.load_model(tmp_path / "m", keras="keras", memory_budget=400_000)

        np.testing.assert_allclose(model(given), original(given), rtol=1e-4, atol=1e-5)
    found = fastload.residency(model)
    assert found.is_lazy
    assert [each.name for each in found.layers] == ["layers/dense", "layers/dense_1"]


def test_a_function_that_takes_too_much_memory_is_not_run(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """40 GB between two small tensors, which the signature leaves out."""

    def large(x: Any) -> Any:
        wide = tf.broadcast_to(x[:, :1], (tf.shape(x)[0], 100_000))
        return x + tf.reduce_sum(tf.einsum("ab,ac->bc", wide, wide)) * 1e-30

    inputs = keras2.Input((6,))
    model = keras2.Model(inputs, own_layer(keras2, large)(inputs))

    @tf.function(input_signature=[tf.TensorSpec((None, 6), tf.float32, name="x")])
    def serve(x: Any) -> Any:
        return {"y": x * 1.0}

    model.save(str(tmp_path / "m"), save_format="tf", signatures={"serving_default": serve})

    fastload.load_model(tmp_path / "m", keras="keras")

    report = fastload.last_load()
    assert report is not None
    assert "would take" in str(report.reason)


def refused(keras: Any) -> Any:
    def write(x: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file("written", "by a model")]):
            return x + 1.0

    inputs = keras.Input((6,))
    return keras.Model(inputs, own_layer(keras, write)(inputs))


def test_a_function_that_does_more_than_compute_is_refused(
    keras2: Any, keras3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would run whenever the model is called, in an archive that Keras holds for data."""
    monkeypatch.chdir(tmp_path)
    refused(keras2).save(str(tmp_path / "m"), save_format="tf")

    with pytest.raises(MigrationError, match="operations of WriteFile"):
        fastload.load_model(tmp_path / "m", keras="keras")

    assert not (tmp_path / "written").exists()


def test_layers_that_share_a_weight_are_one(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """An archive would have it twice, and training would part the two."""
    inputs = keras2.Input((4,))
    dense = keras2.layers.Dense(4)
    own = own_layer(keras2, lambda x: x @ dense.kernel, dense=dense)
    original = keras2.Model(inputs, own(dense(inputs)))
    original.save(str(tmp_path / "m"), save_format="tf")
    given = np.random.default_rng(1).normal(size=(3, 4)).astype("float32")

    for _ in range(2):
        model = fastload.load_model(tmp_path / "m", keras="keras")

        assert len(model.weights) == 2
        np.testing.assert_allclose(model(given), original(given), rtol=1e-5, atol=1e-6)
    shown = CliRunner().invoke(commands, ["info", str(tmp_path / "m")]).output
    assert "shares the weight" in " ".join(shown.split())


def test_an_archive_with_a_function_that_writes_a_file_is_refused(
    saved: tuple[Any, Path], keras3: Any, tmp_path: Path
) -> None:
    """Stock's `safe_mode` lets no code run that an archive brings."""
    written = tmp_path / "written"
    _, path = saved
    model = fastload.load_model(path, keras="keras")
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (each for each in members if each.endswith("functions.pb"))
    changed = _writing(members[name], written)
    config = members["config.json"].decode()
    old, new = (hashlib.sha256(each).hexdigest() for each in (members[name], changed))
    assert old in config
    members |= {name: changed, "config.json": config.replace(old, new).encode()}
    with zipfile.ZipFile(tmp_path / "bad.keras", "w") as archive:
        for each, content in members.items():
            archive.writestr(each, content)

    loaders = (keras3.models.load_model, fastload.load_model, fastload.load_model)
    for load in loaders:
        with pytest.raises(ValueError, match="operations of WriteFile"):
            load(tmp_path / "bad.keras")(INPUTS)

    assert not written.exists()


def _writing(content: bytes, path: Path) -> bytes:
    """Return functions that write a file whenever they are called."""
    message = parse_saved_model(content)
    for function in message.meta_graphs[0].graph_def.library.function:
        for name, value in (("where", str(path)), ("what", "by a model")):
            const = function.node_def.add(name=name, op="Const")
            const.attr["dtype"].type = tf.string.as_datatype_enum
            const.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        function.node_def.add(
            name="write", op="WriteFile", input=["where:output:0", "what:output:0"]
        )
        function.control_ret["write"] = "write"
    changed: bytes = message.SerializeToString(deterministic=True)
    return changed
