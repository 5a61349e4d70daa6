"""The first `predict` of a loaded model: the same as stock's, mostly without a trace."""

from __future__ import annotations

import copy
import gc
import importlib
import logging
import pickle
import re
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.runtime.core import code_places
from fastload.runtime.importing import first_module
from fastload.traces.trace_file import TraceFile
from tests.cache_files import file_at
from tests.conftest import RunPython
from tests.needs import skip_in_first_keras_3
from tests.small_models import INPUTS, SAVED_MODEL, Form, SavedModel, package_of

_TRACING = "tensorflow.python.eager.polymorphic_function.tracing_compilation"
pytestmark = [
    pytest.mark.usefixtures("cache_root"),
    pytest.mark.skipif(first_module(_TRACING) is None, reason="an older TensorFlow always traces"),
]


class _Names(list[str]):
    """A list that is no plain one: code that reads other values is other code."""


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """List the names of the predict functions that TensorFlow traces."""
    module: Any = importlib.import_module("tensorflow.python.framework.func_graph")
    stock = module.func_graph_from_py_func
    names = _Names()

    def recording(name: str, *args: Any, **kwargs: Any) -> Any:
        if name in {"one_step_on_data_distributed", "predict_function", "multi_step_on_data"}:
            names.append(name)
        return stock(name, *args, **kwargs)

    monkeypatch.setattr(module, "func_graph_from_py_func", recording)
    # What a program puts into TensorFlow is not kept; this is to be.
    folders = code_places._folders
    monkeypatch.setattr(code_places, "_folders", lambda: (*folders(), __file__))
    return names


def load(model: SavedModel, **arguments: Any) -> Any:
    return fastload.load_model(model.path, keras=model.form.package, **arguments)


def learn(model: SavedModel, inputs: Any = INPUTS) -> None:
    """Have a first process-like load predict once, so that the trace is kept."""
    load(model).predict(inputs, verbose=0)


def same_bits(one: Any, other: Any) -> bool:
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def test_the_trace_of_an_earlier_predict_is_used(model: SavedModel, traced: list[str]) -> None:
    expected = model.load_stock().predict(INPUTS, verbose=0)
    learn(model)
    traced.clear()

    for _ in range(3):  # as it was traced, and twice as it was prepared
        assert same_bits(expected, load(model).predict(INPUTS, verbose=0))

    assert traced == []


def test_batches_share_functions_as_in_stock(model: SavedModel) -> None:
    stock = model.load_stock()
    learn(model, INPUTS[:2])
    learn(model)
    loaded = load(model)

    for rows in (3, 1, 2, 3, 1):
        expected = stock.predict(INPUTS[:rows], verbose=0)
        assert same_bits(expected, loaded.predict(INPUTS[:rows], verbose=0))
    counts = [each.predict_function.experimental_get_tracing_count() for each in (stock, loaded)]
    assert counts[0] == counts[1]


def test_nothing_of_the_model_tells(model: SavedModel) -> None:
    learn(model)
    stock, loaded = model.load_stock(), load(model)
    before = (vars(stock).keys(), stock.predict_function)

    assert (vars(loaded).keys(), loaded.predict_function) == before
    for each in (stock, loaded):
        each.predict(INPUTS, verbose=0)
    assert vars(loaded).keys() == vars(stock).keys()
    assert type(loaded.predict_function) is type(stock.predict_function)
    assert [getattr(layer, "_called", None) for layer in loaded._flatten_layers()] == [
        getattr(layer, "_called", None) for layer in stock._flatten_layers()
    ]


def double(weights: list[Any]) -> list[Any]:
    return [2 * weight for weight in weights]


def test_weights_that_are_set_later_are_used(model: SavedModel, traced: list[str]) -> None:
    learn(model)
    stock, loaded = model.load_stock(), load(model)
    traced.clear()

    for _ in range(2):
        stock.set_weights(double(stock.get_weights()))
        loaded.set_weights(double(loaded.get_weights()))
        actual = loaded.predict(INPUTS, verbose=0)
        assert traced == []
        assert same_bits(stock.predict(INPUTS, verbose=0), actual)
        traced.clear()


def set_activation(keras: Any, model: Any) -> None:
    model.layers[-1].activation = keras.activations.relu


def set_call(keras: Any, model: Any) -> None:
    layer = model.layers[-1]
    layer.call = lambda inputs, **_: 3 * inputs


def set_predict_step(keras: Any, model: Any) -> None:
    model.predict_step = lambda data: model(data[0] if isinstance(data, tuple) else data) + 1


def compile_again(keras: Any, model: Any) -> None:
    model.compile(loss="mse")


def compile_eagerly(keras: Any, model: Any) -> None:
    model.compile(loss="mse", run_eagerly=True)


def compile_steps(keras: Any, model: Any) -> None:
    model.compile(loss="mse", steps_per_execution=2)


def compile_by_xla(keras: Any, model: Any) -> None:
    model.compile(loss="mse", jit_compile=True)


def train(keras: Any, model: Any) -> None:
    model.compile("sgd", keras.losses.MeanSquaredError())
    model.fit(INPUTS, np.ones((3, 4)), verbose=0, shuffle=False)


def replace_kernel(keras: Any, model: Any) -> None:
    layer = model.layers[-1]
    layer.use_bias = False


def last_node(model: Any) -> Any:
    return model.layers[-1]._inbound_nodes[-1]


def replace_operation(keras: Any, model: Any) -> None:
    name = "layer" if keras.__version__.startswith("2.") else "operation"
    setattr(last_node(model), name, keras.layers.Activation("relu"))


def replace_arguments(keras: Any, model: Any) -> None:
    node = last_node(model)
    if keras.__version__.startswith("2."):
        node.call_kwargs = {"training": True}
    else:
        node.arguments.kwargs = {"training": True}


CHANGES = (
    set_activation,
    set_call,
    set_predict_step,
    compile_again,
    compile_eagerly,
    compile_steps,
    compile_by_xla,
    train,
    replace_kernel,
    replace_operation,
    replace_arguments,
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_model_that_was_changed_is_traced(
    model: SavedModel, change: Callable[[Any, Any], None]
) -> None:
    learn(model)
    stock, loaded = model.load_stock(), load(model)
    used: list[Any] = []
    for each in (stock, loaded):
        change(model.form.stock, each)

    expected = stock.predict(INPUTS, verbose=0)
    actual = loaded.predict(INPUTS, verbose=0)
    used += [fn for fn in concrete_functions(loaded) if is_brought_back(fn)]

    assert (same_bits(expected, actual), used) == (True, [])


def concrete_functions(model: Any) -> list[Any]:
    function = model.predict_function
    config = getattr(function, "_variable_creation_config", None)
    return [] if config is None else config.function_cache.values()


def is_prepared(kept: Path) -> bool:
    trace = TraceFile(file_at(kept)).read()
    assert trace is not None
    return trace.is_prepared


def is_brought_back(function: Any) -> bool:
    """Say whether nobody has looked at the graph of a function that came without one."""
    module = importlib.import_module("tensorflow.python.eager.polymorphic_function")
    return type(function) is not module.concrete_function.ConcreteFunction


def test_the_second_time_it_is_kept_prepared(model: SavedModel, cache_root: Path) -> None:
    for expected in (False, True, True):
        load(model).predict(INPUTS, verbose=0)
        (kept,) = cache_root.glob("*.predict-*.flat")
        assert is_prepared(kept) is expected


def test_layers_that_were_added_or_taken_away_count(
    saved_once: Callable[..., Path], tmp_path: Path, traced: list[str], form: Form
) -> None:
    path = saved_once(form, "sequential")
    model = SavedModel(form=form, path=path)
    learn(model)
    stock, loaded = model.load_stock(), load(model)
    for each in (stock, loaded):
        each.pop()
    assert same_bits(stock.predict(INPUTS, verbose=0), loaded.predict(INPUTS, verbose=0))
    for each in (stock, loaded):
        each.add(form.stock.layers.Dense(2, kernel_initializer="ones"))
    assert same_bits(stock.predict(INPUTS, verbose=0), loaded.predict(INPUTS, verbose=0))


@pytest.fixture(params=(SAVED_MODEL, Form(generation=3, suffix=".keras")), ids=lambda form: form.id)
def form(request: pytest.FixtureRequest) -> Form:
    return request.param


def test_copies_predict_by_themselves(model: SavedModel) -> None:
    skip_in_first_keras_3(model.form.generation)
    learn(model)
    loaded = load(model, compile=False)  # stock cannot copy the optimizer of each
    expected = loaded.predict(INPUTS, verbose=0)

    copied = copy.deepcopy(load(model, compile=False))
    assert same_bits(expected, copied.predict(INPUTS, verbose=0))
    if model.form.generation == 3:
        pickled = pickle.loads(pickle.dumps(loaded))
        assert same_bits(expected, pickled.predict(INPUTS, verbose=0))


def test_whoever_looks_finds_the_graph(model: SavedModel) -> None:
    learn(model)
    stock, loaded = model.load_stock(), load(model)
    told = []
    for each in (stock, loaded):
        each.predict(INPUTS, verbose=0)
        (concrete,) = concrete_functions(each)
        told.append(
            (
                sorted(vars(concrete)),
                [node.op for node in concrete.graph.as_graph_def().node],
                len(concrete.variables),
                concrete.output_shapes,
            )
        )

    assert told[0] == told[1]
    expected = stock.predict(INPUTS, verbose=0)
    assert same_bits(expected, loaded.predict(INPUTS, verbose=0))


def test_a_gradient_is_stocks(saved_once: Callable[..., Path], form: Form) -> None:
    if form.generation == 2:
        pytest.skip("its function takes an iterator, which has no gradient")
    tf = importlib.import_module("tensorflow")
    model = SavedModel(form=form, path=saved_once(form))
    learn(model)
    gradients = []
    for each in (model.load_stock(), load(model)):
        each.predict(INPUTS, verbose=0)
        with tf.GradientTape() as tape:
            result = each.predict_function([tf.constant(INPUTS)])
        gradients.append(tape.gradient(result, [v.value for v in each.trainable_variables]))

    for expected, actual in zip(*gradients, strict=True):
        assert same_bits(expected.numpy(), actual.numpy())


def test_what_a_layer_has_of_another_file_is_not_kept(tmp_path: Path) -> None:
    """A `TFSMLayer` calls a SavedModel, which may be saved anew; the archive has its path alone."""
    keras, tf = map(importlib.import_module, (package_of(3), "tensorflow"))

    def save(factor: float) -> None:
        module = tf.Module()
        spec = tf.TensorSpec((None, 4), tf.float32)
        module.serve = tf.function(lambda inputs: inputs * factor, input_signature=[spec])
        shutil.rmtree(tmp_path / "saved", ignore_errors=True)
        tf.saved_model.save(module, str(tmp_path / "saved"), signatures={"serve": module.serve})

    save(2.0)
    inputs = keras.Input((4,))
    layer = keras.layers.TFSMLayer(str(tmp_path / "saved"), call_endpoint="serve")
    path = str(tmp_path / "model.keras")
    keras.Model(inputs, layer(inputs)).save(path)
    found = []
    for factor in (2.0, 2.0, 3.0):
        save(factor)
        model = fastload.load_model(path, safe_mode=False, keras="keras")
        outputs = model.predict(np.ones((1, 4), "float32"), verbose=0)
        found.append(float(tf.nest.flatten(outputs)[0][0, 0]))

    assert found == [2.0, 2.0, 3.0]


def test_threads_share_one_function(model: SavedModel) -> None:
    learn(model)
    expected = model.load_stock().predict(INPUTS, verbose=0)
    loaded = load(model)
    results: list[Any] = []
    work = [
        threading.Thread(target=lambda: results.append(loaded.predict(INPUTS, verbose=0)))
        for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()

    assert [same_bits(expected, each) for each in results] == [True] * 4


def test_the_model_can_go(model: SavedModel) -> None:
    learn(model)
    for predicts in (False, True):
        loaded = load(model)
        if predicts:
            loaded.predict(INPUTS, verbose=0)
        gone = weakref.ref(loaded)
        del loaded
        gc.collect()
        assert gone() is None


def test_what_is_kept_and_broken_is_made_again(
    model: SavedModel, cache_root: Path, traced: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    learn(model)
    (kept,) = cache_root.glob("*.predict-*.flat")
    kept.chmod(0o600)
    kept.write_bytes(b"no twin")
    expected = model.load_stock().predict(INPUTS, verbose=0)
    traced.clear()

    with caplog.at_level(logging.WARNING, "fastload"):
        assert same_bits(expected, load(model).predict(INPUTS, verbose=0))

    said = [record for record in caplog.records if record.name.startswith("fastload")]
    assert (len(traced), len(said)) == (1, 1)
    assert list(cache_root.glob("*.predict-*.flat")) == [kept]  # by the same code record
    traced.clear()
    load(model).predict(INPUTS, verbose=0)
    assert traced == []


@pytest.mark.parametrize("arguments", [{"custom_objects": {"Other": object}}, {"device": "/CPU:0"}])
def test_loads_with_a_will_of_their_own_are_traced(
    model: SavedModel, arguments: dict[str, Any], traced: list[str]
) -> None:
    learn(model)
    traced.clear()

    load(model, **arguments).predict(INPUTS, verbose=0)

    assert len(traced) == 1


@contextmanager
def without_optimizers() -> Iterator[None]:
    """Set an option of TensorFlow's; no option is left set, which would differ from a default."""
    context = importlib.import_module("tensorflow.python.eager.context").context()
    options = importlib.import_module("tensorflow").config.optimizer
    before = dict(context._optimizer_experimental_options)
    options.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        context._optimizer_experimental_options = before
        context._thread_local_data.function_call_options = None


def test_options_that_are_set_later_count(model: SavedModel, traced: list[str]) -> None:
    for _ in range(2):  # as it was traced, and as it was prepared
        learn(model)
    loaded = load(model)
    loaded.predict(INPUTS, verbose=0)
    stock = model.load_stock()
    traced.clear()

    with without_optimizers():
        actual = [loaded.predict(INPUTS, verbose=0) for _ in range(2)]
        assert len(traced) == 1
        expected = stock.predict(INPUTS, verbose=0)

    assert [same_bits(expected, each) for each in actual] == [True, True]
    again = stock.predict(INPUTS, verbose=0)
    assert same_bits(again, loaded.predict(INPUTS, verbose=0))


def test_a_patched_layer_is_traced(
    model: SavedModel, traced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(model)
    loaded, stock = load(model), model.load_stock()
    monkeypatch.setattr(type(loaded.layers[-1]), "call", lambda self, inputs, **_: inputs * 2)
    traced.clear()

    actual = loaded.predict(INPUTS, verbose=0)

    assert len(traced) == 1
    assert same_bits(stock.predict(INPUTS, verbose=0), actual)


def test_plain_tensors_are_kept_too(form: Form, tmp_path: Path, traced: list[str]) -> None:
    layers = form.stock.layers
    made = form.stock.Sequential(
        [
            form.stock.Input((4,)),
            layers.Normalization(mean=[1.0, 2, 3, 4], variance=[4.0, 3, 2, 1]),
            layers.Dense(2),
        ]
    )
    model = SavedModel(form=form, path=tmp_path / f"normalising{form.suffix}")
    made.save(model.path)
    expected = model.load_stock().predict(INPUTS, verbose=0)
    learn(model)
    traced.clear()

    for _ in range(2):
        assert same_bits(expected, load(model).predict(INPUTS, verbose=0))

    assert traced == []


def test_errors_name_the_line_of_the_program(form: Form, tmp_path: Path) -> None:
    skip_in_first_keras_3(form.generation)  # it raises none
    layers = form.stock.layers
    made = form.stock.Sequential(
        [form.stock.Input((3,), dtype="int32"), layers.Embedding(5, 2), layers.Flatten()]
    )
    model = SavedModel(form=form, path=tmp_path / f"words{form.suffix}")
    made.save(model.path)
    good, bad = np.zeros((2, 3), "int32"), np.full((2, 3), 7, "int32")
    learn(model, good)
    told = []
    for each in (model.load_stock(), load(model), load(model)):
        each.predict(good, verbose=0)
        with pytest.raises(Exception, match="7 is not in") as raised:
            each.predict(bad, verbose=0)
        lines = re.sub(r"_\d+", "", str(raised.value)).splitlines()
        frames = [line for line in lines if line.startswith("  File")]
        # Who called whom is told by a trace of another moment.
        told.append(
            (type(raised.value), [line for line in lines if line.strip() and line[0] != " "])
        )
        assert any("embedding.py" in frame for frame in frames)

    assert told[1:] == [told[0]] * 2


def test_a_warm_model_predicts_without_a_trace(
    model: SavedModel, traced: list[str], cache_root: Path
) -> None:
    expected = model.load_stock().predict(INPUTS[:1], verbose=0)
    fastload.warm(model.path, keras=model.form.package)
    (kept,) = cache_root.glob("*.predict-*.flat")
    traced.clear()

    assert same_bits(expected, load(model).predict(INPUTS[:1], verbose=0))

    assert (traced, is_prepared(kept)) == ([], True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Layer .*does not support masking")
@pytest.mark.parametrize("generation", [3, 2], ids=["keras3", "keras2"])
def test_what_tracing_warns_of_is_told_in_each_process(
    tmp_path: Path, cache_root: Path, run_python: RunPython, generation: int
) -> None:
    """So nothing is kept of such a trace."""
    keras = Form(generation=generation, suffix=".keras").stock
    inputs = keras.Input((3,), dtype="int32")
    embedded = keras.layers.Embedding(5, 2, mask_zero=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(embedded)))
    path = tmp_path / "m.keras"
    model.save(path)
    program = """
import sys, warnings
import numpy as np
import fastload
loader, path, package = sys.argv[1:]
if loader == "silent":
    model = fastload.load_model(path, keras=package)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.predict(np.ones((2, 3), "int32"), verbose=0)
    raise SystemExit
model = fastload.load_model(path, keras=package)
if loader == "stock":
    with fastload.disabled():
        model = fastload.load_model(path, keras=package)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model.predict(np.ones((2, 3), "int32"), verbose=0)
print(sorted(str(each.message) for each in caught))
"""
    package = package_of(generation)
    expected = run_python(program, "stock", path, package)
    run_python(program, "silent", path, package)

    assert run_python(program, "fastload", path, package) == expected
