"""Twins as other programs see them: stock Keras opens them as HDF5 files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import fastload
from fastload.twin.reader import Twin
from tests.conftest import RunPython, SavedOnce
from tests.installed import is_before
from tests.needs import NEEDS_ARCHIVES
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
    assert_same_weights,
    save,
)

pytest.importorskip("tensorflow")


def warm(path: Path, form: Form) -> Path:
    """Write the twin of the model at *path* and return where it is."""
    twin = fastload.warm(path, keras=form.package).twin
    assert twin is not None
    return twin


@pytest.mark.parametrize("layout", ["functional", "sequential"])
@pytest.mark.parametrize(
    "form", [SAVED_MODEL, KERAS2_HDF5, KERAS3_HDF5, KERAS3_ARCHIVE], ids=lambda form: form.id
)
def test_stock_keras_opens_the_twin(
    form: Form, layout: str, saved_once: SavedOnce, cache_root: Path
) -> None:
    """Without fastload: same weights, same outputs."""
    if form is KERAS3_ARCHIVE and is_before("3.6"):
        pytest.skip("this Keras writes no names of layers")
    path = saved_once(form, layout)
    load = form.stock.models.load_model

    assert_same_weights(load(path), load(warm(path, form)))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.id)
def test_every_weight_of_the_model_is_in_the_twin(
    form: Form, saved_once: SavedOnce, cache_root: Path
) -> None:
    """As one aligned dataset each, to the bit."""
    path = saved_once(form)
    twin = Twin.open(warm(path, form))
    stored = {twin.array(name).tobytes() for name in twin.refs}
    model = form.stock.models.load_model(path)

    assert {weight.tobytes() for weight in model.get_weights()} <= stored
    assert twin.verify() == ()
    assert all(ref.offset % 64 == 0 for ref in twin.refs.values())


@NEEDS_ARCHIVES
def test_a_twin_of_a_keras_2_archive_is_an_hdf5_file(
    saved_once: SavedOnce, cache_root: Path
) -> None:
    """Its tree of variables has no legacy layout, so stock Keras does not open it; h5py does."""
    with h5py.File(warm(saved_once(KERAS2_ARCHIVE), KERAS2_ARCHIVE)) as file:
        shapes = {name: file[f"state/layers/dense/vars/{name}"].shape for name in "01"}

    assert shapes == {"0": (4, 4), "1": (4,)}


@pytest.mark.skipif(is_before("3.6"), reason="this Keras writes no names of layers")
def test_layers_with_many_variables_keep_their_order(tmp_path: Path, cache_root: Path) -> None:
    """Names in an archive are numbers, which do not sort as text: 10 comes after 9."""
    form = KERAS3_ARCHIVE
    keras = form.stock

    @keras.saving.register_keras_serializable("tests_convert")
    class Many(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def build(self, shape: Any) -> None:
            for number in range(12):
                self.add_weight(name=f"w{number}", shape=(4,), initializer="normal")

        def call(self, inputs: Any) -> Any:
            return inputs + sum(self.weights[3:])

    inputs = keras.Input((4,))
    save(keras.Model(inputs, Many(name="many")(inputs)), tmp_path / "m.keras")
    load = keras.models.load_model
    stock, opened = load(tmp_path / "m.keras"), load(warm(tmp_path / "m.keras", form))

    assert_same_arrays(stock.get_weights(), opened.get_weights())


def test_a_model_whose_layers_nest_has_no_legacy_part(tmp_path: Path, cache_root: Path) -> None:
    """Stock could not tell which layer a weight is of; fastload itself needs no such part."""
    form = KERAS3_ARCHIVE
    keras = form.stock
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    path = tmp_path / "m.keras"
    save(keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(2)]), path)
    with h5py.File(warm(path, form)) as file:
        has_legacy_part = "model_config" in file.attrs
    loaded = fastload.load_model(path, keras=form.package, strict=True)

    assert not has_legacy_part
    assert_same_weights(keras.models.load_model(path), loaded)


def test_versions_and_names_are_on_record(saved_once: SavedOnce, cache_root: Path) -> None:
    """Who wrote a twin, and which objects a load will need."""
    manifest = Twin.open(warm(saved_once(SAVED_MODEL), SAVED_MODEL)).manifest

    assert {"python"} < manifest.versions.keys()
    assert manifest.object_names["Dense"] == "a"
    assert (manifest.source_kind, manifest.generation) == ("saved_model", "keras2")


CUSTOM_MODULE = """
import sys
{imports}

@keras.utils.register_keras_serializable("elsewhere")
class Twice(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.Dense(4)

    def build(self, shape):
        self.inner.build(shape)
        self.built = True

    def call(self, inputs):
        return 2 * self.inner(inputs)

    def get_config(self):
        return super().get_config()
"""
SAVE_CUSTOM = """
import sys
sys.path.insert(0, sys.argv[1])
import elsewhere
inputs = elsewhere.keras.Input((4,))
model = elsewhere.keras.Model(inputs, elsewhere.Twice(name="mine")(inputs))
for path in sys.argv[2:]: model.save(path)
"""
CONVERT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from fastload.convert.convert import convert
from fastload.source.detect import detect
from fastload.source.fingerprint import fingerprint

source = detect(sys.argv[2])
convert(Path(sys.argv[3]), source, fingerprint(source), sys.argv[4], "keras")
functions = []
if "tensorflow" in sys.modules:
    import tensorflow as tf
    from tensorflow.python.eager import context
    functions = context.context().list_function_names()
loaded = {name.split(".")[0] for name in sys.modules}
print(json.dumps([sorted(loaded & {"elsewhere", "keras", "tf_keras"}), len(functions)]))
"""


@pytest.fixture(scope="module")
def custom_models(
    run_python: RunPython, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Form], Path]:
    """Give a model with a custom layer; its module is beside it."""

    def model(form: Form) -> Path:
        package = form.stock.__name__
        # `keras` of TensorFlow 2.10 lacks what registers a class; `tf.keras` has it.
        imports = (
            f"import {package} as keras"
            if not is_before("2.12")
            else "from tensorflow import keras"
        )
        folder = tmp_path_factory.getbasetemp() / f"custom{form.generation}"
        if not folder.exists():
            folder.mkdir()
            (folder / "elsewhere.py").write_text(CUSTOM_MODULE.format(imports=imports))
            forms = [each for each in FORMS if each.generation == form.generation]
            if is_before("2.13"):
                forms.remove(KERAS2_ARCHIVE)
            run_python(SAVE_CUSTOM, folder, *(folder / f"m{each.suffix}" for each in forms))
        return folder / f"m{form.suffix}"

    return model


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.id)
def test_a_conversion_imports_no_class_and_runs_no_function(
    form: Form, custom_models: Callable[[Form], Path], run_python: RunPython, tmp_path: Path
) -> None:
    """The module of the custom layer can be imported, and stays unimported, as Keras does."""
    if form is KERAS2_ARCHIVE and is_before("2.13"):
        pytest.skip("this Keras has no archives")
    path = custom_models(form)
    generation = f"keras{form.generation}"
    printed = run_python(CONVERT, path.parent, path, tmp_path / "twin.h5", generation)
    loaded, functions = json.loads(printed.splitlines()[-1])

    assert "elsewhere" not in loaded
    assert functions == 0
    assert Twin.open(tmp_path / "twin.h5").refs
    names = Twin.open(tmp_path / "twin.h5").manifest.object_names
    assert names["elsewhere>Twice"] == "mine"


def test_outputs_of_the_twin_are_those_of_the_source(
    saved_once: SavedOnce, cache_root: Path
) -> None:
    """A check that the models of these tests compute something at all."""
    outputs = KERAS2_HDF5.stock.models.load_model(saved_once(KERAS2_HDF5))(INPUTS)

    assert np.unique(np.asarray(outputs)).size == INPUTS.size
