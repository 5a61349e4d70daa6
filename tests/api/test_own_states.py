"""Layers that read their own state out of a file: what they do with it is stock's business."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.report import Outcome
from tests.api.test_load_weights import _legacy, _weights, aged, keras_of
from tests.installed import is_before
from tests.small_models import assert_same_arrays, package_of

tf = pytest.importorskip("tensorflow")

Read = Callable[[Any, Any], None]
Load = Callable[..., Any]
NEWEST = 3


def centred(self: Any, store: Any) -> None:
    """Change the array in place, after a variable got it."""
    weight = np.asarray(store["0"])
    if not weight.flags.writeable:
        weight = store["0"][()]
    self.kernel.assign(weight)
    weight -= weight.mean()
    self.other.assign(weight)


def twice(self: Any, store: Any) -> None:
    """Change what was read, and read again: the file has not changed."""
    weight = np.asarray(store["0"])
    if weight.flags.writeable:
        weight *= 0
    self.kernel.assign(store["0"])
    self.other.assign(dict(store)["0"])


def kept(self: Any, store: Any) -> None:
    """Keep the array, and change it later."""
    self.kernel.assign(store["0"])
    self.raw = store["0"][()]


def in_a_function(self: Any, store: Any) -> None:
    """Assign in a function that is traced for that."""

    @tf.function
    def assign(value: Any) -> None:
        self.kernel.assign(value)

    assign(tf.constant(np.asarray(store["0"])))


def never_in_a_function(self: Any, store: Any) -> None:
    """Assign in a branch that is traced, and not taken."""

    @tf.function
    def assign(value: Any, *, is_wanted: Any) -> None:
        if is_wanted:
            self.kernel.assign(value)

    assign(tf.constant(np.asarray(store["0"])), is_wanted=tf.constant(value=False))


def by_a_traced_function(self: Any, store: Any) -> None:
    """Read a variable by a function that was traced before it got its value."""
    self.kernel.assign(store["0"])
    self.total()


def only_of_h5py(self: Any, store: Any) -> None:
    """Use what an array has not."""
    found = np.empty((4, 2), "float32")
    store["0"].read_direct(found)
    self.kernel.assign(found)


def that_fails(self: Any, store: Any) -> None:
    """Fail after half of the work."""
    self.kernel.assign(store["0"])
    self.other.assign_add(np.ones((4, 2)))
    raise ValueError("no")


READS = (
    *(centred, twice, kept, in_a_function, never_in_a_function, by_a_traced_function, only_of_h5py),
    that_fails,
)
IN_ANY_KERAS = pytest.mark.parametrize("generation", [3, 2], ids=["keras3", "keras2"])


def layer_class(keras: Any, read: Read) -> Any:
    class Own(keras.layers.Layer):  # type: ignore[misc, name-defined]
        """A layer with a state of its own."""

        is_asked = False

        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(shape=(4, 2), name="kernel")
            self.other = self.add_weight(
                shape=(4, 2), name="other", initializer="zeros", trainable=False
            )

            @tf.function
            def total() -> None:
                self.other.assign(self.kernel * 2)

            self.total = total
            total()
            self.built = True

        def call(self, rows: Any) -> Any:
            return tf.matmul(rows, self.kernel)

        def save_own_variables(self, store: Any) -> None:
            store["0"] = self.kernel.numpy()

        def load_own_variables(self, store: Any) -> None:
            Own.is_asked = True
            read(self, store)

    return Own


def network(keras: Any, layer: Any, seed: int = 1) -> Any:
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((4,)), layer(name="own"), keras.layers.Dense(3)])


def outcome_of(load: Callable[[], Any], model: Any) -> list[Any]:
    """Return what a load says, and what the model is then."""
    try:
        load()
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    else:
        said = "loaded"
    own = model.layers[0]
    if hasattr(own, "raw"):
        own.raw = np.array(own.raw)
    return [said, *model.get_weights(), np.asarray(own.total() or own.other)]


@IN_ANY_KERAS
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.filterwarnings("ignore:A total of 1 objects could not be loaded")
@pytest.mark.filterwarnings("ignore:Could not load weights")
def test_weights_are_those_of_stock(
    tmp_path: Path, cache_root: Path, generation: int, read: Read, *, skips: bool
) -> None:
    """The stock function loads into such a model, from the beginning."""
    keras = keras_of(generation)
    layer = layer_class(keras, read)
    path = tmp_path / "m.weights.h5"
    network(keras, layer).save_weights(path)
    aged(path)
    options = {"skip_mismatch": True} if skips else {}
    theirs, ours = (network(keras, layer, seed=2) for _ in range(2))
    expected = outcome_of(lambda: theirs.load_weights(path, **options), theirs)
    found = outcome_of(lambda: fastload.load_weights(ours, path, **options), ours)
    report = fastload.last_load()

    assert found[0] == expected[0]
    assert_same_arrays(expected[1:], found[1:])
    assert report is not None
    if layer.is_asked:  # Keras wrote layers one by one before 2.13
        assert report.outcome is Outcome.BYPASS
        assert report.reason == "Own has a load_own_variables of its own"


@IN_ANY_KERAS
@pytest.mark.parametrize("read", READS)
def test_a_loaded_model_is_that_of_stock(
    tmp_path: Path, cache_root: Path, generation: int, read: Read
) -> None:
    """It is served where the layer takes an array for what it gets."""
    keras = keras_of(generation)
    if not hasattr(keras.layers.Layer, "load_own_variables"):
        pytest.skip("this Keras has no such method")
    layer = layer_class(keras, read)
    path = tmp_path / "m.keras"
    network(keras, layer).save(path)
    custom = {"Own": layer}
    stock = partial(keras.models.load_model, custom_objects=custom)
    ours = partial(fastload.load_model, custom_objects=custom, keras=package_of(generation))
    expected, *found = [loaded(keras, load, path) for load in (stock, ours, ours)]
    report = fastload.last_load()

    for each in found:
        assert_same_arrays(expected, each)
    assert report is not None
    can_be_served = expected and read is not only_of_h5py
    assert report.outcome is (Outcome.HIT if can_be_served else Outcome.BYPASS)


def loaded(keras: Any, load: Load, path: Path) -> list[Any]:
    """Return the weights of a model, after its layer changed what it kept; none where it fails."""
    keras.utils.set_random_seed(3)
    try:
        model = load(path)
    except (ValueError, AttributeError):
        return []
    if hasattr(model.layers[0], "raw"):
        model.layers[0].raw[...] = 0
    weights: list[Any] = model.get_weights()
    return weights


@IN_ANY_KERAS
def test_what_is_done_when_the_weights_are_there_is_stocks(
    tmp_path: Path, cache_root: Path, generation: int
) -> None:
    """`finalize_state` of a program's may call functions that were traced before."""
    keras = keras_of(generation)
    made = layer_class(keras, centred)

    class Finalizing(made):  # type: ignore[misc, valid-type]
        """It computes something from its weights."""

        def finalize_state(self) -> None:
            self.total()

    path = tmp_path / "m.h5"
    save_layers(generation, network(keras, Finalizing), path)
    theirs, ours = (network(keras, Finalizing, seed=2) for _ in range(2))
    theirs.load_weights(path)
    fastload.load_weights(ours, path)
    report = fastload.last_load()

    assert_same_arrays(theirs.get_weights(), ours.get_weights())
    assert report is not None
    if generation == 2 or not is_before("3.6"):  # others leave it to who calls the layer
        assert report.reason == "Finalizing has a finalize_state of its own"


def save_layers(generation: int, model: Any, path: Path) -> None:
    """Save the weights of a model layer by layer, as Keras 2 does."""
    (_legacy if generation == NEWEST else _weights)(model, path)
    aged(path)


@IN_ANY_KERAS
@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
def test_a_tape_notices_what_is_assigned(
    tmp_path: Path, cache_root: Path, generation: int, suffix: str
) -> None:
    """As many variables are watched as in stock."""
    keras = keras_of(generation)

    def made() -> Any:
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])

    path = tmp_path / f"m{suffix}"
    if suffix == ".h5":
        save_layers(generation, made(), path)
    else:
        made().save_weights(path)
        aged(path)
    watched = []
    for load in (lambda model: model.load_weights(path), lambda m: fastload.load_weights(m, path)):
        with tf.GradientTape() as tape:
            load(made())
        watched.append(len(tape.watched_variables()))

    assert watched[0] == watched[1]
    report = fastload.last_load()
    assert report is not None
    assert "tf.GradientTape" in str(report.reason)
