"""What one process kept is used by another where that would run the same code, and only there."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.errors import MigrationError
from fastload.runtime.importing import first_module
from tests.small_models import (
    INPUTS,
    KERAS2_ARCHIVE,
    KERAS2_HDF5,
    KERAS3_ARCHIVE,
    SAVED_MODEL,
    Form,
    SavedModel,
)

tf = pytest.importorskip("tensorflow")
_TRACING = "tensorflow.python.eager.polymorphic_function.tracing_compilation"
pytestmark = [
    pytest.mark.usefixtures("cache_root"),
    pytest.mark.skipif(first_module(_TRACING) is None, reason="an older TensorFlow always traces"),
]
FACTOR = 2.0


def in_full(value: Any) -> Any:
    """Return a parameter that a full run alone takes."""
    return pytest.param(value, marks=pytest.mark.full)


@contextmanager
def having(holder: Any, name: str, value: Any) -> Iterator[None]:
    """Have *value* in the place of an attribute meanwhile."""
    stock = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, stock)


def predicted(model: Any) -> bytes:
    return bytes(np.asarray(model.predict(INPUTS, verbose=0)).tobytes())


def ours(model: SavedModel) -> Any:
    return fastload.load_model(model.path, keras=model.form.package, strict=True)


def flat(model: SavedModel) -> bytes:
    """Return what a predictor gives, or for a SavedModel, whose functions are its own, nothing."""
    if not model.form.suffix:
        return b""
    loaded = fastload.load_predictor(model.path, keras=model.form.package, strict=True)
    return bytes(np.asarray(loaded(INPUTS)).tobytes())


def flat_as_stock(model: SavedModel) -> bytes:
    if not model.form.suffix:
        return b""
    stock = model.load_stock()
    return bytes(np.asarray(tf.function(lambda x: stock(x, training=False))(INPUTS)).tobytes())


def traces(cache_root: Path) -> list[str]:
    """Return the names of what is kept."""
    return sorted(each.name for each in cache_root.glob("*.flat"))


def replaced(keras: Any, stock: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return inputs * 3.0

    return call


def wrapped(keras: Any, stock: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(stock)
    def with_training(self: Any, inputs: Any, training: Any = None) -> Any:
        return stock(self, inputs, training=training) * 3.0

    @functools.wraps(stock)
    def without(self: Any, inputs: Any) -> Any:
        return stock(self, inputs) * 3.0

    takes = inspect.signature(stock).parameters
    return with_training if "training" in takes else without


def with_other_constant(keras: Any, stock: Any) -> Any:
    """The same function, but for one number in its code."""

    def call(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return inputs * 5.0

    code = call.__code__
    constants = tuple(7.0 if each == 5.0 else each for each in code.co_consts)
    call.__code__ = code.replace(co_consts=constants)
    return call


@pytest.mark.parametrize("change", [wrapped, in_full(replaced), in_full(with_other_constant)])
def test_a_layer_whose_code_was_changed(
    model: SavedModel, change: Callable[..., Any], cache_root: Path
) -> None:
    dense = model.form.stock.layers.Dense
    expected = predicted(model.load_stock()), flat_as_stock(model)
    for _ in range(3):  # traced, brought back, prepared
        assert (predicted(ours(model)), flat(model)) == expected
    before = traces(cache_root)

    with having(dense, "call", change(model.form.stock, dense.call)):
        changed = predicted(model.load_stock()), flat_as_stock(model)
        assert changed != expected
        for _ in range(2):
            assert (predicted(ours(model)), flat(model)) == changed

    assert set(before) == set(traces(cache_root))  # of a program's own code nothing is kept
    after = traces(cache_root)
    assert (predicted(ours(model)), flat(model)) == expected
    assert traces(cache_root) == after  # what was kept first still serves


def reading_a_global(patch: pytest.MonkeyPatch) -> tuple[Any, Callable[[], Any]]:
    def call(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return inputs * FACTOR

    return call, lambda: patch.setitem(globals(), "FACTOR", 3.0)


def reading_an_array(patch: pytest.MonkeyPatch) -> tuple[Any, Callable[[], Any]]:
    factors = np.array([2.0], "float32")

    def call(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return inputs * factors[0]

    return call, lambda: factors.fill(3.0)


def reading_a_default(patch: pytest.MonkeyPatch) -> tuple[Any, Callable[[], Any]]:
    def call(self: Any, inputs: Any, *, factor: float = 2.0, **kwargs: Any) -> Any:
        return inputs * factor

    return call, lambda: call.__kwdefaults__.update(factor=3.0)


def reading_a_closure(patch: pytest.MonkeyPatch) -> tuple[Any, Callable[[], Any]]:
    factors = [2.0]

    def call(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return inputs * factors[0]

    return call, lambda: factors.__setitem__(0, 3.0)


@pytest.mark.parametrize(
    "reading",
    [reading_a_global, reading_an_array, in_full(reading_a_default), in_full(reading_a_closure)],
)
def test_what_code_reads_was_changed(
    model: SavedModel, reading: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, change = reading(monkeypatch)
    with having(model.form.stock.layers.Dense, "call", call):
        for _ in range(2):
            assert predicted(ours(model)) == (INPUTS * np.float32(8)).tobytes()
        change()

        assert predicted(ours(model)) == (INPUTS * np.float32(27)).tobytes()
        assert flat(model) in (b"", (INPUTS * np.float32(27)).tobytes())


def test_an_inherited_method_that_became_one_of_its_own(
    model: SavedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = model.form.stock.layers.Dense
    for _ in range(2):
        predicted(ours(model))
    models = model.load_stock(), ours(model)
    stock = dense.__call__
    monkeypatch.setattr(dense, "__call__", lambda *args, **kwargs: stock(*args, **kwargs) * 3.0)

    expected, actual = map(predicted, models)

    assert actual == expected


def test_numbers_that_are_checked_now(model: SavedModel) -> None:
    """`tf.debugging.enable_check_numerics` on, and off again."""
    broken = np.full((3, 4), np.nan, "float32")
    expected = model.load_stock().predict(broken, verbose=0).tobytes()

    def results() -> list[bytes]:
        return [ours(model).predict(broken, verbose=0).tobytes() for _ in range(2)]

    assert results() == [expected] * 2
    tf.debugging.enable_check_numerics()
    try:
        for load in (model.load_stock, lambda: ours(model)):
            with pytest.raises(tf.errors.InvalidArgumentError, match="NaN"):
                load().predict(broken, verbose=0)
        if model.form.suffix:
            predictor = fastload.load_predictor(model.path, keras=model.form.package)
            with pytest.raises(tf.errors.InvalidArgumentError, match="NaN"):
                predictor(broken)
    finally:
        tf.debugging.disable_check_numerics()
    assert results() == [expected] * 2


@pytest.mark.parametrize(
    "model", [KERAS2_HDF5, *map(in_full, (SAVED_MODEL, KERAS3_ARCHIVE))], indirect=True
)
def test_another_function_by_a_name_of_keras(model: SavedModel) -> None:
    """One of Keras's own in the place of another: no class is custom, but the model is another."""
    keras = model.form.stock
    given = {"tanh": keras.activations.relu}
    plain = flat_as_stock(model)
    for _ in range(2):
        assert flat(model) == plain
        predicted(ours(model))

    for _ in range(2):
        loaded = fastload.load_model(model.path, given, keras=model.form.package)
        assert predicted(loaded) == predicted(model.load_stock(custom_objects=given))
    with keras.utils.custom_object_scope(given):
        for _ in range(2):
            assert predicted(ours(model)) == predicted(model.load_stock())
            assert flat(model) == flat_as_stock(model)
    assert flat(model) == plain


def test_a_program_that_is_profiled_stays_so(model: SavedModel, cache_root: Path) -> None:
    """Python has room for one profiler; nothing is kept, and the next program keeps it."""
    called: list[str] = []

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        actual = predicted(ours(model))
        assert sys.getprofile() is profile
    finally:
        sys.setprofile(None)

    assert actual == predicted(model.load_stock())
    assert called
    assert traces(cache_root) == []
    predicted(ours(model))
    assert len(traces(cache_root)) == 1


def custom_model(keras: Any, activation: Any) -> Any:
    """Return one of enough layers for their output specs to be recorded."""
    inputs = hidden = keras.Input((4,), name="x")
    for name in "abcdefghijkl":
        hidden = keras.layers.Dense(4, activation="tanh", name=name)(hidden)
    outputs = keras.layers.Dense(4, activation=activation, name="last")(hidden)
    return keras.Model(inputs, keras.layers.Activation("linear", name="end")(outputs))


def told(model: Any) -> list[Any]:
    """Return the shapes and dtypes that a model's layers say."""
    return [
        (layer.name, layer.output.shape.as_list(), layer.output.dtype, layer.output_shape)
        for layer in model.layers
    ]


OTHERS = {
    "shape": lambda tensor: tf.concat([tensor, tensor], axis=-1),
    "rank": lambda tensor: tensor[:, None],
    "dtype": lambda tensor: tf.cast(tensor, "float64"),
}


@pytest.mark.parametrize("other", ["dtype", in_full("shape"), in_full("rank")])
@pytest.mark.parametrize("form", [SAVED_MODEL, in_full(KERAS2_ARCHIVE)])
def test_a_custom_activation_that_gives_something_else(
    form: Form, other: str, tmp_path: Path
) -> None:
    keras = form.stock

    def scaled(tensor: Any) -> Any:
        return tensor * 2.0

    def changed(tensor: Any) -> Any:
        return OTHERS[other](tensor)

    model = SavedModel(form=form, path=tmp_path / f"model{form.suffix}")
    with keras.utils.custom_object_scope({"scaled": scaled}):
        custom_model(keras, scaled).save(model.path)
    for function in (scaled, scaled, changed, changed, scaled):
        objects = {"scaled": function}
        expected = told(model.load_stock(custom_objects=objects, compile=False))
        actual = fastload.load_model(
            model.path, objects, compile=False, keras=form.package, strict=True
        )
        assert told(actual) == expected


def test_what_a_layer_is_made_of_counts_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Padding is a pair of pairs; what makes a layer of its config is not what calls it."""
    form = KERAS2_HDF5
    layers = form.stock.layers
    model = SavedModel(form=form, path=tmp_path / "model.h5")
    made = [layers.ZeroPadding2D(1, name=f"p{number}") for number in range(10)]
    form.stock.Sequential([form.stock.Input((4, 4, 1)), *made]).save(model.path)
    for _ in range(2):
        ours(model)
    stock = layers.ZeroPadding2D.from_config

    def wider(config: dict[str, Any]) -> Any:
        return stock({**config, "padding": ((2, 2), (2, 2))})

    monkeypatch.setattr(layers.ZeroPadding2D, "from_config", wider)

    assert told(ours(model)) == told(model.load_stock())
    assert ours(model).output_shape == (None, 44, 44, 1)


@pytest.mark.parametrize("policy", ["mixed_float16", in_full("mixed_bfloat16")])
def test_dtypes_under_another_policy(policy: str, tmp_path: Path) -> None:
    form = KERAS2_HDF5
    keras = form.stock
    model = SavedModel(form=form, path=tmp_path / "model.h5")
    keras.Sequential(
        [keras.Input((4,)), *(keras.layers.Dense(4, name=name) for name in "abcdefghij")]
    ).save(model.path)
    # Without the policy that it was saved with, as older files are.
    h5py = importlib.import_module("h5py")
    with h5py.File(model.path, "r+") as file:
        config = file.attrs["model_config"]
        file.attrs["model_config"] = config.replace('"dtype": "float32", ', "")
    for _ in range(2):
        ours(model)
    keras.mixed_precision.set_global_policy(policy)
    try:
        expected = model.load_stock()
        for _ in range(2):
            actual = ours(model)
            assert told(actual) == told(expected)
            assert actual.output.dtype == expected.output.dtype
            assert predicted(actual) == predicted(expected)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert told(ours(model)) == told(model.load_stock())


def test_a_port_that_computes_something_else_now(tmp_path: Path) -> None:
    """A migrated model serves with the port that it was proved with, and with no other."""
    keras2, keras3 = SAVED_MODEL.stock, KERAS3_ARCHIVE.stock
    path = tmp_path / "model"

    class Scale(keras2.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return inputs * 2.0

    keras2.Sequential([keras2.Input((3,)), Scale()]).save(str(path), save_format="tf")

    def port(factor: float) -> Any:
        class Ported(keras3.layers.Layer):  # type: ignore[misc, name-defined]
            def call(self, inputs: Any) -> Any:
                return inputs * factor

        return Ported

    def load(factor: float) -> Any:
        return fastload.load_model(path, {"Scale": port(factor)}, keras="keras")

    for _ in range(2):
        assert load(2.0)(np.ones((1, 3))).numpy().tolist() == [[2.0] * 3]
    report = fastload.last_load()
    assert report is not None
    assert report.outcome.value == "hit"
    with pytest.raises(MigrationError, match=r"the original's by 0\.05 of the largest"):
        load(2.1)
    assert load(2.0)(np.ones((1, 3))).numpy().tolist() == [[2.0] * 3]


@pytest.mark.slow
@pytest.mark.parametrize("form", [KERAS3_ARCHIVE, in_full(SAVED_MODEL)])
def test_another_process_uses_what_one_kept(
    form: Form, saved_once: Callable[..., Path], run_python: Callable[..., str], cache_root: Path
) -> None:
    """Unless it changes Keras; then both stock and fastload predict with the changed one."""
    program = """
import functools, importlib, logging, sys
import numpy as np
import fastload
package, change = sys.argv[2:4]
keras = importlib.import_module(package)
inputs = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)
if change == "changed":
    stock_call = keras.layers.Dense.call
    keras.layers.Dense.call = functools.wraps(stock_call)(
        lambda self, inputs, training=None: stock_call(self, inputs) + 1
    )
stock = keras.models.load_model(sys.argv[1]).predict(inputs, verbose=0)
ours = fastload.load_model(sys.argv[1], keras=package, strict=True).predict(inputs, verbose=0)
print(stock.tobytes() == ours.tobytes(), stock.tobytes().hex())
"""
    path = saved_once(form)
    found = [
        run_python(program, path, form.package, change).splitlines()[-1].split()
        for change in ("plain", "plain", "changed")
    ]

    assert [same for same, _ in found] == ["True"] * 3
    assert found[0][1] == found[1][1] != found[2][1]
    assert traces(cache_root)
