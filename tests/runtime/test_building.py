"""Models that are built in `fastload.blank()`: nothing but the speed tells them from stock's.

Each program runs twice from the same seeds, as it is and in the block. All that it looked at, the
weights, and what is drawn at random afterwards must be the same to the bit.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import os
import pickle
import random
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastload
from fastload import unfinished
from fastload.runtime.core import blank_variables
from fastload.runtime.core.blank_variables import is_blank
from fastload.runtime.core.rebuild import current_rebuild
from tests.needs import skip_in_first_keras_3
from tests.runtime.variable_reads import (
    KERAS_INITIALIZERS,
    LAYERS,
    READS,
    Arrays,
    draws,
    seed,
    variable_of,
)
from tests.small_models import INPUTS, KERAS2_HDF5, KERAS3_ARCHIVE, Form, assert_same_arrays

tf = pytest.importorskip("tensorflow")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

Block = Callable[[], contextlib.AbstractContextManager[Any]]
#: What a program looks at, given what it builds its models in.
Program = Callable[[Block], Arrays]


@pytest.fixture(scope="module", params=[KERAS2_HDF5, KERAS3_ARCHIVE], ids=["keras2", "keras3"])
def keras(request: pytest.FixtureRequest) -> Any:
    form: Form = request.param
    return form.stock


def check(keras: Any, program: Program) -> None:
    """Check that *program* sees the same in blocks of `blank` as in stock."""
    found: list[Arrays] = []
    for block in (contextlib.nullcontext, fastload.blank):
        keras.backend.clear_session()  # names are counted from the beginning
        seed(keras)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # AutoGraph's, on Python 3.13, of each function once.
            warnings.filterwarnings("ignore", ".*___pyct_anno", DeprecationWarning)
            seen = [np.asarray(each).copy() for each in program(block)]
        said = [np.array(str(each.message).encode()) for each in caught]
        found.append([*seen, *said, *draws(keras)])
    assert_same_arrays(*found)


def dense(keras: Any, units: int = 3, **arguments: Any) -> Any:
    layer = keras.layers.Dense(units, **arguments)
    layer.build((None, 4))
    return layer


def normalization(keras: Any) -> Any:
    layer = keras.layers.BatchNormalization()
    layer.build((None, 4))
    return layer


def network(keras: Any, *layers: Any) -> Any:
    return keras.Sequential([keras.Input((4,)), *layers])


def is_random_late(keras: Any) -> bool:
    """Say whether this Keras can draw late: that of TensorFlow 2.8 counts its draws."""
    first, second = (keras.initializers.GlorotUniform(seed=1)((9, 9)) for _ in range(2))
    return np.array_equal(first, second)


def test_variables_stay_blank_until_they_are_assigned(
    keras: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No initial value is made of what gets another."""
    values = [np.full((4, 3), 2, "float32"), np.ones(3, "float32")]
    with fastload.blank():
        layer = dense(keras)
    assert is_blank(variable_of(layer.bias))
    assert is_blank(variable_of(layer.kernel)) == is_random_late(keras)
    monkeypatch.setattr(blank_variables, "fill", pytest.fail)

    layer.set_weights(values)

    monkeypatch.undo()
    assert_same_arrays(layer.get_weights(), values)
    ordinary = dense(keras)
    for ours, theirs in zip(layer.weights, ordinary.weights, strict=True):
        assert type(variable_of(ours)) is type(variable_of(theirs))
        assert vars(variable_of(ours)).keys() == vars(variable_of(theirs)).keys()


@pytest.mark.parametrize("is_inside", [True, False], ids=["inside", "outside"])
@pytest.mark.parametrize("name", sorted(READS))
def test_each_way_to_read_shows_the_initial_value(keras: Any, name: str, is_inside: bool) -> None:
    def program(block: Block) -> Arrays:
        with block():
            layer = dense(keras, 4)
            if is_inside:
                seen = READS[name](layer.kernel)
        if not is_inside:
            seen = READS[name](layer.kernel)
        return [seen, layer.kernel, layer.bias]

    check(keras, program)


@pytest.mark.parametrize("name", ["build_graph", "scratch_graph", "my_scratch_graph_3"])
def test_a_function_may_be_called_like_a_graph_of_keras(keras: Any, name: str) -> None:
    """Keras makes such graphs to look at; a program runs its functions."""

    def program(block: Block) -> Arrays:
        with block():
            layer = dense(keras)

        def call(rows: Any) -> Any:
            return layer(rows)

        call.__name__ = name
        return [tf.function(call)(INPUTS), layer.kernel]

    check(keras, program)


def test_each_initializer_may_come_late_in_any_order(keras: Any) -> None:
    kinds = [getattr(keras.initializers, name) for name in KERAS_INITIALIZERS]
    seeded = [kind for kind in kinds if "seed" in inspect.signature(kind).parameters]

    def program(block: Block) -> Arrays:
        made = [kind() for kind in kinds]
        made += [*made, *(kind(seed=3) for kind in seeded), keras.initializers.Constant(2.5)]
        with block():
            layers = [dense(keras, 5, kernel_initializer=each) for each in made]
        return [each.kernel for each in reversed(layers)]

    check(keras, program)


def test_seeds_that_are_set_later_change_nothing(keras: Any) -> None:
    """Nor do two models of the same seed, of which the first is read last."""

    def program(block: Block) -> Arrays:
        found = []
        with block():
            for number in (7, 7, 8):
                keras.utils.set_random_seed(number)
                found.append(dense(keras))
                keras.utils.set_random_seed(5)
        keras.utils.set_random_seed(11)
        return [each.kernel for each in reversed(found)]

    check(keras, program)


def test_an_initializer_that_is_changed_later_is_asked_as_it_was(keras: Any) -> None:
    def program(block: Block) -> Arrays:
        glorot, constant = keras.initializers.GlorotUniform(), keras.initializers.Constant(3.0)
        with block():
            layer = dense(keras, kernel_initializer=glorot, bias_initializer=constant)
        glorot.scale, glorot.distribution, constant.value = 5.0, "truncated_normal", 4.0
        return [layer.kernel, layer.bias]

    check(keras, program)


@pytest.mark.parametrize("kind", ["class", "function", "subclass", "generator", "array"])
def test_what_depends_on_its_moment_is_drawn_at_once(keras: Any, kind: str) -> None:
    if kind == "generator" and not hasattr(keras, "random"):
        pytest.skip("Keras 2 has no such seeds")
    order: list[Any] = []

    def drawn(shape: Any, dtype: Any = None, **_: Any) -> Any:
        order.append(random.random())
        return tf.random.normal(shape, dtype=dtype) * np.random.rand()  # noqa: NPY002

    class Drawing(keras.initializers.Initializer):  # type: ignore[misc]
        def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
            return drawn(shape, dtype)

    class Derived(keras.initializers.RandomNormal):  # type: ignore[misc]
        def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
            return super().__call__(shape, dtype) + drawn(shape, dtype)

    def program(block: Block) -> Arrays:
        order.clear()
        made: dict[str, Callable[[], Any]] = {
            "class": Drawing,
            "function": lambda: drawn,
            "subclass": Derived,
            "generator": lambda: keras.initializers.HeNormal(keras.random.SeedGenerator(1)),
            "array": lambda: keras.initializers.Constant(np.ones((4, 3))),
        }
        initializer = made[kind]()
        with block():
            layers = [dense(keras, kernel_initializer=initializer) for _ in range(2)]
            assert not is_blank(variable_of(layers[0].kernel))
            layers.append(dense(keras))
        return [*(each.kernel for each in reversed(layers)), *order]

    check(keras, program)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_keras_are_as_in_stock(keras: Any, name: str) -> None:
    """Built, called, and read afterwards; some of the weights are assigned."""

    def program(block: Block) -> Arrays:
        with block():
            model = network(keras, *LAYERS[name](keras.layers))
            model.weights[0].assign(np.ones(model.weights[0].shape))
        outputs = model(INPUTS)
        return [outputs, model(INPUTS, training=True), *model.get_weights()]

    check(keras, program)


def test_a_layer_may_read_its_variables_while_it_is_built(keras: Any) -> None:
    class Normalized(keras.layers.Dense):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            super().build(shape)
            self.norm = tf.norm(tf.convert_to_tensor(self.kernel))
            self.first = self.get_weights()

        def call(self, inputs: Any) -> Any:
            return super().call(inputs) / self.norm

    def program(block: Block) -> Arrays:
        with block():
            model = network(keras, Normalized(4), keras.layers.Dense(2))
        return [model(INPUTS), *model.layers[-2].first, *model.get_weights()]

    check(keras, program)


def test_models_in_a_row_draw_in_order(keras: Any) -> None:
    """Two in a block, one read and one not, one after it."""

    def program(block: Block) -> Arrays:
        with block():
            first = network(keras, keras.layers.Dense(4), keras.layers.Dropout(0.5))
            second = network(keras, keras.layers.Dense(4), keras.layers.Dense(2))
            seen = second.get_weights()
        third = network(keras, keras.layers.Dense(4))
        return [*third.get_weights(), *seen, third(INPUTS), first(INPUTS, training=True)]

    check(keras, program)


@pytest.mark.parametrize("is_inside", [True, False], ids=["inside", "outside"])
def test_a_model_that_is_never_loaded_is_trained_as_in_stock(keras: Any, is_inside: bool) -> None:
    def program(block: Block) -> Arrays:
        with contextlib.ExitStack() as stack:
            stack.enter_context(block())
            model = network(keras, keras.layers.Dense(4), keras.layers.BatchNormalization())
            model.compile(keras.optimizers.Adam(0.1), keras.losses.MeanSquaredError())
            if not is_inside:
                stack.close()
            told = model.fit(INPUTS, np.ones((3, 4)), epochs=2, shuffle=False, verbose=0)
            predicted = model.predict(INPUTS, verbose=0)
        optimizer = model.optimizer.variables
        variables = optimizer() if callable(optimizer) else optimizer
        return [told.history["loss"], predicted, *model.get_weights(), *variables]

    check(keras, program)


def test_functions_that_are_traced_in_the_block_run_after_it(keras: Any) -> None:
    """Traced by a program, by a layer, in a loop of a function; graphs hold no blank variable."""

    class Traced(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(name="k", shape=(4, 4), initializer="he_normal")
            super().build(shape)

        @tf.function
        def doubled(self) -> Any:
            return 2.0 * tf.convert_to_tensor(self.kernel)

        def call(self, inputs: Any) -> Any:
            return tf.matmul(inputs, self.doubled())

    def program(block: Block) -> Arrays:
        with block():
            layer, traced = dense(keras, 4), Traced()
            model = network(keras, traced)

            @tf.function
            def looped(value: Any) -> Any:
                for _ in tf.range(2):
                    value = tf.matmul(value, tf.convert_to_tensor(layer.kernel))
                return value

            run = looped.get_concrete_function(tf.TensorSpec((3, 4)))
        return [run(tf.constant(INPUTS)), traced.doubled(), model(INPUTS), layer.kernel]

    check(keras, program)


@pytest.mark.parametrize("what", ["deepcopy", "clone", "json", "checkpoint"])
def test_what_is_made_of_a_blank_model_is_as_in_stock(
    keras: Any, what: str, tmp_path: Path
) -> None:
    def checkpointed(model: Any) -> Any:
        path = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
        reader = tf.train.load_checkpoint(path)
        names = sorted(reader.get_variable_to_shape_map())
        return [reader.get_tensor(name) for name in names if name.endswith("VALUE")]

    made: dict[str, Callable[[Any], Any]] = {
        "deepcopy": lambda model: copy.deepcopy(model.layers[-1].bias).numpy(),
        "clone": lambda model: keras.models.clone_model(model).get_weights(),
        "json": lambda model: keras.models.model_from_json(model.to_json()).get_weights(),
        "checkpoint": checkpointed,
    }

    def program(block: Block) -> Arrays:
        with block():
            model = network(keras, keras.layers.Dense(4), keras.layers.Dense(2))
        found = made[what](model)
        return [*(found if isinstance(found, list) else [found]), *model.get_weights()]

    check(keras, program)


def test_a_pickled_model_has_its_weights(keras: Any) -> None:
    if not hasattr(keras, "random"):
        pytest.skip("Keras 2 pickles through a SavedModel or a file, where it can")
    skip_in_first_keras_3(3)

    def program(block: Block) -> Arrays:
        with block():
            model = network(keras, keras.layers.Dense(4))
        opened = pickle.loads(pickle.dumps(model))
        return [*opened.get_weights(), *model.get_weights()]

    check(keras, program)


def test_an_error_in_the_block_leaves_keras_and_what_was_made(keras: Any) -> None:
    stock = keras.layers.Layer.__setattr__

    def program(block: Block) -> Arrays:
        made: list[Any] = []

        def failing() -> None:
            with block():
                made.append(dense(keras))
                raise RuntimeError("not today")

        with pytest.raises(RuntimeError, match="not today"):
            failing()
        made.append(dense(keras))
        return [each.kernel for each in reversed(made)]

    check(keras, program)
    assert keras.layers.Layer.__setattr__ is stock


def test_blocks_may_be_nested(keras: Any) -> None:
    def program(block: Block) -> Arrays:
        with block():
            first = dense(keras)
            with block():
                second = dense(keras)
            third = dense(keras)
        return [third.kernel, second.kernel, first.kernel]

    check(keras, program)


def test_other_threads_build_as_ever(keras: Any) -> None:
    made: list[Any] = []
    with fastload.blank():
        thread = threading.Thread(target=lambda: made.append(dense(keras)))
        thread.start()
        thread.join()

    assert not is_blank(variable_of(made[0].bias))


def test_threads_never_see_zeros(keras: Any) -> None:
    """One assigns, the others read: they see the initial value, or the new one."""
    constant = keras.initializers.Constant(3.0)
    seen: set[float] = set()
    for _ in range(20):
        with fastload.blank():
            layer = dense(keras, kernel_initializer=constant)
        start = threading.Barrier(3)

        def read(layer: Any = layer, start: Any = start) -> None:
            start.wait()
            seen.update(np.unique(np.asarray(layer.kernel)).tolist())

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        start.wait()
        layer.kernel.assign(np.full((4, 3), 5, "float32"))
        for thread in threads:
            thread.join()

    assert seen <= {3.0, 5.0}


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_assignment_that_fails_leaves_the_initial_value(
    keras: Any, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fastload.blank():
        layer = dense(keras, bias_initializer="ones")
    variable = variable_of(layer.bias)

    def failing(*_: Any, **__: Any) -> Any:
        raise error

    final = type(variable).__bases__[1]
    with monkeypatch.context() as patched:
        patched.setattr(final, "assign", failing)
        with pytest.raises(error):
            variable.assign(np.zeros(3, "float32"))

    assert is_blank(variable)
    assert np.asarray(layer.bias).tolist() == [1.0, 1.0, 1.0]


def interrupted_at(step: int, program: Callable[[], Any]) -> int:
    """Run *program*, with an interrupt at a line of fastload's; return how many lines ran."""
    lines = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal lines
        if not str(frame.f_globals.get("__name__")).startswith("fastload."):
            return None
        if event == "line":
            lines += 1
            if lines == step:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            program()
    finally:
        sys.settrace(before)
        free_locks()
    return lines


def free_locks() -> None:
    """Free what this thread holds: a tracer also raises where no interrupt comes.

    That is between the end of a `with` block and the release of its lock; later tests would wait.
    """
    for found in [each() for each in unfinished._locks]:
        while found is not None and found._is_owned():
            found.release()


def test_an_interrupt_at_any_step_leaves_nothing(keras: Any) -> None:
    stock, thresholds = keras.layers.Layer.__setattr__, gc.get_threshold()
    constant, kept = keras.initializers.Constant(3.0), []

    def program() -> None:
        with fastload.blank():
            kept.append(dense(keras, kernel_initializer=constant))
            kept[-1].bias.assign(np.ones(3, "float32"))
            np.asarray(kept[-1].kernel)

    count = interrupted_at(0, program)
    for step in range(1, count, max(1, count // 60)):
        interrupted_at(step, program)

        assert keras.layers.Layer.__setattr__ is stock
        assert gc.get_threshold() == thresholds
        assert current_rebuild() is None
    assert {float(each) for layer in kept for each in np.unique(np.asarray(layer.kernel))} == {3.0}
    assert {float(each) for layer in kept for each in np.unique(np.asarray(layer.bias))} <= {0, 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_child_of_a_fork_reads_what_stock_has_there(keras: Any) -> None:
    """It cannot draw: TensorFlow's threads are not there."""
    with fastload.blank():
        layer = dense(keras, bias_initializer="ones")
    child = os.fork()
    if not child:
        os._exit(int(np.asarray(layer.bias).sum()))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert not is_blank(variable_of(layer.kernel))


PLAIN_SCOPES: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "disabled": fastload.disabled,
    "strategy": lambda: tf.distribute.OneDeviceStrategy("/cpu:0").scope(),
    "creator": lambda: tf.variable_creator_scope(lambda make, **arguments: make(**arguments)),
}


@pytest.mark.parametrize("scope", PLAIN_SCOPES)
def test_where_variables_are_no_ordinary_ones_nothing_changes(keras: Any, scope: str) -> None:
    with PLAIN_SCOPES[scope](), fastload.blank():
        layer = dense(keras)

    assert not is_blank(variable_of(layer.bias))


def test_it_changes_nothing_where_the_environment_switches_fastload_off(
    keras: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTLOAD_DISABLE", "1")
    with fastload.blank():
        layer = dense(keras)

    assert not is_blank(variable_of(layer.bias))


def test_variables_that_a_function_makes_are_as_in_stock(keras: Any) -> None:
    def program(block: Block) -> Arrays:
        made: list[Any] = []

        @tf.function
        def function(value: Any) -> Any:
            if not made:
                made.append(keras.layers.Dense(4))
            return made[0](value)

        with block():
            first = function(tf.constant(INPUTS))
        return [first, function(tf.constant(INPUTS)), made[0].kernel]

    check(keras, program)


def test_the_collector_is_as_before_after_the_block() -> None:
    before = gc.get_threshold()
    with fastload.blank():
        inside = gc.get_threshold()
        with fastload.blank():
            pass

    assert inside[:2] == before[:2]
    assert inside[2] > before[2]
    assert gc.get_threshold() == before


def test_what_a_program_sets_of_the_collector_stays() -> None:
    before = gc.get_threshold()
    try:
        with fastload.blank():
            gc.set_threshold(900, 11, 12)
        assert gc.get_threshold() == (900, 11, 12)
    finally:
        gc.set_threshold(*before)


def test_a_loaded_model_in_the_block_is_as_ever(keras: Any, tmp_path: Path) -> None:
    """A restore in a block fills what it made."""
    path = tmp_path / "model.h5"
    network(keras, keras.layers.Dense(4)).save(path)
    package = keras.models.load_model.__module__.partition(".")[0]

    with fastload.blank():
        model = fastload.load_model(path, keras=package, strict=True)

    assert not any(is_blank(variable_of(each)) for each in model.weights)


WEIGHTS = [".weights.h5", ".h5"]


@pytest.mark.parametrize("suffix", WEIGHTS)
@pytest.mark.parametrize("made", ["built", "from_json"])
def test_what_is_built_and_loaded_gets_no_initial_values(
    keras: Any, suffix: str, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"m{suffix}"
    layers = LAYERS["convolutions"](keras.layers)
    saved = network(keras, *layers, keras.layers.Dense(2, kernel_initializer="orthogonal"))
    if suffix == ".h5" and hasattr(keras, "random"):
        saved.save(path)  # weights alone have another suffix in Keras 3
    else:
        saved.save_weights(path)
    text = saved.to_json()
    filled: list[Any] = []
    fill = blank_variables.fill
    monkeypatch.setattr(blank_variables, "fill", lambda each: filled.append(each) or fill(each))

    with fastload.blank():
        if made == "built":
            model = keras.Sequential.from_config(saved.get_config())
        else:
            model = keras.models.model_from_json(text)
        model.load_weights(path)

    assert filled == []
    assert_same_arrays(saved.get_weights(), model.get_weights())
    assert_same_arrays([np.asarray(saved(INPUTS))], [np.asarray(model(INPUTS))])


def test_a_checkpoint_of_tensorflow_is_restored_into_a_blank_model(
    keras: Any, tmp_path: Path
) -> None:
    """What it lacks has its initial value."""
    path = str(tmp_path / "checkpoint")
    tf.train.Checkpoint(layer=dense(keras)).write(path)

    def program(block: Block) -> Arrays:
        with block():
            layers = [dense(keras), dense(keras)]
            tf.train.Checkpoint(layer=layers[0], other=layers[1]).read(path).expect_partial()
        return [weight for layer in layers for weight in layer.weights]

    check(keras, program)


def test_applications_open_local_weights_in_the_block(keras: Any, tmp_path: Path) -> None:
    def make(weights: Any) -> Any:
        return keras.applications.MobileNet((32, 32, 3), 0.25, weights=weights, classes=3)

    saved = make(None)
    path = tmp_path / "mobile.weights.h5"
    saved.save_weights(path)

    def program(block: Block) -> Arrays:
        with block():
            model = make(str(path))
        return [model(np.ones((1, 32, 32, 3), "float32")), *model.get_weights()]

    check(keras, program)
    with fastload.blank():
        assert_same_arrays(saved.get_weights(), make(str(path)).get_weights())


STEPS = st.lists(
    st.sampled_from(
        ["dense", "orthogonal", "seeded", "shared", "custom", "norm", "read", "assign", "draw"]
    ),
    max_size=12,
)


@settings(max_examples=12, derandomize=True)
@given(steps=STEPS, after=st.permutations(range(12)))
def test_programs_of_any_order_see_the_same(keras: Any, steps: list[str], after: list[int]) -> None:
    """Layers of all kinds, reads and draws in between, and the rest read in any order."""

    def program(block: Block) -> Arrays:
        shared, layers, seen = keras.initializers.HeNormal(), [], []

        def custom(shape: Any, dtype: Any = None) -> Any:
            return tf.random.normal(shape, dtype=dtype) + random.random()

        makers: dict[str, Callable[[], Any]] = {
            "dense": lambda: dense(keras),
            "orthogonal": lambda: dense(keras, kernel_initializer="orthogonal"),
            "seeded": lambda: dense(keras, kernel_initializer=keras.initializers.HeNormal(seed=1)),
            "shared": lambda: dense(keras, kernel_initializer=shared),
            "custom": lambda: dense(keras, kernel_initializer=custom),
            "norm": lambda: normalization(keras),
        }
        with block():
            for step in steps:
                if step in makers:
                    layers.append(makers[step]())
                elif step == "draw":
                    seen.append(getattr(keras, "random", tf.random).normal((2,)))
                elif layers and step == "read":
                    seen.append(np.asarray(layers[-1].weights[0]).copy())
                elif layers:
                    layers[-1].weights[0].assign(layers[-1].weights[0] * 2.0)
        order = [layers[index] for index in after if index < len(layers)]
        return [*seen, *(weight for layer in order for weight in layer.weights)]

    check(keras, program)
