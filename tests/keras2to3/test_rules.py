"""Each rule of the migration, with a model that does not open in Keras 3 without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import fastload
from fastload.errors import MigrationError
from fastload.keras2to3.keras2_files import model_of_archive, model_of_hdf5
from fastload.keras2to3.keras2_saved_models import model_of_saved_model
from fastload.keras2to3.proof import prove_against_model
from fastload.keras2to3.rules import configs, operation_kinds, training
from fastload.keras2to3.rules.operations import operation_of
from fastload.keras2to3.rules.rule import Record
from tests.keras2to3.conftest import seeded
from tests.keras2to3.makers import HARD_SIGMOIDS, MODELS, OTHERS, cuts, images, operations
from tests.needs import NEEDS_MATURE_KERAS_3

#: What makes a Keras 3 model of a file of this kind.
MAKERS = {"": model_of_saved_model, ".h5": model_of_hdf5, ".keras": model_of_archive}
RULES = (*configs.FIRST_RULES, *configs.RULES)


def saved(model: Any, tmp_path: Path) -> Path:
    path = tmp_path / "model.h5"
    seeded(model).save(str(path))
    return path


def migrated(path: Path, keras: Any) -> tuple[Any, Record]:
    record = Record()
    return model_of_hdf5(path, keras, lambda _: {}, record), record


def _require(name: str, keras2: Any) -> None:
    if name == "random-state" and "rng_type" not in keras2.layers.RandomFlip().get_config():
        pytest.skip("tf-keras 2.16 to 2.19 do not write what the rule drops")


@pytest.mark.parametrize("name", [*MODELS, *OTHERS])
def test_a_rule_mends_its_model(name: str, keras2: Any, keras3: Any, tmp_path: Path) -> None:
    _require(name, keras2)
    original = {**MODELS, **OTHERS}[name](keras2)

    model, record = migrated(saved(original, tmp_path), keras3)

    assert name in record.rules
    assert prove_against_model(original, model).against == "tf-keras"


@pytest.mark.parametrize("name", MODELS)
def test_without_its_rule_the_model_does_not_open(
    name: str, keras2: Any, keras3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _require(name, keras2)
    path = saved(MODELS[name](keras2), tmp_path)
    left = tuple(rule for rule in configs.RULES if rule.name not in {name, "first-layer-shapes"})
    monkeypatch.setattr(configs.migrated, "__defaults__", (left,))

    with pytest.raises(MigrationError, match="Keras 3"):
        migrated(path, keras3)


def test_a_sequential_model_without_an_input_layer(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """Up to Keras 2.2 the first layer had the shape, and up to 2.1 there was but a list."""
    original = keras2.Sequential([keras2.layers.Dense(3, input_shape=(4,)), keras2.layers.Dense(2)])
    path = saved(original, tmp_path)
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"] = list(config["config"]["layers"][1:])
        file.attrs["model_config"] = json.dumps(config)

    model, record = migrated(path, keras3)

    assert {"sequential-lists", "sequential-inputs"} <= record.rules.keys()
    assert prove_against_model(original, model).against == "tf-keras"


def test_rules_have_names_of_their_own() -> None:
    every = (*RULES, *training.OPTIMIZER_RULES, *training.OBJECTIVE_RULES)
    names = [rule.name for rule in every]

    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    "suffix",
    ["", *(pytest.param(suffix, marks=pytest.mark.full) for suffix in MAKERS if suffix)],
    ids=lambda suffix: suffix or "saved_model",
)
@pytest.mark.parametrize(
    "name",
    ["plain", *(pytest.param(n, marks=pytest.mark.slow) for n in HARD_SIGMOIDS if n != "plain")],
)
def test_a_hard_sigmoid_is_made_steeper(
    name: str, suffix: str, keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """That of Keras 2 rises by 0.2, that of Keras 3 by a sixth; other weights make up for it."""
    original = seeded(HARD_SIGMOIDS[name](keras2))
    path = tmp_path / f"model{suffix}"
    original.save(str(path), **({} if suffix else {"save_format": "tf"}))

    model = MAKERS[suffix](path, keras3, lambda _: {}, Record())

    assert prove_against_model(original, model).relative < 1e-6


def test_two_layers_of_one_name_with_weights_in_two_forms_are_refused(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """Weights are known by the names of their layers; a nested model may have one of its own."""
    layer = keras2.layers.Dense
    inner = keras2.Sequential([keras2.Input((4,)), layer(4, activation="tanh", name="gate")])
    inputs = keras2.Input((4,))
    outer = layer(2, activation="hard_sigmoid", name="gate")(inner(inputs))

    with pytest.raises(MigrationError, match="layer 'gate': another layer has its name"):
        migrated(saved(keras2.Model(inputs, outer), tmp_path), keras3)


def test_a_hard_sigmoid_that_cannot_be_made_steeper_is_refused(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    layers = [keras2.Input((4,)), keras2.layers.Activation("hard_sigmoid", name="gate")]

    with pytest.raises(MigrationError, match="layer 'gate' of class Activation: the hard_sigmoid"):
        migrated(saved(keras2.Sequential(layers), tmp_path), keras3)


def _made(make: Any, keras2: Any, in_graph: bool) -> Any:
    """Return a model; made in a graph, it has layers of operations in place of functions."""
    tf = pytest.importorskip("tensorflow")
    if not in_graph:
        return make(keras2, tf)
    with tf.Graph().as_default():
        config = make(keras2, tf).get_config()
    return keras2.Model.from_config(config)


@pytest.mark.parametrize("kind", [list, dict])
def test_models_with_several_inputs_are_compared(
    kind: type[Any], keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    first, second = keras2.Input((4,), name="a"), keras2.Input((3,), name="b")
    joined = keras2.layers.Concatenate()([first, keras2.layers.Dense(2)(second)])
    inputs = [first, second] if kind is list else {"a": first, "b": second}
    original = keras2.Model(inputs, keras2.layers.Dense(2)(joined))

    model, _ = migrated(saved(original, tmp_path), keras3)

    assert prove_against_model(original, model).against == "tf-keras"


@NEEDS_MATURE_KERAS_3
@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("make", [operations, images, cuts])
def test_functions_of_tensorflow_become_operations(
    make: Any, in_graph: bool, keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    original = _made(make, keras2, in_graph)

    model, record = migrated(saved(original, tmp_path), keras3)

    assert ("operation-layers" in record.rules) == in_graph
    assert prove_against_model(original, model).relative < 1e-5
    model.save(tmp_path / "again.keras")
    again = keras3.models.load_model(tmp_path / "again.keras")
    assert prove_against_model(original, again).relative < 1e-5


def test_a_function_without_a_counterpart_is_named(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    tf = pytest.importorskip("tensorflow")
    inputs = keras2.Input((4,))
    model = keras2.Model(inputs, tf.math.lgamma(inputs))

    with pytest.raises(MigrationError, match=r"no operation for tf\.math\.lgamma"):
        migrated(saved(model, tmp_path), keras3)


def test_every_kind_of_operation_is_a_function_of_the_table() -> None:
    """And what it says of a call is what the table has arguments for."""
    for name, kind in operation_kinds.KINDS.items():
        found = operation_of(kind.function)
        assert found is not None, name
        given = kind.arguments([1.0] * len(kind.inputs), {})
        named = {*given, *kind.attributes.values()} - operation_kinds.OF_BRACKETS
        assert named <= found.arguments.keys() | found.harmless.keys(), name


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda tf, x: tf.math.lgamma(x), "no equivalent of the operation Lgamma"),
        # It takes whole rows by a condition of one axis, which `keras.ops.where` does not.
        (
            lambda tf, x: tf.compat.v1.where(x[:, 0] > 0, x, -x),
            "no equivalent of the operation Select",
        ),
        (lambda tf, x: x[: tf.cast(x[0, 0], "int32")], "its bounds are known only at run time"),
        (lambda tf, x: tf.gather(x, [[0], [1]], axis=1, batch_dims=1), "its argument batch_dims=1"),
        (
            lambda tf, x: tf.compat.v1.image.resize_bilinear(x[..., None, None], [2, 2]),
            "its attribute half_pixel_centers=False has no counterpart",
        ),
    ],
)
def test_an_operation_without_a_counterpart_is_named(
    make: Any, reason: str, keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    def model(keras: Any, tf: Any) -> Any:
        inputs = keras.Input((4,), batch_size=2)
        return keras.Model(inputs, make(tf, inputs))

    original = _made(model, keras2, in_graph=True)

    with pytest.raises(MigrationError, match=f"layer 'tf_op_layer_.*{reason}"):
        migrated(saved(original, tmp_path), keras3)


def test_added_losses_are_refused(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    inputs = keras2.Input((4,))
    model = keras2.Model(inputs, keras2.layers.Dense(2)(inputs))
    model.add_loss(pytest.importorskip("tensorflow").reduce_mean(model.output))

    with pytest.raises(MigrationError, match="class AddLoss"):
        migrated(saved(model, tmp_path), keras3)


@pytest.mark.parametrize(
    ("optimizer", "expected", "rule"),
    [
        ({"class_name": "SGD", "config": {"lr": 0.5}}, {"learning_rate": 0.5}, "learning-rate"),
        (
            {"class_name": "SGD", "config": {"learning_rate": 0.5, "decay": 0.0}},
            {"learning_rate": 0.5},
            "decay",
        ),
        (
            {"class_name": "Custom>SGD", "config": {"jit_compile": False}},
            {},
            "optimizer-arguments",
        ),
    ],
)
def test_optimizers_of_earlier_versions(
    optimizer: dict[str, Any], expected: dict[str, Any], rule: str
) -> None:
    record = Record()

    found = training.migrated_training({"optimizer_config": optimizer, "loss": "mse"}, record)

    assert found["optimizer"] == {"class_name": "SGD", "config": expected}
    assert rule in record.rules


def test_decay_is_a_schedule_with_the_same_arithmetic(keras3: Any) -> None:
    sgd = {"class_name": "SGD", "config": {"lr": 0.5, "decay": 0.1}}

    found = training.migrated_training({"optimizer_config": sgd}, Record())

    schedule = found["optimizer"]["config"]["learning_rate"]
    rate = keras3.optimizers.schedules.InverseTimeDecay(**schedule["config"])
    assert [float(rate(step)) for step in (0, 10)] == pytest.approx([0.5, 0.25])


def test_a_dropped_argument_that_meant_something_is_refused() -> None:
    config = {"class_name": "GRU", "config": {"name": "turned", "time_major": True}}

    with pytest.raises(MigrationError, match="'turned' of class GRU: Keras 3 has no time_major="):
        configs.migrated(json.loads(json.dumps(config)), Record())


def _padded(keras: Any, *layers: Any) -> Any:
    """Return a recurrent network over masked steps, with what comes between."""
    inputs = keras.Input((6, 3))
    outputs = keras.layers.Masking(mask_value=0.5)(inputs)
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, keras.layers.LSTM(4)(outputs))


def _merged(keras: Any) -> Any:
    inputs = [keras.Input((6, 3)) for _ in range(2)]
    masked = [keras.layers.Masking(mask_value=0.5)(each) for each in inputs]
    return keras.Model(inputs, keras.layers.LSTM(4)(keras.layers.Add()(masked)))


def test_masks_are_compared(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """Random numbers mask nothing: steps at the ends are what the model masks."""
    original = _padded(keras2, keras2.layers.Dense(3))
    model, _ = migrated(saved(original, tmp_path), keras3)

    assert prove_against_model(original, model).against == "tf-keras"
    model.layers[1].mask_value = 7.0
    with pytest.raises(MigrationError, match="its outputs differ"):
        prove_against_model(original, model)


@pytest.mark.parametrize(
    "make", [lambda k: _padded(k, k.layers.Rescaling(2.0)), _merged], ids=["passed on", "merged"]
)
def test_what_keras_3_masks_otherwise_is_rejected(
    make: Any, keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """`Rescaling` passes masks on, and layers that merge take the or of masks; Keras 2 did not."""
    original = make(keras2)
    model, _ = migrated(saved(original, tmp_path), keras3)
    if not keras3.layers.Rescaling(1.0).supports_masking:
        pytest.skip("this Keras masks as Keras 2 did")

    with pytest.raises(MigrationError, match="its outputs differ"):
        prove_against_model(original, model)


def test_defaults_of_tensorflow_are_kept(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """Also where nothing is compared: Keras 3 sums and takes from flat arrays, and approximates."""
    tf = pytest.importorskip("tensorflow")
    inputs = keras2.Input((4,), batch_size=3)
    rows = tf.gather(inputs, [2, 0])
    outputs = [tf.nn.gelu(inputs), tf.cumsum(inputs), rows, tf.math.top_k(inputs).values]
    model, _ = migrated(saved(keras2.Model(inputs, outputs), tmp_path), keras3)
    values = np.random.default_rng(3).normal(size=(3, 4)).astype("float32")
    expected = [tf.nn.gelu(values), tf.cumsum(values), tf.gather(values, [2, 0])]
    expected.append(tf.math.top_k(values).values)

    for one, other in zip(model(values), expected, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-6)


def test_a_call_that_always_trains_is_rejected(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """Keras 3 calls a layer as it calls the model: dropout would be off."""
    inputs = keras2.Input((4,))
    model = keras2.Model(inputs, keras2.layers.Dropout(0.5, name="mc")(inputs, training=True))

    with pytest.raises(MigrationError, match=r"layer 'mc'.*: it is called with training=True"):
        migrated(saved(model, tmp_path), keras3)


def test_a_saved_model_that_always_trains_keeps_its_function(
    keras2: Any, keras3: Any, cache_root: Path, tmp_path: Path
) -> None:
    """Its dropout is on when it predicts, as in Keras 2."""
    del keras3
    inputs = keras2.Input((4,))
    model = keras2.Model(inputs, keras2.layers.Dropout(0.5)(inputs, training=True))
    model.save(str(tmp_path / "saved"), save_format="tf")
    loaded = fastload.load_model(tmp_path / "saved", keras="keras", strict=True)

    found = np.asarray(loaded.predict(np.ones((64, 4), "float32"), verbose=0))
    assert set(found.ravel().tolist()) == {0.0, 2.0}


def test_a_call_that_never_trains_is_told(keras2: Any, keras3: Any, tmp_path: Path) -> None:
    """It predicts the same."""
    inputs = keras2.Input((4,))
    norm = keras2.layers.BatchNormalization(name="norm")
    original = keras2.Model(inputs, norm(inputs, training=False))
    model, record = migrated(saved(original, tmp_path), keras3)

    assert "'norm'" in record.left_out["training=False"]
    assert prove_against_model(original, model).against == "tf-keras"
