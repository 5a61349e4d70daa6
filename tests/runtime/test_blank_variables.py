"""Variables that are read before they have their weights: what stock would show is there.

Each model is loaded by the stock loader and by a hit, from the same seeds. What its code saw while
it was built, the weights, and what is drawn at random afterwards must be the same to the bit.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.report import Outcome
from tests.installed import is_before
from tests.needs import IS_EARLY_KERAS_3, NEEDS_MATURE_KERAS_3, skip_in_first_keras_3
from tests.runtime.variable_reads import (
    KERAS_INITIALIZERS,
    LAYERS,
    READS,
    Arrays,
    draws,
    seed,
    variable_of,
)
from tests.small_models import (
    FORMS,
    INPUTS,
    KERAS2_ARCHIVE,
    KERAS2_HDF5,
    KERAS3_ARCHIVE,
    KERAS3_HDF5,
    SAVED_MODEL,
    Form,
    assert_same_arrays,
    by_format,
    save,
    values,
)

tf = pytest.importorskip("tensorflow")

#: Some of what stock warns of at a save; what it warns of at a load is compared.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
in_each_form = pytest.mark.parametrize("form", [by_format(form) for form in FORMS])
in_two_forms = pytest.mark.parametrize(
    "form", [KERAS2_HDF5, KERAS3_ARCHIVE], ids=lambda form: form.id
)
Look = Callable[[Any], Arrays]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where models of a test are saved, and what their code saw at the last load."""

    form: Form
    path: Path
    seen: Arrays

    @property
    def keras(self) -> Any:
        return self.form.stock

    def save(self, *layers: Any, optimizer: Any = None) -> None:
        """Save a model of *layers*, compiled if there is an *optimizer*."""
        inputs = outputs = self.keras.Input((4,))
        for layer in layers:
            outputs = layer(outputs)
        model = self.keras.Model(inputs, outputs)
        if optimizer is not None:
            model.compile(optimizer, self.keras.losses.MeanSquaredError())
        save(model, self.path)

    def loads(self, objects: dict[str, Any], *, also: Look = lambda _: []) -> None:
        """Load by stock and by a hit; check that nothing tells them apart.

        Args:
            objects: the custom objects.
            also: what is looked at besides, given the model.
        """
        keras = self.form.package
        fastload.load_model(self.path, objects, keras=keras, strict=True)
        expected = self._found(
            lambda: self.keras.models.load_model(self.path, custom_objects=objects), also
        )
        actual = self._found(
            lambda: fastload.load_model(self.path, objects, keras=keras, strict=True), also
        )
        report = fastload.last_load()

        assert report is not None
        assert report.outcome is Outcome.HIT
        assert expected[0] or expected[-1] or not objects
        for theirs, ours in zip(expected, actual, strict=True):
            assert_same_arrays(theirs, ours)

    def _found(self, load: Callable[[], Any], also: Look) -> list[Arrays]:
        self.seen.clear()
        seed(self.keras)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = load()
        said = [np.array(str(each.message).encode()) for each in caught]
        seen, after = list(self.seen), draws(self.keras)
        return [seen, after, said, model.get_weights(), [np.asarray(model(INPUTS))], also(model)]

    def sees(self, value: Any) -> None:
        """Remember *value*."""
        self.seen.append(np.asarray(value).copy())


@pytest.fixture
def stage(form: Form, tmp_path: Path, cache_root: Path) -> Stage:
    return Stage(form=form, path=tmp_path / f"m{form.suffix}", seen=[])


def reading_layer(stage: Stage, read: Callable[[Any], Any]) -> Any:
    """Return a class of layers that read their kernel while they are built."""

    class Reading(stage.keras.layers.Dense):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            super().build(shape)
            stage.sees(read(self.kernel))

    return Reading


@in_two_forms
def test_each_way_to_read_a_variable_shows_its_initial_value(stage: Stage) -> None:
    class Reading(stage.keras.layers.Dense):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            super().build(shape)
            stage.sees(self.name.encode())
            stage.sees(READS[self.name](self.kernel))

    stage.save(*(Reading(4, name=name) for name in READS))

    stage.loads({"Reading": Reading})


@in_each_form
def test_a_layer_that_remembers_its_first_weights_goes_back_to_them(stage: Stage) -> None:
    """It is reset after the load: this is what its code is for."""

    class Resettable(stage.keras.layers.Dense):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            super().build(shape)
            self.first = self.get_weights()
            stage.sees(self.first[0])

        def reset(self) -> Arrays:
            self.set_weights([np.asarray(each) for each in self.first])
            return list(self.get_weights())

    stage.save(Resettable(4, name="a"), Resettable(4, name="b", bias_initializer="ones"))

    stage.loads({"Resettable": Resettable}, also=lambda model: model.get_layer("b").reset())


@in_each_form
def test_a_teacher_that_is_made_in_a_constructor_has_its_weights(stage: Stage) -> None:
    keras = stage.keras

    class Taught(keras.layers.Dense):  # type: ignore[misc]
        def __init__(self, units: int, **arguments: Any) -> None:
            super().__init__(units, **arguments)
            teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)])
            stage.sees(teacher.get_weights()[0])
            stage.sees(teacher(INPUTS))
            stage.sees(teacher.predict(INPUTS, verbose=0))

    stage.save(Taught(4))

    stage.loads({"Taught": Taught})


@in_each_form
def test_a_weight_made_of_another_is_as_in_stock(stage: Stage) -> None:
    """Weight normalization makes its `g` of its `v`; a constraint may be applied at once."""
    keras = stage.keras

    class Normalized(keras.layers.Dense):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            super().build(shape)
            norm = tf.norm(tf.convert_to_tensor(self.kernel), axis=0)
            held = keras.layers.Dense(4)
            held.build((None, 4))
            held.kernel.assign(keras.constraints.UnitNorm()(held.kernel))
            self.derived = lambda: (tf.Variable(norm), held.kernel)
            stage.sees(norm)
            stage.sees(held.kernel)

    stage.save(Normalized(4, name="n"))

    stage.loads(
        {"Normalized": Normalized},
        also=lambda model: [np.asarray(each) for each in model.get_layer("n").derived()],
    )


NEEDS_OPTIMIZERS = pytest.mark.skipif(
    is_before("2.13"), reason="optimizers of this Keras have neither averages nor build()"
)


@NEEDS_OPTIMIZERS
@pytest.mark.parametrize(
    "form",
    # Keras 3 itself cannot train such a model that it loaded from HDF5.
    [by_format(form) for form in FORMS if form is not KERAS3_HDF5],
)
@pytest.mark.parametrize("trained", [False, True])
def test_averages_of_an_optimizer_start_from_what_stock_starts_from(
    stage: Stage, trained: bool
) -> None:
    """They decide how training goes on."""
    keras = stage.keras
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dense(4)(inputs)))
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=2)
    model.compile(optimizer, keras.losses.MeanSquaredError())
    if trained:
        model.fit(INPUTS, np.ones((3, 3)), verbose=0)
    save(model, stage.path)

    def training(loaded: Any) -> Arrays:
        before = values(loaded.optimizer)
        loss = loaded.fit(INPUTS, np.ones((3, 3)), epochs=3, shuffle=False, verbose=0).history
        return [*before, *values(loaded.optimizer), np.array(loss["loss"])]

    stage.loads({}, also=training)


@NEEDS_OPTIMIZERS
@in_each_form
def test_an_optimizer_of_a_program_sees_the_weights_of_then(stage: Stage) -> None:
    """It may start from them; and in which order Keras makes it and assigns them is Keras's."""
    keras = stage.keras

    class Anchored(keras.optimizers.SGD):  # type: ignore[misc]
        def build(self, variables: Any) -> None:
            super().build(variables)
            stage.sees(tf.reduce_sum([tf.reduce_sum(each) for each in variables]))

    stage.save(keras.layers.Dense(4), keras.layers.Dense(3), optimizer=Anchored())

    def trained(model: Any) -> Arrays:
        model.optimizer.build(model.trainable_variables)
        return list(stage.seen)

    stage.loads({"Anchored": Anchored}, also=trained)


INITIALIZERS = ["class", "function", "subclass", "overridden"]


@in_each_form
@pytest.mark.parametrize("kind", INITIALIZERS)
def test_what_a_custom_initializer_draws_is_drawn(stage: Stage, kind: str) -> None:
    """Noise, dropout and the next model depend on it."""
    if kind == "function" and stage.form is KERAS2_HDF5:
        pytest.skip("stock itself cannot load such a file")
    keras = stage.keras

    def drawn(shape: Any, dtype: Any = None, **_: Any) -> Any:
        noise = tf.random if stage.form.generation == 2 else keras.random
        by_others = random.random() + np.random.rand()  # noqa: NPY002
        return tf.random.normal(shape, dtype=dtype) + noise.normal(shape, dtype=dtype) + by_others

    class Drawing(keras.initializers.Initializer):  # type: ignore[misc]
        def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
            stage.sees(0.0)
            return drawn(shape, dtype)

    class Derived(keras.initializers.RandomNormal):  # type: ignore[misc]
        def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
            return super().__call__(shape, dtype) + drawn(shape, dtype)

    class Unchanged(keras.initializers.GlorotUniform):  # type: ignore[misc]
        pass

    made: dict[str, Any] = {
        "class": Drawing(),
        "function": drawn,
        "subclass": Derived(),
        "overridden": Unchanged(),
    }
    reading = reading_layer(stage, np.asarray)
    stage.save(
        keras.layers.Dense(4, kernel_initializer=made[kind]),
        reading(4, kernel_initializer=made[kind]),
        keras.layers.Dense(4),
    )

    stage.loads(
        {
            "Reading": reading,
            "Drawing": Drawing,
            "Derived": Derived,
            "Unchanged": Unchanged,
            "drawn": drawn,
        }
    )


@in_each_form
def test_an_initializer_that_was_replaced_in_keras_is_called(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program may instrument Keras's own."""
    kind = stage.keras.initializers.GlorotUniform
    stock = kind.__call__

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        stage.sees(random.random())
        return stock(self, *args, **kwargs)

    stage.save(stage.keras.layers.Dense(4))
    monkeypatch.setattr(kind, "__call__", counting)

    stage.loads({"none": None})


@in_two_forms
def test_each_initializer_of_keras_can_be_late(stage: Stage) -> None:
    """Read in another order than they were made in, and two layers with one initializer."""
    keras = stage.keras
    kinds = [getattr(keras.initializers, name) for name in KERAS_INITIALIZERS]

    class Late(keras.layers.Dense):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            super().build(shape)
            shared = [kind() for kind in kinds]
            seeded = [kind(seed=3) for kind in kinds if "seed" in kind().get_config()]
            held = [keras.layers.Dense(5, kernel_initializer=each) for each in shared * 2 + seeded]
            for each in held:
                each.build(shape)
            for each in [self, *reversed(held)]:
                stage.sees(each.kernel)

    stage.save(keras.layers.Dense(3), Late(4))

    stage.loads({"Late": Late})


#: Their SavedModels take long to save.
SLOW = ("lstm", "gru")


@pytest.mark.parametrize(
    ("form", "name"),
    [
        by_format(form, name, is_usual=form is KERAS3_ARCHIVE or name not in SLOW)
        for form in FORMS
        for name in LAYERS
    ],
)
def test_layers_of_keras_leave_random_numbers_as_in_stock(stage: Stage, name: str) -> None:
    """With an optimizer, which makes variables too."""
    if name == "gru" and stage.form is KERAS3_ARCHIVE and IS_EARLY_KERAS_3:
        pytest.skip("this Keras does not open it")
    optimizer = stage.keras.optimizers.Adam()
    stage.save(*LAYERS[name](stage.keras.layers), optimizer=optimizer)

    stage.loads({})


@in_each_form
def test_a_usual_hit_reads_no_variable_and_draws_no_values(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blank variables are there for speed."""
    from fastload.runtime.core import blank_variables

    layers, optimizer = stage.keras.layers, stage.keras.optimizers.Adam()
    stage.save(*LAYERS["convolutions"](layers), layers.Dense(3), optimizer=optimizer)
    fastload.load_model(stage.path, keras=stage.form.package, strict=True)
    filled: Arrays = []
    monkeypatch.setattr(blank_variables, "fill", filled.append)

    fastload.load_model(stage.path, keras=stage.form.package, strict=True)

    assert filled == []


@in_each_form
def test_after_a_load_all_variables_are_ordinary(stage: Stage) -> None:
    """Their class, their attributes; also of one that was read, and of one that no file has."""
    reading = reading_layer(stage, np.asarray)
    stage.save(reading(4), stage.keras.layers.Dense(3), optimizer=stage.keras.optimizers.SGD())

    def described(model: Any) -> Arrays:
        found = [variable_of(each) for each in [*model.weights, *optimizer_variables(model)]]
        return [np.array(f"{type(each)} {sorted(vars(each))}".encode()) for each in found]

    stage.loads({"Reading": reading}, also=described)


def optimizer_variables(model: Any) -> list[Any]:
    found = model.optimizer.variables
    return list(found() if callable(found) else found)


@in_two_forms
def test_who_makes_variables_is_given_their_initial_value(stage: Stage) -> None:
    """A variable creator of the program sees each initial value."""
    stage.save(stage.keras.layers.Dense(4))
    stock = stage.keras.models.load_model

    def creator(make: Callable[..., Any], **arguments: Any) -> Any:
        value = arguments["initial_value"]
        stage.sees(value() if callable(value) else value)
        return make(**arguments)

    found: list[Arrays] = []
    for load in (stock, stock, lambda path: fastload.load_model(path, keras=stage.form.package)):
        stage.seen.clear()
        seed(stage.keras)
        with tf.variable_creator_scope(creator):
            load(stage.path)
        found.append(list(stage.seen))

    assert found[0]
    assert_same_arrays(found[1], found[2])


@pytest.mark.parametrize("form", [KERAS2_ARCHIVE, SAVED_MODEL, KERAS3_HDF5], ids=lambda f: f.id)
def test_a_function_traced_before_a_load_is_done_reads_initial_values(stage: Stage) -> None:
    """Keras traces a layer to learn its output shape, and what is traced may run at once."""
    skip_in_first_keras_3(stage.form.generation)
    keras = stage.keras

    class Traced(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(name="k", shape=(4, 4), initializer="he_normal")
            super().build(shape)

        @tf.function
        def doubled(self) -> Any:
            return 2.0 * tf.convert_to_tensor(self.kernel)

        def call(self, inputs: Any) -> Any:
            self.doubled()
            with tf.init_scope():
                stage.sees(self.doubled())
            return tf.matmul(inputs, self.kernel)

    stage.save(Traced())

    stage.loads({"Traced": Traced})


@NEEDS_MATURE_KERAS_3
@pytest.mark.parametrize("form", [KERAS3_ARCHIVE, KERAS3_HDF5], ids=lambda form: form.id)
def test_spectral_normalization_starts_from_the_same_vector(stage: Stage) -> None:
    """tf-keras cannot make this layer of its own where Keras 3 is TensorFlow's."""
    layers = stage.keras.layers
    stage.save(layers.SpectralNormalization(layers.Dense(3)))

    def trained(model: Any) -> Arrays:
        return [np.asarray(model(INPUTS, training=True)), *model.get_weights()]

    stage.loads({}, also=trained)


@in_two_forms
def test_a_variable_that_outlives_a_failed_restore_is_as_stock_left_it(stage: Stage) -> None:
    """Who kept it may look at it at any time."""
    kept: Arrays = []

    class Failing(stage.keras.layers.Dense):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            super().build(shape)
            if self.name == "failing":
                kept.append(self.kernel)
                raise RuntimeError("not today")

    stage.save(Failing(4, name="other"))
    path, keras, objects = stage.path, stage.form.package, {"Failing": Failing}
    fastload.load_model(path, objects, keras=keras, strict=True)
    Failing.name = property(lambda self: "failing", lambda self, name: None)
    for load in (
        lambda: stage.keras.models.load_model(path, custom_objects=objects),
        lambda: fastload.load_model(path, objects, keras=keras, strict=True),
    ):
        seed(stage.keras)
        with pytest.raises(Exception, match="not today"):
            load()

    assert_same_arrays(*([np.asarray(each)] for each in kept))
