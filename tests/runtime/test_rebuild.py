"""Patches: in place while a rebuild runs, felt by its own context alone, gone afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastload.errors import FastloadError
from fastload.runtime.core.rebuild import Patch, Rebuild, current_rebuild, rebuilding
from tests.installed import is_before
from tests.needs import skip_in_first_keras_3
from tests.small_models import KERAS2_HDF5, KERAS3_HDF5, SAVED_MODEL, SavedModel

pytest.importorskip("tensorflow")


class Library:
    """Stands for Keras: it has one function that makes things."""

    @staticmethod
    def make() -> str:
        return "stock"


def patch() -> Patch:
    def patched(stock: Callable[[], str]) -> Callable[[], str]:
        return lambda: stock() if current_rebuild() is None else "blank"

    return Patch(Library, "make", patched)


@pytest.fixture(autouse=True)
def untouched_library() -> Any:
    """Whatever a test does, the library must be its old self afterwards."""
    before = vars(Library)["make"]
    yield
    assert vars(Library)["make"] is before


def test_a_rebuild_feels_the_tap() -> None:
    """Inside the block, and not after it."""
    with rebuilding(Rebuild(), [patch()]):
        inside = Library.make()

    assert (inside, Library.make()) == ("blank", "stock")


def test_other_threads_do_not_feel_the_tap() -> None:
    """A thread that makes layers meanwhile gets the stock ones."""
    with rebuilding(Rebuild(), [patch()]), ThreadPoolExecutor(1) as pool:
        elsewhere = pool.submit(Library.make).result()

    assert elsewhere == "stock"


def test_a_nested_rebuild_ends_alone() -> None:
    """A custom layer may load a model while it is rebuilt itself."""
    outer, inner = Rebuild(), Rebuild()
    with rebuilding(outer, [patch()]):
        with rebuilding(inner, [patch()]):
            within = current_rebuild()
        after = current_rebuild()
        made = Library.make()

    assert within is inner
    assert after is outer
    assert made == "blank"
    assert current_rebuild() is None


def test_an_error_takes_the_tap_away() -> None:
    """The autouse fixture looks whether the function is the stock one again."""
    with pytest.raises(RuntimeError, match="inside"), rebuilding(Rebuild(), [patch()]):
        raise RuntimeError("inside")

    assert current_rebuild() is None


def test_an_error_while_filling_takes_the_tap_away() -> None:
    """Initial values come from initializers of users, which may raise."""

    def fail() -> Any:
        raise RuntimeError("no value")

    rebuild = Rebuild(unfilled=[fail])
    with pytest.raises(RuntimeError, match="no value"), rebuilding(rebuild, [patch()]):
        pass

    assert current_rebuild() is None


def test_a_tap_that_cannot_be_made_leaves_the_others_closed() -> None:
    """The second patch names a function that is not there."""
    patches = [patch(), Patch(Library, "moved", lambda stock: stock)]

    with pytest.raises(KeyError, match="moved"), rebuilding(Rebuild(), patches):
        pass


def test_overlapping_rebuilds_share_the_tap() -> None:
    """The first to begin may be the first to end; the patch goes with the last."""
    inside, leave = threading.Event(), threading.Event()
    made: list[str] = []

    def second() -> None:
        with rebuilding(Rebuild(), [patch()]):
            inside.set()
            leave.wait(10)
            made.append(Library.make())

    thread = threading.Thread(target=second)
    with rebuilding(Rebuild(), [patch()]):
        thread.start()
        inside.wait(10)
    outside = Library.make()
    leave.set()
    thread.join()

    assert (outside, made) == ("stock", ["blank"])


def test_many_rebuilds_at_once_leave_the_stock_function() -> None:
    """Counting users of a patch does not lose one."""

    def rebuild(_: int) -> str:
        with rebuilding(Rebuild(), [patch()]):
            return Library.make()

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(rebuild, range(200)))

    assert made == {"blank"}


def test_after_a_load_every_patched_function_is_the_stock_one(
    model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a miss, after a hit, and after a restore that failed."""
    import fastload
    from fastload.runtime.keras2 import keras2_loaders, revived
    from fastload.runtime.keras3 import keras3_loaders

    before: dict[Patch, Any] = {}

    def watched(rebuild: Rebuild, patches: Sequence[Patch]) -> Any:
        before.update({patch: vars(patch.holder)[patch.name] for patch in patches})
        return rebuilding(rebuild, patches)

    for loaders in (keras2_loaders, keras3_loaders, revived):
        monkeypatch.setattr(loaders, "rebuilding", watched)
    for _ in range(2):
        fastload.load_model(model.path, keras=model.form.package, strict=True)
    monkeypatch.setattr(model.form.stock.layers.Dense, "from_config", refuse)
    is_revived = model.form is SAVED_MODEL and not is_before("2.12")  # as stock does
    with nullcontext() if is_revived else pytest.raises(FastloadError):
        fastload.load_model(model.path, keras=model.form.package, strict=True)

    assert before
    assert all(vars(patch.holder)[patch.name] is stock for patch, stock in before.items())


def refuse(config: Any) -> Any:
    raise RuntimeError("refused")


@pytest.mark.parametrize(
    "model", [SAVED_MODEL, KERAS2_HDF5, KERAS3_HDF5], ids=lambda form: form.id, indirect=True
)
def test_layers_made_by_another_thread_meanwhile_are_ordinary(
    model: SavedModel, cache_root: Path
) -> None:
    """A load that is in the middle of its rebuild does not blank the layers of others."""
    import fastload

    skip_in_first_keras_3(model.form.generation)
    made: list[Any] = []
    keras = model.form.stock

    class Watching(keras.layers.Dense):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            with ThreadPoolExecutor(1) as pool:
                made.append(pool.submit(ordinary_kernel, keras).result())
            super().build(shape)

    fastload.load_model(
        model.path, {"Dense": Watching}, keras=model.form.package, strict=True, compile=False
    )

    assert len(made) == 3
    assert all(kernel.any() for kernel in made)


def ordinary_kernel(keras: Any) -> Any:
    layer = keras.layers.Dense(5)
    layer.build((None, 5))
    return np.asarray(layer.kernel)


@pytest.mark.parametrize(
    "model", [SAVED_MODEL, KERAS2_HDF5, KERAS3_HDF5], ids=lambda form: form.id, indirect=True
)
def test_weights_that_no_file_holds_get_their_initial_value(
    model: SavedModel, cache_root: Path
) -> None:
    """A variable that stays blank is filled as stock fills it."""
    import fastload

    skip_in_first_keras_3(model.form.generation)
    keras = model.form.stock

    class Wider(keras.layers.Dense):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            super().build(shape)
            self.extra = ExtraHolder(keras)

    class ExtraHolder:
        """Not tracked by Keras, so that the loaders do not miss it in the file."""

        def __init__(self, keras: Any) -> None:
            layer = keras.layers.Dense(5, bias_initializer="ones")
            layer.build((None, 5))
            self.values = lambda: (np.asarray(layer.kernel), np.asarray(layer.bias))

    loaded = fastload.load_model(
        model.path, {"Dense": Wider}, keras=model.form.package, strict=True, compile=False
    )
    found = [layer.extra.values() for layer in loaded.layers if isinstance(layer, Wider)]

    assert len(found) == 3
    assert all(kernel.any() and bias.all() for kernel, bias in found)


def test_what_a_program_patches_meanwhile_stays() -> None:
    """Its patch calls ours, which does nothing by then."""
    before = vars(Library)["make"]
    try:
        with rebuilding(Rebuild(), [patch()]):
            ours = Library.make
            Library.make = staticmethod(lambda: f"mine, {ours()}")  # type: ignore[method-assign]
            inside = Library.make()
        with rebuilding(Rebuild(), [patch()]):
            again = Library.make()
        after = Library.make()
    finally:
        Library.make = before  # type: ignore[method-assign]

    assert (inside, again, after) == ("mine, blank", "blank", "mine, stock")
