"""A file names sizes; a migration takes no more memory for them than the file is worth."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import fastload
from fastload.keras2to3 import apart
from fastload.keras2to3.apart import ApartError, function_apart
from fastload.keras2to3.memory_limits import FLOOR_BYTES, TooLargeError
from fastload.keras2to3.tf_array_functions import graph_call
from fastload.keras2to3.tf_bounded_functions import Serving, bounded_function
from fastload.keras2to3.tf_graph_memory import graph_of, is_known, peak_bytes
from fastload.loading.plan import migration_record
from fastload.runtime.core.tensorflow import parse_saved_model
from fastload.twin.reader import Twin

#: Of a file of a few KiB: more than that is another proof's.
ALLOWED_MIB = 300


def _peak_mib() -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def _proof() -> dict[str, Any]:
    report = fastload.last_load()
    assert report is not None
    found: dict[str, Any] = migration_record(Twin.open(Path(str(report.twin))))["proof"]
    return found


@pytest.fixture
def plain(keras2: Any) -> Any:
    return keras2.Sequential([keras2.Input((3,), name="x"), keras2.layers.Dense(2, name="y")])


@pytest.fixture
def serving(plain: Any, tmp_path: Path) -> Callable[[Callable[[Any], Any]], Path]:
    """Saves a model whose serving function makes a tensor besides."""

    def save(make: Callable[[Any], Any]) -> Path:
        @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
        def serve(x: Any) -> Any:
            return {"y": plain(x) + tf.reduce_max(tf.math.cumsum(make(x)))}

        plain.save(str(tmp_path / "m"), save_format="tf", signatures={"serving_default": serve})
        return tmp_path / "m"

    return save


def _function_of(path: Path, most_bytes: int = FLOOR_BYTES) -> Any:
    meta_graph = parse_saved_model((path / "saved_model.pb").read_bytes()).meta_graphs[0]
    return bounded_function(
        Serving(
            path=path,
            meta_graph=meta_graph,
            name="serving_default",
            inputs=["x"],
            outputs=["y"],
            most_bytes=most_bytes,
        )
    )


X = np.ones((2, 3), "float32")


def test_a_function_whose_tensors_are_too_large_is_not_run(serving: Any) -> None:
    """4 GB of zeros, told by the shapes alone."""
    path = serving(lambda x: tf.zeros([1000, 1000, 1000]))

    with _function_of(path) as function, pytest.raises(TooLargeError, match="MiB of memory"):
        function([X])


def test_a_function_of_known_shapes_runs_in_this_process(
    serving: Any, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = serving(lambda x: tf.zeros([10, 10]))
    monkeypatch.setattr(apart, "reason_not_to", lambda: "it is not asked")

    with _function_of(path) as function:
        (found,) = function([X])

    np.testing.assert_array_equal(found, plain(X))


def _by_value(x: Any) -> Any:
    """Return 144 MB of zeros; how many depends on *x*."""
    rows = tf.cast(tf.reduce_sum(x * 0), tf.int32) + 6_000
    return tf.zeros(tf.stack([rows, rows]))


@pytest.mark.slow
def test_a_function_of_unknown_shapes_runs_in_another_process(serving: Any, plain: Any) -> None:
    path = serving(_by_value)
    before = _peak_mib()

    with _function_of(path) as function:
        (found,) = function([X])

    np.testing.assert_array_equal(found, plain(X))
    assert _peak_mib() - before < ALLOWED_MIB


@pytest.mark.slow
def test_that_process_ends_where_it_needs_more_memory(serving: Any) -> None:
    path = serving(_by_value)

    with _function_of(path, 2**27) as function, pytest.raises(TooLargeError, match="128 MiB"):
        function([X])


def test_where_no_process_can_be_limited_it_is_not_run(
    serving: Any, keras3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "server"))
    path = serving(lambda x: tf.zeros(tf.stack([tf.cast(tf.reduce_sum(x * 0), tf.int32) + 2])))

    with pytest.raises(ApartError), function_apart(path, "serving_default", (["x"], ["y"]), 1):
        pass
    fastload.load_model(path, keras="keras")

    assert _proof()["against"] == "tf-keras"


@pytest.mark.slow
def test_a_process_that_does_not_get_so_far_is_no_question_of_memory(
    serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch, which the environment asked for, and TensorFlow ended it together."""
    path = serving(lambda x: x)
    names = (["x"], ["y"])
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with function_apart(path, "serving_default", names, FLOOR_BYTES) as function:
        (found,) = function([np.ones((2, 3), "float32")])
    monkeypatch.setattr(apart, "_PROGRAM", "raise SystemExit(1)")

    assert found.shape == (2, 2)
    with (
        pytest.raises(ApartError, match="cannot be started"),
        function_apart(path, "serving_default", names, FLOOR_BYTES),
    ):
        pass


def test_a_loop_is_not_known(serving: Any) -> None:
    """What it makes depends on how often it runs."""
    body = (lambda n, y: n < 30, lambda n, y: (n + 1, tf.concat([y, y], 0)))
    shapes = (tf.TensorShape([]), tf.TensorShape([None]))
    path = serving(lambda x: tf.while_loop(*body, (tf.constant(0), x[0]), shapes)[1])
    meta_graph = parse_saved_model((path / "saved_model.pb").read_bytes()).meta_graphs[0]

    graph = graph_of(meta_graph, {"serving_default_x": (2, 3)}, ["StatefulPartitionedCall"])

    assert graph is None or not is_known(graph)


def test_what_is_not_needed_any_more_takes_no_memory() -> None:
    with tf.Graph().as_default() as graph:
        x = tf.zeros([1024])
        for _ in range(100):
            x = tf.sin(x)

    assert 8192 <= peak_bytes(graph) < 4 * 8192


def test_a_model_whose_activations_are_too_large_is_not_run(keras3: Any) -> None:
    layers = keras3.layers
    model = keras3.Sequential(
        [keras3.Input((64, 64, 3)), layers.UpSampling2D(256), layers.GlobalAveragePooling2D()]
    )

    with pytest.raises(TooLargeError):
        graph_call(model, FLOOR_BYTES)([np.zeros((4, 64, 64, 3), "float32")])


def _with_units(path: Path, units: int) -> None:
    metadata = path / "keras_metadata.pb"
    content = metadata.read_bytes()
    pb = pytest.importorskip("tensorflow.python.keras.protobuf.saved_metadata_pb2")
    message = pb.SavedMetadata.FromString(content)
    for node in message.nodes:
        node.metadata = node.metadata.replace('"units": 2', f'"units": {units}')
    metadata.write_bytes(message.SerializeToString())


def test_weights_that_only_the_configuration_has(plain: Any, keras3: Any, tmp_path: Path) -> None:
    """2.4 GB, if they were made before the file is asked for them."""
    plain.save(str(tmp_path / "m"), save_format="tf")
    _with_units(tmp_path / "m", 200_000_000)
    before = _peak_mib()

    with pytest.raises(fastload.errors.MigrationError, match="its shapes differ"):
        fastload.load_model(tmp_path / "m", keras="keras")

    assert _peak_mib() - before < ALLOWED_MIB


def test_inputs_that_are_too_large_are_not_made_up(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """7.2 GB for one row."""
    mean = keras2.layers.GlobalAveragePooling1D()
    keras2.Sequential([keras2.Input((30_000, 30_000)), mean]).save(
        str(tmp_path / "m"), save_format="tf"
    )
    before = _peak_mib()

    fastload.load_model(tmp_path / "m", keras="keras")

    assert "would take too much memory" in _proof()["unproved"]
    assert _peak_mib() - before < ALLOWED_MIB


def test_one_row_is_compared_where_four_are_too_many(
    keras2: Any, keras3: Any, tmp_path: Path
) -> None:
    """For a row, Keras 3 takes 560 MiB."""
    model = keras2.Sequential(
        [
            keras2.Input((64, 64, 1)),
            keras2.layers.UpSampling2D(67, name="u"),
            keras2.layers.GlobalAveragePooling2D(),
        ]
    )
    model.save(str(tmp_path / "m"), save_format="tf")

    fastload.load_model(tmp_path / "m", keras="keras")

    assert _proof()["unproved"] is None
    assert _proof()["outputs"] == 1
