"""`install`, `uninstall` and the scopes, in this process; stock is at hand beside them."""

from __future__ import annotations

import asyncio
import copy
import importlib
import inspect
import os
import pickle
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import fastload
from fastload.hooks import patching
from tests.hooks.conftest import RunOpted
from tests.signature_modules import save_signed
from tests.small_models import INPUTS, SavedModel

#: Every public name, as a program writes it.
NAMES = (
    "keras.models.load_model",
    "keras.saving.load_model",
    "tensorflow.keras.models.load_model",
    "tensorflow.saved_model.load",
    "tensorflow.compat.v2.saved_model.load",
    "tensorflow.compat.v1.saved_model.load_v2",
    "tf_keras.models.load_model",
    "tf_keras.saving.load_model",
)
CYCLES = 400
THREADS = 4


def named(path: str) -> Any:
    """Return what a program gets under a dotted name."""
    value: Any = importlib.import_module(path.partition(".")[0])
    for name in path.split(".")[1:]:
        value = getattr(value, name)
    return value


def is_there(path: str) -> bool:
    """Say whether the versions at hand have a name."""
    try:
        return callable(named(path))
    except (ImportError, AttributeError):
        return False


PUBLIC = tuple(filter(is_there, NAMES))
STOCK = {path: named(path) for path in PUBLIC}


def taken_early(model: SavedModel) -> Any:
    """Return the stock function that a program took by `from ... import load_model`."""
    return STOCK[f"{model.form.package}.models.load_model"]


def test_the_stock_functions_are_stock() -> None:
    """Or no test here would say anything."""
    assert not any(isinstance(stock, patching.StandIn) for stock in STOCK.values())


@pytest.mark.parametrize("path", PUBLIC)
def test_every_public_name_is_stood_in_for_and_put_back(path: str, cache_root: Path) -> None:
    fastload.install()
    installed = named(path)
    fastload.uninstall()

    assert isinstance(installed, patching.StandIn)
    assert installed.__wrapped__ is STOCK[path]
    assert named(path) is STOCK[path]


@pytest.mark.parametrize("before", [None, "0"])
def test_migration_is_asked_for_until_it_is_uninstalled(
    before: str | None, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that are started meanwhile inherit it."""
    if before is not None:
        monkeypatch.setenv("FASTLOAD_MIGRATE", before)
    fastload.install()
    first = os.environ.get("FASTLOAD_MIGRATE")
    fastload.install(migrate=True)
    asked = os.environ.get("FASTLOAD_MIGRATE")
    fastload.uninstall()

    assert (first, asked) == (before, "1")
    assert os.environ.get("FASTLOAD_MIGRATE") == before


def test_a_load_by_the_stock_name_is_served(model: SavedModel, hooks: None) -> None:
    stock = taken_early(model)
    with fastload.disabled():
        expected = stock(model.path)
    load = named(f"{model.form.package}.models.load_model")
    outcomes = []
    for _ in range(2):
        loaded = load(model.path)
        outcomes.append(fastload.last_load().outcome.value)  # type: ignore[union-attr]

    assert outcomes == ["miss", "hit"]
    assert type(loaded) is type(expected)
    np.testing.assert_array_equal(loaded(INPUTS), expected(INPUTS))


def test_a_name_that_was_taken_before_is_served(model: SavedModel, hooks: None) -> None:
    """The public function looks up what it calls, and finds what stands in for it."""
    early = taken_early(model)
    early(model.path)
    early(str(model.path), compile=False)

    assert outcome() == "hit"


def test_one_load_is_one_load(model: SavedModel, hooks: None) -> None:
    """Whatever is stood in for on the way down, and however often it was installed."""
    fastload.install()
    named(f"{model.form.package}.models.load_model")(model.path)

    assert counted_loads() == 1


def test_a_bypass_is_what_stock_does_and_one_load(model: SavedModel, hooks: None) -> None:
    named(f"{model.form.package}.models.load_model")(model.path)
    os.environ["FASTLOAD_CACHE_DIR"] = os.devnull
    loaded = named(f"{model.form.package}.models.load_model")(model.path)

    assert outcome() == "bypass"
    assert loaded(INPUTS).shape[0] == len(INPUTS)


def test_objects_are_served_by_every_name(saved_model: SavedModel, hooks: None) -> None:
    tf.saved_model.load(str(saved_model.path))
    early = STOCK["tensorflow.saved_model.load"]
    for load in (early, tf.compat.v1.saved_model.load_v2, tf.compat.v2.saved_model.load):
        loaded = load(saved_model.path)
        assert outcome() == "hit"
        assert "serving_default" in loaded.signatures


def test_parts_of_a_saved_model_are_left_to_stock(saved_model: SavedModel, hooks: None) -> None:
    """`load_partial` with filters is what Keras calls; with none, it is all there is."""
    load_partial = importlib.import_module("tensorflow.python.saved_model.load").load_partial
    parts = load_partial(str(saved_model.path), ["root"])
    before = counted_loads()
    whole = load_partial(str(saved_model.path), None)

    assert (set(parts), before) == ({"root"}, 0)
    assert (set(whole), counted_loads()) == ({"root"}, 1)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), (("a.keras",), {"weights": "eager"}), (("a.keras", None, True, True, 1), {})],
)
def test_wrong_arguments_are_stocks_to_refuse(
    args: tuple[Any, ...], kwargs: dict[str, Any], hooks: None
) -> None:
    with pytest.raises(Exception) as expected:  # noqa: PT011
        STOCK["keras.models.load_model"](*args, **kwargs)
    with pytest.raises(type(expected.value)) as raised:
        keras.models.load_model(*args, **kwargs)

    assert str(raised.value) == str(expected.value)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.h5", "nowhere.keras"])
@pytest.mark.parametrize("path", [each for each in PUBLIC if "v1" not in each])
def test_what_is_not_there_fails_as_in_stock(
    path: str, name: str, tmp_path: Path, hooks: None
) -> None:
    missing = str(tmp_path / name)
    with fastload.disabled(), pytest.raises(Exception) as expected:  # noqa: PT011
        STOCK[path](missing)
    with pytest.raises(type(expected.value)) as raised:
        named(path)(missing)

    assert str(raised.value) == str(expected.value)


def test_a_missing_class_is_an_error_of_stock_alone(tmp_path: Path, hooks: None) -> None:
    """Callers of fastload's own functions get a note; this one may not know of fastload."""

    class Squared(keras.layers.Layer):  # type: ignore[misc,name-defined]
        def call(self, inputs: Any) -> Any:
            return inputs * inputs

    path = tmp_path / "model.h5"
    keras.Sequential([keras.Input((2,)), Squared()]).save(path)
    with fastload.disabled(), pytest.raises(Exception) as expected:  # noqa: PT011
        keras.models.load_model(path)
    with pytest.raises(type(expected.value)) as raised:
        keras.models.load_model(path)

    def printed(caught: Any) -> list[str]:
        return traceback.format_exception_only(caught.type, caught.value)

    assert printed(raised) == printed(expected)
    assert (raised.value.__context__ is None) == (expected.value.__context__ is None)
    assert outcome() == "bypass"


def test_inner_functions_keep_their_own_rules(model: SavedModel, hooks: None) -> None:
    """`saving_lib.load_model` refuses what is no `.keras`, though fastload could open it."""
    module = "src.saving.saving_lib"
    saving_lib = pytest.importorskip(f"{model.form.package}.{module}")
    other = model.path.with_suffix(".h5")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(other)
    with fastload.disabled(), pytest.raises(Exception) as expected:  # noqa: PT011
        saving_lib.load_model(str(other))
    with pytest.raises(type(expected.value)) as raised:
        saving_lib.load_model(str(other))

    assert str(raised.value) == str(expected.value)


@pytest.mark.parametrize("path", PUBLIC)
def test_a_stand_in_is_like_its_function(path: str, hooks: None) -> None:
    stand, stock = named(path), STOCK[path]

    assert inspect.signature(stand) == inspect.signature(stock)
    assert inspect.getsource(stand) == inspect.getsource(stock)
    assert inspect.getdoc(stand) == inspect.getdoc(stock)
    assert inspect.isfunction(stand) == inspect.isfunction(stock)
    assert (stand.__module__, stand.__qualname__) == (stock.__module__, stock.__qualname__)
    assert copy.deepcopy(stand) is copy.copy(stand) is stand
    assert stand == stock
    assert hash(stand) == hash(stock)


@pytest.mark.parametrize("path", PUBLIC)
def test_a_stand_in_is_pickled_as_its_function(path: str, hooks: None) -> None:
    """So it is stock again where fastload is not."""
    pickled = pickle.dumps(named(path))
    again = pickle.loads(pickled)
    fastload.uninstall()

    assert isinstance(again, patching.StandIn)
    assert pickled == pickle.dumps(STOCK[path])
    assert pickle.loads(pickled) is STOCK[path]


def test_autograph_calls_a_stand_in_as_it_calls_stock(
    tmp_path: Path, hooks: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a word: it warns of proxies that it does not know."""
    path = save_signed("dense", tmp_path / "model")

    @tf.function  # type: ignore[untyped-decorator]
    def predict(inputs: Any) -> Any:
        tf.saved_model.load(path)
        return inputs

    logger = tf.get_logger()
    logger.addHandler(caplog.handler)
    try:
        predict(INPUTS)
    finally:
        logger.removeHandler(caplog.handler)

    assert "wrapt" not in caplog.text
    assert outcome() == "bypass"


@pytest.mark.parametrize("path", PUBLIC)
def test_a_stand_in_can_be_mocked_as_its_function(path: str, hooks: None) -> None:
    mocked = mock.create_autospec(named(path))

    assert inspect.signature(mocked) == inspect.signature(STOCK[path])


def test_installing_in_threads_leaves_every_name_as_it_was(cache_root: Path) -> None:
    def cycle() -> None:
        for _ in range(CYCLES // THREADS):
            fastload.install()
            fastload.uninstall()

    run_in_threads([cycle] * THREADS)

    assert all(named(path) is stock for path, stock in STOCK.items())
    assert not fastload.is_installed()
    assert "FASTLOAD" not in os.environ


def test_loads_go_on_while_hooks_come_and_go(model: SavedModel, cache_root: Path) -> None:
    load = f"{model.form.package}.models.load_model"
    results: list[Any] = []

    def cycle() -> None:
        for _ in range(50):
            fastload.install()
            fastload.uninstall()

    def use() -> None:
        results.extend(named(load)(model.path)(INPUTS) for _ in range(5))

    run_in_threads([cycle, use, cycle, use])

    assert len(results) == 10
    assert all(np.array_equal(result, results[0]) for result in results)
    assert all(named(path) is stock for path, stock in STOCK.items())


def test_disabled_is_stock_and_of_this_thread_only(model: SavedModel, hooks: None) -> None:
    load = named(f"{model.form.package}.models.load_model")
    with fastload.disabled():
        load(model.path)
        here = counted_loads()
        run_in_threads([lambda: load(model.path)])

    assert (here, counted_loads()) == (0, 1)


def test_disabled_goes_for_fastloads_own_functions_too(model: SavedModel, cache_root: Path) -> None:
    with fastload.disabled():
        fastload.load_model(model.path, keras=model.form.package)  # type: ignore[arg-type]
        told = fastload.explain(model.path).reason

    assert (outcome(), fastload.last_load().reason) == ("bypass", told)  # type: ignore[union-attr]
    assert told == "the load is inside a fastload.disabled() block"


def test_enabled_serves_without_install_in_this_task_only(
    model: SavedModel, cache_root: Path
) -> None:
    path = f"{model.form.package}.models.load_model"
    turns = asyncio.Event

    async def enabled(inside: asyncio.Event, done: asyncio.Event) -> int:
        with fastload.enabled():
            inside.set()
            await done.wait()
            before = counted_loads()
            named(path)(model.path)
            return counted_loads() - before

    async def plain(inside: asyncio.Event, done: asyncio.Event) -> int:
        await inside.wait()
        named(path)(model.path)
        done.set()
        return counted_loads()

    async def both() -> list[int]:
        inside, done = turns(), turns()
        return await asyncio.gather(enabled(inside, done), plain(inside, done))

    assert asyncio.run(both()) == [1, 0]
    assert named(path) is STOCK[path]


def test_the_innermost_scope_counts(model: SavedModel, hooks: None) -> None:
    load = named(f"{model.form.package}.models.load_model")
    with fastload.disabled(), fastload.enabled():
        load(model.path)

    assert counted_loads() == 1


def test_disable_wins_over_all(
    model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTLOAD_DISABLE", "1")
    fastload.install()
    with fastload.enabled():
        named(f"{model.form.package}.models.load_model")(model.path)

    assert not fastload.is_installed()
    assert counted_loads() == 0


def test_strict_raises_why(tmp_path: Path, hooks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTLOAD_STRICT", "1")
    with pytest.raises(fastload.errors.UnsupportedSourceError):  # type: ignore[attr-defined]
        keras.models.load_model(tmp_path / "nowhere.keras")


def test_verifying_compares_with_stock(model: SavedModel, hooks: None) -> None:
    """What fastload itself calls stock must be stock, whatever stands in for it."""
    from fastload.runtime.core.keras import keras_of

    keras_of(model.form.package).load_model(model.path)  # type: ignore[arg-type]

    assert counted_loads() == 0


@keras.utils.register_keras_serializable("hooks")
class Nesting(keras.layers.Layer):  # type: ignore[misc,name-defined]
    """A layer that loads another model when it is made, as real ones do."""

    def __init__(self, inner: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner_path = inner
        self.inner = keras.models.load_model(inner)

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "inner": self.inner_path}


@pytest.mark.parametrize("loader", ["stock", "installed", "own"])
def test_a_model_that_loads_another_one(loader: str, tmp_path: Path, cache_root: Path) -> None:
    """In the midst of a rebuild, whose rules are not those of the inner load."""
    keras.utils.set_random_seed(3)
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    inner.save(tmp_path / "inner.keras")
    inner.layers[0].set_weights([np.full((4, 2), 7.0), np.ones(2)])
    outer = keras.Sequential([keras.Input((4,)), Nesting(str(tmp_path / "inner.keras"))])
    outer.layers[0].inner.set_weights(inner.get_weights())
    outer.save(tmp_path / "outer.keras")
    load: Callable[..., Any] = {
        "stock": STOCK["keras.models.load_model"],
        "installed": lambda path: keras.models.load_model(path),  # noqa: PLW0108 - looked up late
        "own": fastload.load_model,
    }[loader]
    if loader == "installed":
        fastload.install()
    try:
        for _ in range(2):
            loaded = load(tmp_path / "outer.keras")
    finally:
        fastload.uninstall()

    np.testing.assert_array_equal(loaded(INPUTS), outer(INPUTS))
    assert loader == "stock" or outcome() == "hit"


def test_processes_inherit_the_choice(run_opted: RunOpted) -> None:
    program = (
        "import os, fastload\n"
        "def choice(): return os.environ.get('FASTLOAD')\n"
        "before = choice(); fastload.install(); during = choice(); fastload.uninstall()\n"
        "print(before, during, choice())"
    )

    assert run_opted(program) == "1 1 0"
    assert run_opted(program, FASTLOAD="") == "1 0"  # the first is empty


def run_in_threads(work: list[Callable[[], Any]]) -> None:
    """Run each in a thread of its own; what one raises fails the test."""
    failures: list[BaseException] = []

    def guarded(each: Callable[[], Any]) -> None:
        try:
            each()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def outcome() -> str | None:
    """Return how the latest load was served."""
    report = fastload.last_load()
    return None if report is None else report.outcome.value


def counted_loads() -> int:
    """Return how many loads the statistics of this test's cache know."""
    from fastload.cache import stats
    from fastload.cache.directory import CacheDir
    from fastload.settings import Settings

    return stats.read(CacheDir.locate(Settings.from_env(os.environ))).total.loads
