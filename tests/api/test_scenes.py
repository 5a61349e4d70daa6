"""Loads inside of what a caller set up: devices, strategies, name scopes, policies. As in stock."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import fastload
from tests.conftest import RunPython
from tests.installed import version_of
from tests.small_models import (
    FORMS,
    INPUTS,
    KERAS2_HDF5,
    KERAS3_ARCHIVE,
    SAVED_MODEL,
    USUAL_FORMS,
    SavedModel,
)

Scene = Callable[[Any], AbstractContextManager[Any]]


@contextlib.contextmanager
def policy(keras: Any) -> Iterator[None]:
    """Have layers compute in another dtype, as programs set it for all of them."""
    mixed = keras.mixed_precision
    before = mixed.dtype_policy() if hasattr(mixed, "dtype_policy") else mixed.global_policy()
    mixed.set_global_policy("mixed_bfloat16")
    yield
    mixed.set_global_policy(before)


@contextlib.contextmanager
def creator(_: Any) -> Iterator[None]:
    """Have variables made by a creator of the program's."""
    with tf.variable_creator_scope(lambda make, **given: make(**given)):
        yield


def _of_keras(keras: Any, kind: str, *arguments: str) -> AbstractContextManager[Any]:
    makers = {
        "device": getattr(keras, "device", None),
        "name_scope": getattr(keras, "name_scope", None) or keras.backend.name_scope,
    }
    make = makers[kind]
    return contextlib.nullcontext() if make is None else make(*arguments)


def one_device(_: Any) -> AbstractContextManager[Any]:
    return strategy("OneDeviceStrategy", "/CPU:0").scope()


def one_mirror(_: Any) -> AbstractContextManager[Any]:
    return strategy("MirroredStrategy", ["/CPU:0"]).scope()


_strategies: dict[str, Any] = {}


@pytest.fixture(scope="module", autouse=True)
def no_strategy_is_left() -> Iterator[None]:
    """At the end of the process, those of TensorFlow 2.8 can no longer stop their threads."""
    yield
    for each in _strategies.values():
        for held in vars(each.extended).values():
            pool = getattr(held, "_pool", None)
            if pool is not None:
                pool.terminate()
    _strategies.clear()


def strategy(kind: str, devices: Any) -> Any:
    """Return one strategy of a kind: models of two are not trained together."""
    if kind not in _strategies:
        _strategies[kind] = getattr(tf.distribute, kind)(devices)
    return _strategies[kind]


STRATEGIES: dict[str, Scene] = {"one device": one_device, "one mirror": one_mirror}
SCENES: dict[str, Scene] = {
    "device": lambda _: tf.device("/CPU:0"),
    "init_scope": lambda _: tf.init_scope(),
    "name scope": lambda _: tf.name_scope("outer"),
    "default strategy": lambda _: tf.distribute.get_strategy().scope(),
    "device of Keras": lambda keras: _of_keras(keras, "device", "cpu:0"),
    "name scope of Keras": lambda keras: _of_keras(keras, "name_scope", "outer"),
    "policy": policy,
    "creator": creator,
    **STRATEGIES,
}
in_each_scene = pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
in_forms = pytest.mark.parametrize(
    "model",
    [pytest.param(form, marks=() if form in USUAL_FORMS else pytest.mark.full) for form in FORMS],
    ids=lambda form: form.id,
    indirect=True,
)


def facts(variable: Any) -> dict[str, Any]:
    """Return what tells a variable from another one: class, name, place, value."""
    inner = getattr(variable, "_value", None)
    of_tensorflow = inner if isinstance(inner, tf.Variable) else variable
    return {
        "class": (type(variable).__name__, type(of_tensorflow).__name__),
        "name": (variable.name, getattr(variable, "path", None), of_tensorflow.name),
        "device": of_tensorflow.device,
        "spread": (str(of_tensorflow.aggregation), str(of_tensorflow.synchronization)),
        "strategy": type(getattr(of_tensorflow, "_distribute_strategy", None)).__name__,
        "trainable": variable.trainable,
        "value": (str(variable.dtype), np.asarray(variable).tobytes()),
    }


def all_facts(model: Any) -> list[dict[str, Any]]:
    """Return the facts of all variables of a model and its optimizer."""
    optimizer = getattr(model, "optimizer", None)
    others = [] if optimizer is None else optimizer.variables
    others = others() if callable(others) else others
    return [facts(each) for each in [*model.variables, *others]]


def both(model: SavedModel, scene: Scene) -> tuple[Any, Any]:
    """Load with stock and with fastload in a scene each; from the twin."""
    stock, package = model.form.stock, model.form.package
    with scene(stock):
        expected = model.load_stock()
    for _ in range(2):
        with scene(stock):
            actual = fastload.load_model(model.path, keras=package, strict=True)  # type: ignore[arg-type]
    report = fastload.last_load()
    assert report is not None
    assert report.outcome.value == "hit"
    return expected, actual


@in_forms
@in_each_scene
def test_a_model_is_the_one_that_stock_makes_there(
    scene: Scene, model: SavedModel, cache_root: Any
) -> None:
    expected, actual = both(model, scene)

    assert type(actual) is type(expected)
    assert actual.get_config() == expected.get_config()
    assert all_facts(actual) == all_facts(expected)


@pytest.mark.parametrize("model", [KERAS2_HDF5], ids=["keras2.h5"], indirect=True)
@pytest.mark.parametrize("scene", ["name scope", "name scope of Keras"])
def test_variables_of_keras_2_are_named_as_in_stock(
    scene: str, model: SavedModel, cache_root: Any
) -> None:
    """It makes them in a graph of their own, in which no scope of the caller is."""
    expected, actual = both(model, SCENES[scene])

    assert all_facts(actual) == all_facts(expected)


@pytest.mark.parametrize(
    ("scene", "model"),
    [
        pytest.param(scene, form, marks=marks, id=f"{form.id}-{name}")
        for name, scene in STRATEGIES.items()
        for form in USUAL_FORMS
        for marks in [() if (name, form) == ("one mirror", SAVED_MODEL) else pytest.mark.full]
    ],
    indirect=["model"],
)
def test_a_model_of_a_strategy_is_trained_there(
    scene: Scene, model: SavedModel, cache_root: Any
) -> None:
    """It belongs to the strategy: it predicts and learns what stock's does, to the bit."""
    found = []
    for each in both(model, scene):
        each.fit(INPUTS, np.ones((3, 4)), shuffle=False, verbose=0)
        predicted = each.predict(INPUTS, verbose=0).tobytes()
        found.append((type(each.distribute_strategy), all_facts(each), predicted))

    assert found[1] == found[0]


@pytest.mark.parametrize("scene", STRATEGIES.values(), ids=STRATEGIES)
def test_signatures_of_a_model_of_a_strategy(
    scene: Scene, saved_model: SavedModel, cache_root: Any
) -> None:
    expected, actual = (
        each.signatures["serving_default"](x=tf.constant(INPUTS))
        for each in both(saved_model, scene)
    )
    np.testing.assert_array_equal(actual["c"], expected["c"])


@pytest.mark.parametrize("scene", [SCENES["device"], SCENES["name scope"], one_device])
def test_objects_are_those_that_stock_makes_there(
    scene: Scene, saved_model: SavedModel, cache_root: Any
) -> None:
    path = str(saved_model.path)
    with scene(None):
        expected = tf.saved_model.load(path)
    for _ in range(2):
        with scene(None):
            actual = fastload.load_saved_model(path, strict=True)

    assert [facts(each) for each in actual.variables] == [
        facts(each) for each in expected.variables
    ]
    given = tf.constant(INPUTS)
    for name, value in expected.signatures["serving_default"](x=given).items():
        np.testing.assert_array_equal(actual.signatures["serving_default"](x=given)[name], value)


def test_a_strategy_that_spreads_variables_is_for_stock(
    saved_model: SavedModel, cache_root: Any
) -> None:
    """Objects of mirrors too: their functions read variables of another class."""
    spreading = tf.distribute.experimental.CentralStorageStrategy()
    for load, scene in (
        (fastload.load_model, spreading.scope()),
        (fastload.load_saved_model, spreading.scope()),
        (fastload.load_saved_model, one_mirror(None)),
    ):
        keras = {"keras": saved_model.form.package} if load is fastload.load_model else {}
        with scene:
            load(str(saved_model.path), **keras)
        report = fastload.last_load()
        assert report is not None
        assert report.code == "FL206"
        assert "Strategy is active" in (report.reason or "")


def test_a_replica_that_runs_is_for_stock(saved_model: SavedModel, cache_root: Any) -> None:
    """What a strategy calls for each of its replicas places nothing itself."""

    def load() -> None:
        fastload.load_saved_model(str(saved_model.path))

    strategy("OneDeviceStrategy", "/CPU:0").run(load)
    report = fastload.last_load()
    assert report is not None
    assert report.code == "FL206"


@pytest.mark.parametrize("arguments", [{"device": "/CPU:0"}, {"memory_budget": "1GiB"}])
def test_a_strategy_and_what_places_weights_too(
    arguments: dict[str, str], saved_model: SavedModel, cache_root: Any
) -> None:
    with one_device(None), pytest.raises(fastload.errors.UnsupportedRequestError):
        fastload.load_model(
            saved_model.path,
            keras=saved_model.form.package,  # type: ignore[arg-type]
            strict=True,
            **arguments,
        )


OTHER_DEVICE = """
import json, sys
import tensorflow as tf
import fastload

cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
path, archive, package = sys.argv[1:]
stock = __import__(package)
scenes = [lambda: tf.device("/CPU:1"), tf.distribute.OneDeviceStrategy("/CPU:1").scope]
loads = [
    (tf.saved_model.load, lambda path: fastload.load_saved_model(path, strict=True), path),
    (
        stock.models.load_model,
        lambda path: fastload.load_model(path, keras=package, strict=True),
        archive,
    ),
]
for scene in scenes:
    for stocks, ours, place in loads:
        for load in (ours, ours, stocks):
            with scene():
                loaded = load(place)
            found = [getattr(each, "_value", each) for each in loaded.variables]
            print(json.dumps([(each.device, each.numpy().tolist()) for each in found]))
"""


@pytest.mark.slow
def test_weights_are_on_the_device_of_the_scene(
    saved_model: SavedModel, saved_once: Any, cache_root: Any, run_python: RunPython
) -> None:
    """Which is another one than that of the twin's pages."""
    form = KERAS3_ARCHIVE if version_of("keras").startswith("3.") else KERAS2_HDF5
    printed = run_python(OTHER_DEVICE, saved_model.path, saved_once(form), form.package)
    lines = [json.loads(line) for line in printed.splitlines()]

    assert len(lines) == 12
    for cold, warm, stock in zip(*[iter(lines)] * 3, strict=True):
        assert cold == warm == stock
        assert all("CPU:1" in device for device, _ in stock)
