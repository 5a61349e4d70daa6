"""`model.signatures` of a restored model: unread until somebody looks, and then it is stock's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.runtime.core.tensorflow import parse_saved_model
from tests.conftest import SavedOnce
from tests.small_models import INPUTS, SAVED_MODEL, SavedModel, copy_model

tf = pytest.importorskip("tensorflow")


@pytest.fixture
def loaded(saved_model: SavedModel, cache_root: Path) -> Any:
    """The model, from its twin."""
    fastload.warm(saved_model.path, keras=saved_model.form.package)
    return fastload.load_model(saved_model.path, keras=saved_model.form.package, strict=True)


def call(model: Any) -> Any:
    """Return what the serving signature makes of the inputs."""
    (result,) = model.signatures["serving_default"](tf.constant(INPUTS)).values()
    return result.numpy()


def test_signatures_are_those_of_a_stock_load(loaded: Any, saved_model: SavedModel) -> None:
    """Same class, names, structure and outputs."""
    stock = saved_model.load_stock()

    assert type(loaded.signatures) is type(stock.signatures)
    assert list(loaded.signatures) == list(stock.signatures)
    assert len(loaded.signatures) == 1
    ours, theirs = (m.signatures["serving_default"] for m in (loaded, stock))
    assert ours.structured_input_signature == theirs.structured_input_signature
    assert ours.structured_outputs == theirs.structured_outputs
    np.testing.assert_array_equal(call(loaded), call(stock))


def test_signatures_use_the_variables_of_the_model(loaded: Any) -> None:
    """They are captured, not copied."""
    captured = loaded.signatures["serving_default"].variables

    assert {id(each) for each in captured} == {id(each) for each in loaded.weights}


def test_signatures_see_what_training_changed_before_they_were_made(loaded: Any) -> None:
    """Making them late does not bring the old weights back."""
    loaded.fit(INPUTS, np.ones((3, 4)), verbose=0)
    expected = loaded(INPUTS).numpy()

    np.testing.assert_allclose(call(loaded), expected, atol=1e-6)
    np.testing.assert_array_equal(loaded(INPUTS).numpy(), expected)


def test_signatures_see_what_training_changes_afterwards(loaded: Any) -> None:
    """As in stock."""
    before = call(loaded)
    loaded.fit(INPUTS, np.ones((3, 4)), verbose=0)

    assert (call(loaded) != before).any()
    np.testing.assert_allclose(call(loaded), loaded(INPUTS).numpy(), atol=1e-6)


def test_signatures_need_no_files(
    loaded: Any, saved_model: SavedModel, saved_once: SavedOnce
) -> None:
    """Programs unpack a model, load it and remove it; what is there now may be another one."""
    before = loaded(INPUTS).numpy()
    shutil.rmtree(saved_model.path)
    copy_model(saved_once(SAVED_MODEL, "sequential"), saved_model.path)

    np.testing.assert_allclose(call(loaded), before, atol=1e-6)


def test_signatures_are_found_after_a_change_of_folder(
    saved_model: SavedModel, cache_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A relative path means what it meant when the model was loaded."""
    fastload.warm(saved_model.path, keras=saved_model.form.package)
    monkeypatch.chdir(saved_model.path.parent)
    loaded = fastload.load_model(saved_model.path.name, keras=saved_model.form.package, strict=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    np.testing.assert_allclose(call(loaded), loaded(INPUTS).numpy(), atol=1e-6)


def test_signatures_use_constants_that_the_tree_of_objects_leaves_out(
    saved_model: SavedModel, cache_root: Path
) -> None:
    """TensorFlow 2.8 saves them as nobody's children, and every later one reads such files."""
    keras = saved_model.form.stock
    inputs = keras.Input((4,))
    scaled = keras.layers.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=4.0)(inputs)
    keras.Model(inputs, scaled).save(saved_model.path)
    _orphan_constants(saved_model.path / "saved_model.pb")
    loaded = fastload.load_model(saved_model.path, keras=saved_model.form.package, strict=True)

    np.testing.assert_array_equal(call(loaded), call(saved_model.load_stock()))


def test_gradients_of_signatures_are_those_of_stock(
    saved_model: SavedModel, cache_root: Path
) -> None:
    """Swish has a gradient of its own, which is a function that no object names."""
    keras = saved_model.form.stock
    inputs = keras.Input((4,))
    shutil.rmtree(saved_model.path)
    outputs = keras.layers.Dense(3, activation="swish")(inputs)
    keras.Model(inputs, outputs).save(saved_model.path)
    path, package = str(saved_model.path), saved_model.form.package
    expected = gradient(tf.saved_model.load(path))

    for _ in range(2):
        loaded = fastload.load_model(path, keras=package, strict=True)
        np.testing.assert_array_equal(gradient(loaded), expected)
        np.testing.assert_array_equal(
            gradient(fastload.load_saved_model(path, strict=True)), expected
        )


def gradient(loaded: Any) -> Any:
    """Return how what the serving signature makes of the inputs changes with them."""
    inputs = tf.constant(INPUTS)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        (outputs,) = loaded.signatures["serving_default"](inputs).values()
    return tape.gradient(outputs, inputs).numpy()


def _orphan_constants(path: Path) -> None:
    saved = parse_saved_model(path.read_bytes())
    nodes = saved.meta_graphs[0].object_graph_def.nodes
    constants = {n for n, node in enumerate(nodes) if node.WhichOneof("kind") == "constant"}
    for node in nodes:
        kept = [child for child in node.children if child.node_id not in constants]
        del node.children[:]
        node.children.extend(kept)
    path.write_bytes(saved.SerializeToString())

    assert constants
