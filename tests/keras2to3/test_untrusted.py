"""A migration runs nothing that a file brings: each attack would leave a file behind."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf

import fastload
from fastload.errors import MigrationError, MissingTensorFlowError
from fastload.keras2to3 import migrate
from fastload.keras2to3.reachable import unknown_operations
from fastload.keras2to3.rules.untrusted import called_by_name
from fastload.loading.plan import migration_record
from fastload.runtime.core.tensorflow import parse_saved_model
from fastload.twin.reader import Twin

Ways = pytest.mark.parametrize(
    "open_it", [fastload.load_model, fastload.warm], ids=["load", "warm"]
)
Open = Callable[..., Any]

BYTE_CODE = {"class_name": "__lambda__", "config": {"value": ["4wE=", None, None]}}


@pytest.fixture(params=[fastload.load_model, fastload.warm], ids=["load", "warm"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, keras3: Any) -> Callable[[], Any]:
    """Loads or warms what is saved as `m`."""
    return lambda: request.param(tmp_path / "m", keras="keras")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def plain(keras2: Any) -> Any:
    return keras2.Sequential([keras2.Input((3,), name="x"), keras2.layers.Dense(2, name="y")])


def _touching(canary: Path) -> Any:
    """Return a function whose byte code writes *canary*."""
    code = f"lambda x: (open({str(canary)!r}, 'w').close(), x)[1]"
    return eval(code)


def _unproved() -> str:
    report = fastload.last_load()
    assert report is not None
    return str(report.reason)


def test_byte_code_in_a_node_beside_the_model(
    opened: Callable[[], Any], keras2: Any, plain: Any, canary: Path, tmp_path: Path
) -> None:
    """The configuration of the root does not show it, and stock would not open the file at all."""
    plain.beside = keras2.Sequential(
        [keras2.Input((3,)), keras2.layers.Lambda(_touching(canary), name="own")]
    )
    plain.save(str(tmp_path / "m"), save_format="tf", signatures={})
    canary.unlink()

    with suppress(MigrationError):
        opened()

    assert not canary.exists()


def test_a_serving_function_that_writes_a_file(
    opened: Callable[[], Any], plain: Any, canary: Path, tmp_path: Path
) -> None:
    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def serve(x: Any) -> Any:
        tf.io.write_file(str(canary), "run")
        return {"y": plain(x)}

    plain.save(str(tmp_path / "m"), save_format="tf", signatures={"serving_default": serve})
    x = np.ones((2, 3), "float32")

    opened()

    model = fastload.load_model(tmp_path / "m", keras="keras")
    assert not canary.exists()
    np.testing.assert_allclose(model(x), plain(x), rtol=1e-6)


def test_a_function_in_a_loop_is_found_and_named(
    keras3: Any, plain: Any, canary: Path, tmp_path: Path
) -> None:
    def step(n: Any) -> Any:
        written = tf.group(tf.io.write_file(str(canary), "run"))
        tf.cond(n > 0, lambda: written, tf.no_op)
        return [n + 1]

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def serve(x: Any) -> Any:
        tf.while_loop(lambda n: n < 2, step, [tf.constant(0)])
        return {"y": plain(x)}

    plain.save(str(tmp_path / "m"), save_format="tf", signatures={"serving_default": serve})

    fastload.load_model(tmp_path / "m", keras="keras")

    content = (tmp_path / "m" / "saved_model.pb").read_bytes()
    assert unknown_operations(parse_saved_model(content).meta_graphs[0]) == ["WriteFile"]
    assert not canary.exists()
    report = fastload.last_load()
    assert report is not None
    assert report.reason is None
    assert migration_record(Twin.open(Path(str(report.twin))))["proof"]["against"] == "tf-keras"


def test_the_report_says_why_nothing_was_compared(
    keras3: Any, keras2: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function reads a file, and neither is there a Keras 2 to make the model with."""

    def missing(name: str) -> Any:
        raise MissingTensorFlowError(name)

    words = tmp_path / "words.txt"
    words.write_text("a\nb")
    lookup = keras2.layers.StringLookup(vocabulary=str(words))
    keras2.Sequential([keras2.Input((2,), dtype="string"), lookup]).save(
        str(tmp_path / "m"), save_format="tf"
    )
    monkeypatch.setattr(migrate, "keras_of", missing)

    fastload.load_model(tmp_path / "m", keras="keras")

    assert "not proved" in _unproved()


def test_a_resource_that_is_initialized_by_a_load(
    opened: Callable[[], Any], plain: Any, canary: Path, tmp_path: Path
) -> None:
    """TensorFlow's loader runs it, and so does a session's."""

    class Table(tf.lookup.StaticHashTable):  # type: ignore[misc]
        def _initialize(self) -> Any:
            tf.io.write_file(str(canary), "run")
            return super()._initialize()

    keys = tf.lookup.KeyValueTensorInitializer(["a"], [1])
    plain.table = Table(keys, 0)
    plain.save(str(tmp_path / "m"), save_format="tf")
    canary.unlink(missing_ok=True)

    opened()

    assert not canary.exists()


@pytest.mark.parametrize("where", ["signature", "table"])
def test_a_function_without_an_end_is_given_up(
    where: str, keras3: Any, plain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastload.keras2to3 import apart, tf_array_functions

    def endless() -> Any:
        return tf.while_loop(lambda n: n < 2, lambda n: [n * 1], [tf.constant(0)])[0]

    class Table(tf.lookup.StaticHashTable):  # type: ignore[misc]
        def _initialize(self) -> Any:
            with tf.control_dependencies([] if tf.executing_eagerly() else [endless()]):
                return super()._initialize()

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def serve(x: Any) -> Any:
        return {"y": plain(x) + tf.cast(endless(), tf.float32)}

    if where == "table":
        plain.table = Table(tf.lookup.KeyValueTensorInitializer(["a"], [1]), 0)
    signatures = {"serving_default": serve} if where == "signature" else None
    plain.save(str(tmp_path / "m"), save_format="tf", signatures=signatures)
    monkeypatch.setattr(tf_array_functions, "LONGEST_RUN_S", 1)
    monkeypatch.setattr(apart, "LONGEST_RUN_S", 1)
    x = np.ones((2, 3), "float32")

    model = fastload.load_model(tmp_path / "m", keras="keras")

    np.testing.assert_allclose(model(x), plain(x), rtol=1e-6)


def _sequential(*layers: Any) -> dict[str, Any]:
    first = {
        "class_name": "InputLayer",
        "config": {"batch_input_shape": [None, 3], "dtype": "float32", "name": "x"},
    }
    return {"class_name": "Sequential", "config": {"name": "m", "layers": [first, *layers]}}


def _dense(name: str = "y", **given: Any) -> dict[str, Any]:
    return {"class_name": "Dense", "config": {"name": name, "units": 2, **given}}


def _archive(path: Path, plain: Any, edit: Callable[[dict[str, Any]], None]) -> Path:
    """Write *plain* as an archive of Keras 2 with an edited configuration."""
    whole = path.with_suffix(".whole.keras")
    plain.save(str(whole), save_format="keras")
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                edit(config)
                content = json.dumps(config).encode()
            target.writestr(name, content)
    return path


def test_a_module_that_only_the_file_names_is_not_imported(
    keras2: Any, keras3: Any, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = keras2.Sequential([keras2.Input((5, 3)), keras2.layers.LSTM(2)])
    (tmp_path / "dropped_module.py").write_text(f"open({str(canary)!r}, 'w').close()")
    monkeypatch.syspath_prepend(str(tmp_path))

    def edit(config: dict[str, Any]) -> None:
        lstm = config["config"]["layers"][-1]
        lstm["config"]["kernel_initializer"]["module"] = "dropped_module"

    path = _archive(tmp_path / "m.keras", refused, edit)

    with pytest.raises((TypeError, ValueError)):
        keras3.models.load_model(path)
    fastload.load_model(path, keras="keras")

    assert not canary.exists()
    assert "dropped_module" in _unproved()


@pytest.fixture
def hdf5(plain: Any, tmp_path: Path) -> Callable[[Any], Path]:
    """Writes *plain* as HDF5 with another configuration."""

    def write(config: Any) -> Path:
        path = tmp_path / "m.h5"
        plain.save(str(path))
        with h5py.File(path, "a") as file:
            file.attrs["model_config"] = json.dumps(config)
            file["model_weights"].attrs["layer_names"] = np.array([b"y"])
        return path

    return write


@pytest.mark.parametrize(
    "layer",
    [
        {
            "class_name": "Lambda",
            "config": {
                "name": "own",
                "function": "system",
                "function_type": "function",
                "module": "os",
            },
        },
        {
            "class_name": "TFOpLambda",
            "config": {"name": "own", "function": "io.write_file"},
            "inbound_nodes": [],
        },
        {
            "class_name": "ClassMethod",
            "config": {"name": "own", "cls_symbol": "io.gfile", "method_name": "remove"},
        },
        {
            "class_name": "Dense",
            "config": {
                "name": "own",
                "units": 2,
                "activation": {
                    "class_name": "__lambda__",
                    "config": {"value": ["4wE=", None, None]},
                },
            },
        },
    ],
    ids=["named lambda", "operation", "class method", "byte code as an activation"],
)
def test_layers_that_call_what_a_file_names(
    layer: Any, hdf5: Callable[[Any], Path], keras3: Any
) -> None:
    path = hdf5(_sequential(layer, _dense()))

    with pytest.raises((ValueError, TypeError, KeyError)):
        fastload.load_model(path, keras="keras")


def _of(name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": name, "config": config}


def _zeros(module: str) -> dict[str, Any]:
    return _dense(kernel_initializer={**_of("Zeros"), "module": module})


FUNCTION = {"class_name": "function", "config": "get_file", "module": "keras.utils"}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (_zeros("os"), "the module os"),
        (_of("Lambda", function="f"), "Lambda"),
        (_of("TFOpLambda", function="io.write_file"), "tf.io.write_file"),
        (_of("ClassMethod", cls_symbol="io.gfile"), "ClassMethod"),
        (_of("InstanceMethod", attr_name="numpy"), "InstanceMethod"),
        (_of("TensorFlowOpLayer", node_def={"op": "WriteFile"}), "WriteFile"),
        (_of("StringLookup", vocabulary="words.txt"), "words.txt"),
        (_dense(activation=FUNCTION), "get_file"),
        (_dense(), None),
        (_zeros("keras.initializers"), None),
        (_of("TFOpLambda", function="math.reduce_mean"), None),
        (_of("SlicingOpLambda", function="__operators__.getitem"), None),
        (_of("Custom>Own"), None),
        (_of("IntegerLookup", vocabulary=[1, 2]), None),
    ],
)
def test_what_an_original_must_not_have_to_be_opened(document: Any, reason: str | None) -> None:
    found = called_by_name(_sequential(document))

    assert found is None if reason is None else reason in str(found)
