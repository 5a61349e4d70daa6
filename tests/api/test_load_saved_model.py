"""`load_saved_model` gives what `tf.saved_model.load` gives, from the twin."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import fastload
from fastload.errors import BypassError
from fastload.twin.format import FUNCTIONS, SAVED_OBJECTS, SIGNATURE_NODES
from fastload.twin.index import read_index
from tests.contract import saved_objects
from tests.saved_modules import MODULES, X, save_module

tf = pytest.importorskip("tensorflow")


@pytest.fixture(params=sorted(MODULES))
def saved(request: pytest.FixtureRequest, tmp_path: Path, cache_root: Path) -> tuple[str, str]:
    """Each module of the collection, saved."""
    name: str = request.param
    return name, save_module(name, tmp_path / "model")


@pytest.fixture
def calculator(tmp_path: Path, cache_root: Path) -> str:
    return save_module("calculator", tmp_path / "model")


def both(path: str) -> tuple[Any, Any]:
    """Load a module with stock, and from a twin that is there."""
    fastload.load_saved_model(path, strict=True)
    ours = fastload.load_saved_model(path, strict=True)
    assert outcome() == "hit"
    return tf.saved_model.load(path), ours


def outcome() -> str:
    report = fastload.last_load()
    assert report is not None
    return report.outcome.value


def told(act: Callable[[], Any]) -> Any:
    """Return what *act* returns, with lists for tensors, or what it raises."""
    return saved_objects.told(tf, act)


def test_signatures_are_those_of_stock(saved: tuple[str, str]) -> None:
    """Names, structured inputs and outputs, and what they compute, before anything else is seen."""
    _, path = saved
    stock, ours = both(path)

    assert list(ours.signatures) == list(stock.signatures)
    assert saved_objects.signatures(tf, ours) == saved_objects.signatures(tf, stock)


def test_calls_are_those_of_stock(saved: tuple[str, str]) -> None:
    """Every call that the collection knows: results to the bit, and the words of errors."""
    name, path = saved
    stock, ours = both(path)

    for call in MODULES[name].calls:
        assert told(lambda c=call: c(ours)) == told(lambda c=call: c(stock))


def test_the_objects_are_those_of_stock(saved: tuple[str, str]) -> None:
    """Classes, attributes, what is tracked under which name, all the way down."""
    _, path = saved
    stock, ours = both(path)

    assert dir(ours) == dir(stock)
    assert saved_objects.anatomy(tf, ours) == saved_objects.anatomy(tf, stock)
    assert sorted(vars(ours)) == sorted(vars(stock))
    assert callable(ours) == callable(stock)


def test_saved_again_it_is_the_same_to_stock(saved: tuple[str, str], tmp_path: Path) -> None:
    """What TensorFlow saves of the loaded object computes the same."""
    name, path = saved
    stock, ours = both(path)
    again = []
    for number, loaded in enumerate((stock, ours)):
        target = str(tmp_path / f"again{number}")
        tf.saved_model.save(loaded, target, signatures=loaded.signatures or None)
        again.append(tf.saved_model.load(target))

    for call in MODULES[name].calls:
        assert told(lambda c=call: c(again[1])) == told(lambda c=call: c(again[0]))


def test_gradients_are_those_of_stock(calculator: str) -> None:
    """Through functions, custom gradients among them, to variables and inputs."""
    x = tf.constant([[1.0, 2.0]])
    found = []
    for loaded in both(calculator):
        with tf.GradientTape() as tape:
            tape.watch(x)
            result = loaded.affine(x) + loaded.with_gradient(x)
        found.append(tape.gradient(result, [x, loaded.kernel, loaded.bias]))

    assert told(lambda: found[1]) == told(lambda: found[0])


def test_training_is_kept_when_the_rest_comes_to_life(calculator: str) -> None:
    """A variable that a signature uses was changed before anybody looked at the object."""
    _, ours = both(calculator)
    signature = ours.signatures["serving_default"]
    for variable in signature.variables:
        variable.assign(variable + 1.0)
    expected = told(lambda: signature(x=tf.ones([1, 2]))["output_0"])

    assert told(lambda: ours.affine(tf.ones([1, 2]))) == expected
    assert ours.kernel is next(v for v in signature.variables if v.name.startswith("kernel"))


def test_it_works_inside_a_graph(calculator: str) -> None:
    """First looked at while a function is traced, and in a dataset."""
    stock, ours = both(calculator)

    def traced(loaded: Any) -> Any:
        return tf.function(lambda x: loaded.affine(x) * 2.0)(tf.ones([1, 2]))

    def mapped(loaded: Any) -> Any:
        data = tf.data.Dataset.from_tensors(tf.ones([1, 2])).map(loaded.affine)
        return list(data)

    assert told(lambda: traced(ours)) == told(lambda: traced(stock))
    assert told(lambda: mapped(ours)) == told(lambda: mapped(stock))


# TensorFlow 2.8 closes the pool of a strategy badly.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_comes_late_is_as_if_made_by_the_load(calculator: str) -> None:
    """First looked at under a strategy, a device, a tape and a name scope of somebody else's."""
    stock, ours = both(calculator)
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope(), tf.device("CPU:0"), tf.GradientTape(), tf.name_scope("mine"):
        seen = [dir(ours), type(ours.kernel).__name__, ours.kernel.name]

    assert seen == [dir(stock), type(stock.kernel).__name__, stock.kernel.name]
    assert saved_objects.anatomy(tf, ours) == saved_objects.anatomy(tf, stock)
    assert told(lambda: ours.affine(tf.ones([1, 2]))) == told(lambda: stock.affine(tf.ones([1, 2])))


def test_threads_that_look_at_once_find_one_object(calculator: str) -> None:
    """All get the same functions and right results."""
    stock, ours = both(calculator)
    expected = told(lambda: stock.affine(tf.ones([1, 2])))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: told(lambda: ours.affine(tf.ones([1, 2]))), range(32)))

    assert found == [expected] * 32


def test_nothing_is_left_when_it_is_dropped(calculator: str) -> None:
    """No registry of ours keeps a loaded object alive."""
    _, ours = both(calculator)
    kernel = weakref.ref(ours.kernel)
    del ours
    gc.collect()

    assert kernel() is None


@pytest.mark.parametrize("is_looked_at", [False, True], ids=["pending", "made"])
@pytest.mark.parametrize(
    ("function_of", "told_of_it"),
    [
        (lambda loaded: loaded.affine, "referencing variables which have been deleted"),
        (lambda loaded: loaded.affine.concrete_functions[0], "5.5"),
    ],
    ids=["function", "concrete function"],
)
def test_a_function_whose_model_is_gone_does_what_stock_does(
    function_of: Callable[[Any], Any], told_of_it: str, is_looked_at: bool, calculator: str
) -> None:
    """It keeps no variable alive, whether anybody looked at it before or not."""

    def call(load: Callable[..., Any], **options: Any) -> Any:
        loaded = load(calculator, **options)
        kernel, function = weakref.ref(loaded.kernel), function_of(loaded)
        if is_looked_at:
            dir(function)
        del loaded
        gc.collect()
        assert kernel() is None
        return function(tf.constant(X))

    stock = told(lambda: call(tf.saved_model.load))
    ours = told(lambda: call(fastload.load_saved_model, strict=True))

    assert ours == stock
    assert told_of_it in str(ours)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"options": "LoadOptions"}, "options= asks for what only the stock loader does"),
        ({"tags": ["serve"]}, ""),
        ({"tags": "another"}, ""),
    ],
    ids=["options", "tags", "wrong tags"],
)
def test_arguments_mean_what_they_mean_in_stock(
    calculator: str, arguments: dict[str, Any], reason: str
) -> None:
    """Same object or same error, and the report says who loaded it."""
    if "options" in arguments:
        options = tf.saved_model.LoadOptions(experimental_io_device="/CPU:0")
        arguments = {"options": options}
    call = (lambda loaded: loaded.affine(tf.ones([1, 2]))) if arguments else None
    assert call is not None

    ours = told(lambda: call(fastload.load_saved_model(calculator, **arguments)))
    report = fastload.last_load()
    stock = told(lambda: call(tf.saved_model.load(calculator, **arguments)))

    assert ours == stock
    assert report is not None
    assert reason in (report.reason or "")


@pytest.mark.parametrize("document", [FUNCTIONS, SAVED_OBJECTS, SIGNATURE_NODES])
def test_a_damaged_document_is_noticed_by_the_load(calculator: str, document: str) -> None:
    """Not by the call of a function, when it is too late; the next load writes the twin anew."""
    fastload.load_saved_model(calculator, strict=True)
    report = fastload.last_load()
    assert report is not None
    assert report.twin is not None
    damage(report.twin, document)

    stock = tf.saved_model.load(calculator)
    found = []
    for _ in range(2):
        ours = fastload.load_saved_model(calculator)
        report = fastload.last_load()
        assert report is not None
        found.append((report.outcome.value, report.code))
        assert told(lambda ours=ours: ours.affine(X)) == told(lambda: stock.affine(X))

    assert found == [("bypass", "FL103"), ("miss", None)]


def damage(twin: Path, document: str) -> None:
    (ref,) = (ref for ref in read_index(twin).documents if ref.name == document)
    twin.chmod(0o600)
    with twin.open("r+b") as file:
        file.seek(ref.offset)
        first = file.read(1)
        file.seek(ref.offset)
        file.write(bytes([first[0] ^ 0xFF]))


def test_strict_says_why(tmp_path: Path, cache_root: Path) -> None:
    """A folder that is not a SavedModel."""
    with pytest.raises(BypassError):
        fastload.load_saved_model(tmp_path, strict=True)


def test_one_twin_serves_both_loaders(keras_saved_model: Path) -> None:
    """Weights are stored once, whichever loader wrote the twin."""
    fastload.load_saved_model(keras_saved_model, strict=True)
    first = fastload.last_load()
    assert first is not None
    fastload.load_model(keras_saved_model, keras=keras_package(), strict=True)
    second = fastload.last_load()
    assert second is not None

    assert (first.outcome.value, second.outcome.value) == ("miss", "hit")
    assert second.twin == first.twin


def keras_package() -> str:
    from tests.small_models import package_of

    return package_of(2)


@pytest.fixture
def keras_saved_model(tmp_path: Path, cache_root: Path) -> Path:
    from tests.small_models import SAVED_MODEL, functional_model, save

    path = tmp_path / "keras"
    save(functional_model(SAVED_MODEL.stock), path)
    return path


def test_the_call_of_an_object_is_that_of_stock(tmp_path: Path, cache_root: Path) -> None:
    """It is looked at before it is called: for its concrete functions, by converters."""

    class Called(tf.Module):  # type: ignore[misc, name-defined]
        """A module that is called."""

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def __call__(self, x: Any) -> Any:
            return x * 2

    path = str(tmp_path / "m")
    tf.saved_model.save(Called(), path)
    for _ in range(2):
        stock, ours = tf.saved_model.load(path), fastload.load_saved_model(path)
        assert isinstance(ours.__call__, tf.types.experimental.GenericFunction)
        concrete = ours.__call__.concrete_functions
        assert len(concrete) == len(stock.__call__.concrete_functions)
        assert fastload.load_saved_model(path)(tf.ones(3)).numpy().tolist() == [2.0] * 3
