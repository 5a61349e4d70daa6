"""SavedModels with layers that no class and no configuration describe, beside stock's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.runtime.core.tensorflow import parse_saved_model
from fastload.runtime.requirements import KERAS2_REVIVED
from fastload.runtime.saved_model.beside import needed_nodes
from tests.small_models import INPUTS, SAVED_MODEL

tf = pytest.importorskip("tensorflow")

TARGETS = np.linspace(0.0, 1.0, 2 * len(INPUTS), dtype="float32").reshape(-1, 2)


def scaling(keras: Any) -> type[Any]:
    """Return a layer class that no loader knows, with a loss and a mode of its own."""

    class Scaling(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(
                name="scale", shape=(shape[-1],), initializer="ones", regularizer="l2"
            )

        def call(self, x: Any, training: bool | None = None) -> Any:
            self.add_loss(tf.reduce_mean(x))
            return x * self.scale * (2.0 if training else 1.0)

    return Scaling


def save_functional(path: Path) -> None:
    """With a layer that has no class, between layers that have one."""
    keras = SAVED_MODEL.stock
    inputs = keras.Input((4,))
    hidden = scaling(keras)(name="mine")(keras.layers.Dense(3, name="before")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, name="after")(hidden))
    model.compile("adam", "mse")
    model.fit(INPUTS, TARGETS, verbose=0)
    model.save(path)


def save_subclassed(path: Path) -> None:
    """Without a configuration, and with a layer inside that has one."""
    keras = SAVED_MODEL.stock

    class Mine(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(2)
            self.scaling = scaling(keras)()

        def call(self, inputs: Any) -> Any:
            return self.dense(self.scaling(inputs))

    model = Mine()
    model.compile("sgd", "mse")
    model.fit(INPUTS, TARGETS, verbose=0)
    model.save(path)


def save_with_a_filled_table(path: Path) -> None:
    """A table that a function of the SavedModel fills: the configuration lacks its words."""
    keras = SAVED_MODEL.stock
    lookup = keras.layers.StringLookup(name="words")
    lookup.adapt(["a", "b", "c"])
    inputs = keras.Input((1,), dtype="string")
    keras.Model(inputs, lookup(inputs)).save(path)


def save_module(path: Path) -> None:
    """No model of Keras's: stock gives what `tf.saved_model.load` gives."""
    module = tf.Module()
    module.weight = tf.Variable([1.0, 2.0])
    module.scaled = tf.function(
        lambda x: x * module.weight, input_signature=[tf.TensorSpec((None, 2))]
    )
    tf.saved_model.save(module, str(path), signatures=module.scaled)


SAVERS = {
    "functional": save_functional,
    "subclassed": save_subclassed,
    "table": save_with_a_filled_table,
    "module": save_module,
}


@pytest.fixture
def saved(request: pytest.FixtureRequest, tmp_path: Path, cache_root: Path) -> Path:
    """The model of the parameter, with its twin in the cache."""
    if not SAVED_MODEL.package:
        pytest.skip("no Keras 2")
    path = tmp_path / "m"
    SAVERS[request.param](path)
    fastload.load_saved_model(str(path), strict=True)
    return path


def ours(path: Path, **arguments: Any) -> Any:
    """Load it from the twin."""
    model = fastload.load_model(path, keras=SAVED_MODEL.package, strict=True, **arguments)
    report = fastload.last_load()
    assert report is not None
    assert (report.outcome.value, report.reason) == ("hit", None)
    return model


def stock(path: Path, **arguments: Any) -> Any:
    return SAVED_MODEL.stock.models.load_model(path, **arguments)


trainable = pytest.mark.parametrize("saved", ["functional", "subclassed"], indirect=True)
each = pytest.mark.parametrize("saved", list(SAVERS), indirect=True)


@each
def test_it_is_what_stock_makes(saved: Path) -> None:
    """Classes of all layers, and the names of the attributes that are left on them."""
    mine, theirs = ours(saved), stock(saved)

    assert type(mine).__name__ == type(theirs).__name__
    assert sorted(vars(mine)) == sorted(vars(theirs))
    for one, other in zip(getattr(mine, "layers", ()), getattr(theirs, "layers", ()), strict=True):
        assert [kind.__name__ for kind in type(one).__mro__] == [
            kind.__name__ for kind in type(other).__mro__
        ]
        assert sorted(vars(one)) == sorted(vars(other))


@trainable
def test_it_goes_on_as_stock_does(saved: Path) -> None:
    """Outputs in both modes, losses, gradients, two rounds of training, to the bit."""

    def told(model: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            outputs = [model(INPUTS), model(INPUTS, training=True), *model.losses]
            total = tf.add_n([tf.reduce_sum(each) for each in outputs])
        gradients = tape.gradient(total, model.trainable_weights)
        before = model.predict(INPUTS, verbose=0)
        history = model.fit(INPUTS, TARGETS, epochs=2, verbose=0, shuffle=False).history
        return [*outputs, *gradients, before, *history["loss"], *model.get_weights()]

    for mine, theirs in zip(told(ours(saved)), told(stock(saved)), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@trainable
def test_it_is_saved_again_as_stock_saves_it(saved: Path, tmp_path: Path) -> None:
    """Stock opens what the revived model saved."""
    ours(saved).save(tmp_path / "again")

    np.testing.assert_array_equal(stock(tmp_path / "again")(INPUTS), stock(saved)(INPUTS))


@each
def test_it_needs_no_files(saved: Path) -> None:
    """They may go as soon as the load ends: signatures and functions are the twin's."""
    expected = stock(saved)
    mine = ours(saved)
    shutil.rmtree(saved)

    assert list(mine.signatures) == list(expected.signatures)
    for name, function in expected.signatures.items():
        inputs = inputs_of(function)
        found = mine.signatures[name](**inputs)
        for key, value in function(**inputs).items():
            np.testing.assert_array_equal(found[key], value)


def inputs_of(function: Any) -> dict[str, Any]:
    """Return values for the arguments of a signature."""
    _, arguments = function.structured_input_signature
    return {
        name: tf.constant([["a"], ["x"]])
        if spec.dtype == tf.string
        else tf.constant(INPUTS[:, : spec.shape[1]])
        for name, spec in arguments.items()
    }


@pytest.mark.parametrize("saved", ["functional"], indirect=True)
def test_a_class_at_hand_is_used(saved: Path) -> None:
    """The same twin serves both, in either order."""
    own = scaling(SAVED_MODEL.stock)
    revived, made = ours(saved), ours(saved, custom_objects={"Scaling": own})

    assert type(made.get_layer("mine")) is own
    assert type(revived.get_layer("mine")) is not own
    np.testing.assert_array_equal(made(INPUTS), revived(INPUTS))


@pytest.mark.parametrize("saved", ["functional"], indirect=True)
def test_functions_of_layers_with_a_class_are_left_out(saved: Path) -> None:
    """Were all layers made of their configuration, signatures and own losses would be left."""
    message = parse_saved_model((saved / "saved_model.pb").read_bytes())
    graph = message.meta_graphs[0].object_graph_def
    endpoints = KERAS2_REVIVED.part("load", SAVED_MODEL.package).PUBLIC_ATTRIBUTES - {"keras_api"}
    made = {n: endpoints for n, node in enumerate(graph.nodes) if is_of_keras(node)}
    functions, variables = (of_kind(graph, kind) for kind in ("function", "variable"))
    left = needed_nodes(graph, made)
    names = {name for n in left & functions for name in graph.nodes[n].function.concrete_functions}

    assert needed_nodes(graph, {}) == frozenset(range(len(graph.nodes)))
    assert variables <= left
    assert len(functions) > len(names)
    assert all(name.startswith("__inference_loss_fn") for name in names)


def is_of_keras(node: Any) -> bool:
    return bool(node.user_object.identifier.startswith("_tf_keras_"))


def of_kind(graph: Any, kind: str) -> set[int]:
    return {n for n, node in enumerate(graph.nodes) if node.WhichOneof("kind") == kind}


def test_a_metric_without_a_class_is_left_out_where_nothing_is_compiled(
    tmp_path: Path, cache_root: Path
) -> None:
    """With `compile=True` it is stock's error."""
    keras, path = SAVED_MODEL.stock, tmp_path / "m"

    class Total(keras.metrics.Sum):  # type: ignore[misc, name-defined]
        def update_state(self, y: Any, predicted: Any, sample_weight: Any = None) -> Any:
            return super().update_state(predicted)

    inputs = keras.Input((4,))
    model = keras.Model(inputs, scaling(keras)()(inputs))
    model.compile("sgd", "mse", metrics=[Total(name="total")])
    model.fit(INPUTS, INPUTS, verbose=0)
    model.save(path)
    fastload.load_saved_model(str(path), strict=True)
    mine, theirs = ours(path, compile=False), stock(path, compile=False)

    assert [each.name for each in mine.metrics] == [each.name for each in theirs.metrics]
    np.testing.assert_array_equal(mine(INPUTS), theirs(INPUTS))
    with pytest.raises(ValueError, match="Unable to restore") as expected:
        stock(path)
    with pytest.raises(ValueError, match="Unable to restore") as actual:
        fastload.load_model(path, keras=SAVED_MODEL.package)
    assert str(actual.value) == str(expected.value)


def test_a_layer_whose_class_has_gone_wrong_is_revived(tmp_path: Path, cache_root: Path) -> None:
    """Its class is at hand, and cannot be made of the configuration that was saved."""
    path = tmp_path / "m"
    save_functional(path)

    def broken(self: Any, *_: Any, **__: Any) -> None:
        raise ValueError("it takes another argument now")

    own = scaling(SAVED_MODEL.stock)
    changed: Callable[..., Any] = type("Scaling", (own,), {"__init__": broken})
    theirs = stock(path, custom_objects={"Scaling": changed})
    fastload.load_saved_model(str(path), strict=True)
    mine = ours(path, custom_objects={"Scaling": changed})

    assert not isinstance(mine.get_layer("mine"), own)
    np.testing.assert_array_equal(mine(INPUTS), theirs(INPUTS))
