"""Layers that are damaged, vanish, or are far away: loads are right, and no layer is touched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.cache import read_only_layers as cache_layers
from fastload.loading import from_layers as loading_layers
from fastload.loading import plan as loading_plan
from fastload.report import LoadReport
from fastload.twin.index import read_index
from tests.conftest import SavedOnce
from tests.layers.conftest import MakeLayer, listing
from tests.small_models import (
    INPUTS,
    KERAS3_ARCHIVE,
    SAVED_MODEL,
    Form,
    assert_same_model,
    by_format,
    copy_model,
)

tf = pytest.importorskip("tensorflow")
FORMS = [by_format(SAVED_MODEL), by_format(KERAS3_ARCHIVE)]


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    found: Form = request.param
    return found


@pytest.fixture
def path(form: Form, saved_once: SavedOnce, tmp_path: Path) -> Path:
    return copy_model(saved_once(form), tmp_path / f"m{form.suffix}")


@pytest.fixture
def layer(
    form: Form, path: Path, make_layer: MakeLayer, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A layer with the twin of the model, and an own cache that is not there yet."""
    monkeypatch.setattr(cache_layers, "_told", set())
    found = make_layer(path, keras=form.package)
    monkeypatch.setenv("FASTLOAD_CACHE_PATH", str(found))
    monkeypatch.setenv("FASTLOAD_STRICT", "1")
    return found


def report() -> LoadReport:
    found = fastload.last_load()
    assert found is not None
    return found


def same_bits(one: Any, other: Any) -> bool:
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()


def stock_outputs(path: Path, form: Form) -> Any:
    """Return what the stock function of the model gives."""
    with fastload.disabled():
        return fastload.load_predictor(str(path), keras=form.package).predict(INPUTS)


def twin_of(layer: Path) -> Path:
    (found,) = layer.glob("*.h5")
    return found


def rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)


def outputs(model: Any) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = np.asarray(model.predict(INPUTS, verbose=0))
    return found


def test_a_warm_layer_leaves_nothing_to_learn(
    form: Form, path: Path, layer: Path, cache_root: Path
) -> None:
    """Nothing is written to it, and nothing beside a twin is made that it has."""
    before, stock = listing(layer), form.stock.models.load_model(path)
    model = fastload.load_model(path, keras=form.package)
    told = report()
    predict = fastload.load_predictor(path, keras=form.package)

    assert (told.outcome.value, told.layer, told.twin) == ("hit", layer, twin_of(layer))
    assert f"hit from the layer {layer}" in str(told)
    assert_same_model(stock, model)
    # As many rows as `warm` predicts: traces of Keras 3 are of a number of rows.
    assert same_bits(model.predict(INPUTS[:1]), stock.predict(INPUTS[:1]))
    assert same_bits(predict.predict(INPUTS), stock_outputs(path, form))
    assert listing(layer) == before
    kept = {each.suffix for each in cache_root.iterdir() if each.is_file()}
    assert kept == {".TAG"}


def test_what_is_learnt_goes_to_the_cache(
    form: Form, path: Path, layer: Path, cache_root: Path
) -> None:
    """A layer that has the twin alone: functions, traces and code records are kept beside none."""
    for side in [*layer.glob("*.flat"), *layer.glob("*.json")]:
        side.unlink()
    before = listing(layer)
    for _ in range(2):
        model = fastload.load_model(path, keras=form.package)
        outputs(model)
        fastload.load_predictor(path, keras=form.package)

    assert listing(layer) == before
    # Older versions of Keras trace nothing that is kept with a code record.
    assert {".flat"} <= {each.suffix for each in cache_root.glob("[0-9a-f]*")} <= {".flat", ".json"}
    assert report().outcome.value == "hit"


def test_without_a_place_to_write_it_is_kept_in_memory(
    form: Form, path: Path, layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second load of a process hashes nothing, and makes no function."""
    for side in [*layer.glob("*.flat"), *layer.glob("*.json")]:
        side.unlink()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr("fastload.source.fingerprint.WRITE_BACK_NS", 0)
    before, first = listing(layer), fastload.load_predictor(path, keras=form.package)

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("fastload.source.fingerprint.fingerprint", fail)
    monkeypatch.setattr("fastload.runtime.functions.flattening.flatten", fail)
    second = fastload.load_predictor(path, keras=form.package)

    assert (report().outcome.value, report().layer, report().reason) == ("hit", layer, None)
    assert same_bits(np.asarray(first.predict(INPUTS)), np.asarray(second.predict(INPUTS)))
    assert listing(layer) == before


def truncated(layer: Path) -> None:
    twin = twin_of(layer)
    rewrite(twin, twin.read_bytes()[:-100])


def emptied(layer: Path) -> None:
    rewrite(twin_of(layer), b"")


def with_damaged_documents(layer: Path) -> None:
    """Its header and index are right; what a restore reads is not."""
    twin = twin_of(layer)
    content = bytearray(twin.read_bytes())
    for document in read_index(twin).documents:
        content[document.offset] ^= 255
    rewrite(twin, bytes(content))


def unreadable_link(layer: Path) -> None:
    twin = twin_of(layer)
    twin.unlink()
    twin.symlink_to("/nowhere")


@pytest.mark.parametrize("damage", [truncated, emptied, with_damaged_documents, unreadable_link])
def test_a_damaged_twin_is_converted_again(
    damage: Any, form: Form, path: Path, layer: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By this very load, for the cache; the layer stays as it is, and is asked no more."""
    damage(layer)
    before, stock = listing(layer), form.stock.models.load_model(path)
    model = fastload.load_model(path, keras=form.package)
    first = report()
    fastload.load_model(path, keras=form.package)

    assert (first.outcome.value, first.layer) == ("miss", None)
    assert_same_model(stock, model)
    assert (report().outcome.value, report().layer) == ("hit", None)
    assert str(twin_of(layer)) in caplog.text
    assert listing(layer) == before


def test_what_is_damaged_beside_a_twin_is_made_again(form: Form, path: Path, layer: Path) -> None:
    """Functions, traces, records: in the cache."""
    for side in [*layer.glob("*.flat"), *layer.glob("*.json")]:
        rewrite(side, side.read_bytes()[:-10])
    before, stock = listing(layer), form.stock.models.load_model(path)
    model = fastload.load_model(path, keras=form.package)
    predict = fastload.load_predictor(path, keras=form.package)

    assert (report().outcome.value, report().layer) == ("hit", layer)
    assert same_bits(outputs(model), outputs(stock))
    assert same_bits(predict.predict(INPUTS), stock_outputs(path, form))
    assert listing(layer) == before


def test_a_layer_that_vanishes_is_done_without(form: Form, path: Path, layer: Path) -> None:
    """What was loaded goes on; the next load converts."""
    stock = form.stock.models.load_model(path)
    model = fastload.load_model(path, keras=form.package)
    predict = fastload.load_predictor(path, keras=form.package)
    shutil.rmtree(layer)

    assert same_bits(outputs(model), outputs(stock))
    assert same_bits(predict.predict(INPUTS), stock_outputs(path, form))
    fastload.load_model(path, keras=form.package)
    assert (report().outcome.value, report().layer) == ("miss", None)


def test_a_layer_that_vanishes_during_a_load_is_done_without(
    form: Form, path: Path, layer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it was found, before the twin is opened."""

    def gone(layers: Any, name: str) -> Path | None:
        found = cache_layers.file_in(layers, name)
        if layer.exists():
            shutil.rmtree(layer)
        return found

    monkeypatch.setattr(loading_layers, "file_in", gone)
    fastload.load_model(path, keras=form.package)

    assert (report().outcome.value, report().layer) == ("miss", None)


def test_a_twin_of_a_network_file_system_is_copied_once(
    form: Form, path: Path, layer: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens to the layer afterwards, in place even, touches nobody."""
    monkeypatch.setattr(loading_layers, "is_network_filesystem", lambda each: layer in each.parents)
    stock = form.stock.models.load_model(path)
    model = fastload.load_model(path, keras=form.package)
    first = report()
    truncated(layer)
    fastload.load_model(path, keras=form.package)

    assert (first.outcome.value, first.layer) == ("hit", None)
    assert first.twin is not None
    assert first.twin.parent == cache_root
    assert first.twin.stat().st_mode & 0o777 == 0o400
    assert same_bits(outputs(model), outputs(stock))
    assert (report().outcome.value, report().twin) == ("hit", first.twin)


def test_a_damaged_twin_of_a_network_file_system_is_not_copied(
    form: Form, path: Path, layer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every byte is compared with its digest: of a weight too, which a load does not do."""
    monkeypatch.setattr(loading_layers, "is_network_filesystem", lambda each: layer in each.parents)
    twin = twin_of(layer)
    content = bytearray(twin.read_bytes())
    content[read_index(twin).weights[0].offset] ^= 255
    rewrite(twin, bytes(content))
    model = fastload.load_model(path, keras=form.package)

    assert (report().outcome.value, report().layer) == ("miss", None)
    assert_same_model(form.stock.models.load_model(path), model)


def test_a_twin_of_a_network_file_system_that_cannot_be_copied_is_read(
    form: Form, path: Path, layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once: what happens to the file afterwards touches nobody."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", str(tmp_path / "file"))
    for module in (loading_layers, __import__("fastload.loading.opening", fromlist=["x"])):
        monkeypatch.setattr(module, "is_network_filesystem", lambda _: True)
    stock = form.stock.models.load_model(path)
    model = fastload.load_model(path, keras=form.package)
    emptied(layer)

    assert (report().outcome.value, report().layer) == ("hit", layer)
    assert same_bits(outputs(model), outputs(stock))


def test_weights_on_loan_come_from_a_layer(form: Form, path: Path, layer: Path) -> None:
    """Read from the layer's file, within a budget."""
    before = listing(layer)
    predict = fastload.load_predictor(path, keras=form.package, memory_budget="1GiB")

    assert (report().outcome.value, report().layer) == ("hit", layer)
    assert same_bits(predict.predict(INPUTS), stock_outputs(path, form))
    assert fastload.residency(predict).budget_bytes == 2**30
    assert listing(layer) == before


def test_a_layer_of_everybody_is_left_out(
    form: Form, path: Path, layer: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The load says so once, and converts."""
    layer.chmod(0o777)
    for outcome in ("miss", "hit"):
        fastload.load_model(path, keras=form.package)
        assert (report().outcome.value, report().layer) == (outcome, None)

    assert caplog.text.count(f"Run: chmod -R go-w {layer}") == 1


def test_without_layers_nothing_is_asked_of_them(
    form: Form, path: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a system call, nor a module."""
    fastload.load_model(path, keras=form.package)

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(cache_layers, "file_in", fail)
    monkeypatch.setattr(cache_layers, "with_layers", fail)
    monkeypatch.setattr(os.path, "lexists", fail)
    fastload.load_model(path, keras=form.package)

    assert report().outcome.value == "hit"
    assert loading_plan is not None


def test_a_migrated_model_comes_from_a_layer(
    saved_once: SavedOnce,
    make_layer: MakeLayer,
    cache_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keras 3 refuses the SavedModel; both its twins are in the layer."""
    pytest.importorskip("keras", minversion="3")
    path = saved_once(SAVED_MODEL)
    layer = make_layer(path, keras="keras")
    monkeypatch.setenv("FASTLOAD_CACHE_PATH", str(layer))
    before = listing(layer)
    fastload.load_model(path, keras="keras", strict=True)
    told = report()
    fastload.load_predictor(path, strict=True)

    assert (told.outcome.value, told.layer) == ("hit", layer)
    assert (report().outcome.value, report().layer) == ("hit", layer)
    assert listing(layer) == before
