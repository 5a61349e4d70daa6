"""`load_weights` of weights in shards, from one twin of all: as stock reads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import fastload
from fastload.cli.main import commands
from fastload.report import Outcome
from tests.api.test_load_weights import (
    aged,
    assert_same_state,
    keras_of,
    like,
    made,
    told,
    wider,
)

#: In GB: about two variables of the model, so that layers have some in one shard, some in the next.
_SIZE = 100 / 2**30


@pytest.fixture
def keras(cache_root: Path) -> Any:
    """A Keras that writes shards."""
    found = keras_of(3)
    saving_lib = pytest.importorskip("keras.src.saving.saving_lib")
    if not hasattr(saving_lib, "ShardedH5IOStore"):
        pytest.skip("this Keras writes no shards")
    if found.__version__.startswith("3.10."):
        pytest.skip("this Keras does not find variables of one layer in two shards")
    return found


@pytest.fixture
def path(keras: Any, tmp_path: Path) -> Path:
    """The map of the weights of a trained model, older than this process as all shards are."""
    return _saved(keras, tmp_path / "models")


def _saved(keras: Any, folder: Path, *, seed: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "file.weights.json"
    made(keras, seed=seed).save_weights(path, max_shard_size=_SIZE)
    for each in folder.iterdir():
        aged(each)
    assert len(list(folder.glob("*.h5"))) > 4
    return path


def test_weights_are_those_of_stock(keras: Any, path: Path) -> None:
    """A miss and a hit leave weights and optimizer as stock leaves them; no file is written to."""
    expected = made(keras, seed=2)
    expected.load_weights(path)
    for outcome in (Outcome.MISS, Outcome.HIT, Outcome.HIT):
        model = made(keras, seed=2)
        assert fastload.load_weights(model, path, strict=True) is None
        assert fastload.last_load().outcome is outcome
        assert_same_state(expected, model)


def test_models_without_the_optimizer_are_told_the_same(keras: Any, path: Path) -> None:
    """What is left in the files is no error, and no warning more than stock's."""
    models = [like(made(keras)) for _ in range(2)]
    expected = told(lambda: models[0].load_weights(path))
    for _ in range(2):
        assert told(lambda: fastload.load_weights(models[1], path)) == expected
        # Some versions of stock fail here.
        assert (fastload.last_load().outcome is Outcome.BYPASS) == bool(expected[1])
        assert_same_state(*models)


@pytest.mark.parametrize(
    "arguments", [{}, {"skip_mismatch": True}, {"by_name": True}, {"other": 1}], ids=str
)
def test_what_does_not_fit_fails_as_in_stock(
    keras: Any, path: Path, arguments: dict[str, Any]
) -> None:
    """The same error, warnings and half-loaded state, with a twin and without."""
    keras.utils.set_random_seed(5)
    start = wider(keras)
    expected = like(start)
    expected.set_weights(start.get_weights())
    stock = told(lambda: expected.load_weights(path, **arguments))
    for _ in range(2):
        model = like(start)
        model.set_weights(start.get_weights())
        assert told(partial(fastload.load_weights, model, path, **arguments)) == stock
        assert_same_state(expected, model)
        fastload.load_weights(made(keras), path, strict=True)


def _cut(path: Path) -> None:
    shard = sorted(path.parent.glob("*.h5"))[1]
    shard.write_bytes(shard.read_bytes()[:900])


def _remove(number: int) -> Callable[[Path], None]:
    def remove(path: Path) -> None:
        sorted(path.parent.glob("*.h5"))[number].unlink()

    return remove


def _swap(path: Path) -> None:
    first, second = sorted(path.parent.glob("*.h5"))[:2]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def _edit(edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def edited(path: Path) -> None:
        found = json.loads(path.read_text())
        path.write_text(json.dumps(edit(found["weight_map"]) or found))

    return edited


def _elsewhere(weights: dict[str, Any]) -> None:
    weights["/layers/dense/vars"] = "../outside.weights.h5"


_HARM: dict[str, Callable[[Path], None]] = {
    "first shard gone": _remove(0),
    "last shard gone": _remove(-1),
    "shard cut": _cut,
    "shards swapped": _swap,
    "map cut": lambda path: path.write_text(path.read_text()[:50]),
    "map is a list": lambda path: path.write_text("[]"),
    "map has no weights": _edit(lambda _: {"metadata": {}}),
    "map is empty": _edit(lambda weights: weights.clear()),
    "map lists something else": _edit(lambda weights: weights.update(dict.fromkeys(weights, 3))),
    "map lacks a layer": _edit(lambda weights: weights.pop(min(weights)) and None),
    "map lists one shard": _edit(
        lambda weights: weights.update(dict.fromkeys(weights, "file_00001.weights.h5"))
    ),
    "map leads elsewhere": _edit(_elsewhere),
    "map is HDF5": lambda path: shutil.copy(path.with_name("file_00000.weights.h5"), path) and None,
}


@pytest.mark.parametrize("harm", _HARM)
@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
def test_damage_is_stocks(keras: Any, path: Path, harm: str, *, is_warm: bool) -> None:
    """What stock makes of damaged, missing and exchanged files, it makes here."""
    if is_warm:
        fastload.load_weights(made(keras), path, strict=True)
    _HARM[harm](path)
    expected, model, again = (made(keras, seed=3) for _ in range(3))
    stock = told(lambda: expected.load_weights(path))
    for each in (model, again):
        for file in path.parent.iterdir():
            aged(file)
        assert told(partial(fastload.load_weights, each, path)) == stock
        assert_same_state(expected, each)


def test_other_shards_have_other_twins(keras: Any, path: Path, tmp_path: Path) -> None:
    """A shard that was exchanged for that of another model is another content; a copy is not."""
    fastload.load_weights(made(keras), path, strict=True)
    copy = shutil.copytree(path.parent, tmp_path / "copy") / path.name
    fastload.load_weights(made(keras), copy, strict=True)
    assert fastload.last_load().outcome is Outcome.HIT
    other = _saved(keras, tmp_path / "other", seed=7)
    for name in ("file_00000.weights.h5", "file_00002.weights.h5"):
        other.with_name(name).replace(path.with_name(name))
        model, expected = made(keras, seed=2), made(keras, seed=2)
        expected.load_weights(path)
        fastload.load_weights(model, path, strict=True)
        assert fastload.last_load().outcome is Outcome.MISS
        assert_same_state(expected, model)


def test_links_of_a_hubs_cache_are_followed(keras: Any, path: Path, tmp_path: Path) -> None:
    """Shards are beside the link to the map, as they are called there, and not beside the map."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    for number, file in enumerate(sorted(path.parent.iterdir())):
        (snapshot / file.name).symlink_to(file.rename(blobs / str(number)))
    for outcome in (Outcome.MISS, Outcome.HIT):
        model, expected = made(keras, seed=2), made(keras, seed=2)
        expected.load_weights(snapshot / path.name)
        fastload.load_weights(model, snapshot / path.name, strict=True)
        assert fastload.last_load().outcome is outcome
        assert_same_state(expected, model)


@pytest.mark.parametrize("name", ["file.json", "file.weights.h5", "other.weights.json"])
def test_other_names_are_stocks(keras: Any, path: Path, name: str) -> None:
    """The name says what Keras takes a file for, and what the first shard is called."""
    renamed = path.rename(path.with_name(name))
    model, expected = made(keras, seed=2), made(keras, seed=2)
    stock = told(lambda: expected.load_weights(renamed))
    assert stock[1]
    assert told(lambda: fastload.load_weights(model, renamed)) == stock
    assert fastload.last_load().code == "FL201"


def test_addresses_are_stocks(keras: Any, path: Path) -> None:
    """Keras copies the map alone from what it takes for a remote path."""
    model, expected = made(keras, seed=2), made(keras, seed=2)
    address = path.as_uri()
    stock = told(lambda: expected.load_weights(address))
    fastload.load_weights(made(keras), path, strict=True)
    assert told(lambda: fastload.load_weights(model, address))[1][:17] == stock[1][:17] != ""
    assert fastload.last_load().code == "FL206"


def test_new_shards_get_no_twin(keras: Any, path: Path, cache_root: Path) -> None:
    """One that this process wrote is enough for that."""
    path.with_name("file_00001.weights.h5").touch()
    fastload.load_weights(made(keras), path)
    assert "after this process began" in str(fastload.last_load().reason)
    assert not list(cache_root.glob("**/*.h5"))


def test_no_model_is_in_them(keras: Any, path: Path) -> None:
    """`load_model` fails as in stock, in either Keras."""
    for package in ("keras", "tf_keras"):
        if package == "tf_keras":
            pytest.importorskip(package)
        assert fastload.explain(path, keras=package).code == "FL201"  # type: ignore[arg-type]
    expected = told(lambda: keras.models.load_model(path))
    assert told(lambda: fastload.load_model(path, keras="keras")) == expected


def test_warm_and_explain_know_them(keras: Any, path: Path) -> None:
    """The twin that `warm` writes is found by the first load; the commands say what it is."""
    assert fastload.explain(path, keras="keras", function="load_weights").outcome is Outcome.MISS
    report = fastload.warm(path, keras="keras")
    assert (report.outcome, report.code) == (Outcome.MISS, "FL201")
    assert "it serves load_weights alone" in str(report.reason)
    explained = fastload.explain(path, keras="keras", function="load_weights")
    assert (explained.outcome, explained.kind) == (Outcome.HIT, "keras_shards")
    assert fastload.explain(path, keras="tf_keras", function="load_weights").code == "FL201"
    fastload.load_weights(made(keras), path, strict=True)
    assert fastload.last_load().outcome is Outcome.HIT
    done = CliRunner().invoke(commands, ["info", "--json", str(path)])
    told_of = json.loads(done.stdout)["entries"][0]
    assert (told_of["serves"], told_of["kind"]) == (["load_weights"], "keras_shards")
    assert CliRunner().invoke(commands, ["ls"]).stdout.count("shards") == 1
