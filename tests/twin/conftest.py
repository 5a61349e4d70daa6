"""Twins to test with: written by the real writer, from arrays or from a file that Keras saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fastload.twin.format import Manifest, WeightSpec
from fastload.twin.writer import write_twin

Arrays = Mapping[str, np.ndarray]
WriteArrays = Callable[..., Path]

EMPTY_MANIFEST = Manifest(source_kind="keras_hdf5", source_digest="5" * 64, generation="keras3")


def spec_of(name: str, array: np.ndarray) -> WeightSpec:
    """Return the spec that *array* meets."""
    dtype = "string" if array.dtype.kind in "OSU" else array.dtype.name
    return WeightSpec(name=name, dtype=dtype, shape=array.shape)


def write_arrays_to(path: Path, arrays: Arrays, **manifest: Any) -> Path:
    """Write *arrays* as a twin at *path*, with these fields of the manifest."""
    specs = [spec_of(name, array) for name, array in arrays.items()]
    write_twin(path, replace(EMPTY_MANIFEST, **manifest), specs, arrays.items())
    return path


@pytest.fixture(scope="session")
def write_arrays() -> WriteArrays:
    return write_arrays_to


@pytest.fixture
def sample_arrays() -> Arrays:
    """One small, one that fills pages, one scalar, one without elements, one of strings."""
    return {
        "model_weights/dense/kernel:0": np.arange(12, dtype=np.float32).reshape(3, 4),
        "model_weights/dense/bias:0": np.ones(4, np.float16),
        "model_weights/wide/kernel:0": np.arange(5000, dtype=np.float64),
        "model_weights/wide/step": np.array(7, np.int64),
        "model_weights/wide/none": np.zeros((0, 3), np.float32),
        "model_weights/words/table": np.array([b"a\0", "\u00fc", b""], object),
    }


@pytest.fixture
def sample_path(tmp_path: Path, sample_arrays: Arrays) -> Path:
    """A twin of `sample_arrays` with attributes, a document and a link."""
    return write_arrays_to(
        tmp_path / "sample.h5",
        sample_arrays,
        groups={
            "": {"model_config": '{"name": "m\u00fc"}', "keras_version": "3.0"},
            "model_weights": {"layer_names": [b"dense", b"wide", b"words"], "count": 3},
            "model_weights/empty": {},
        },
        documents={"config.json": b"{}" * 1000, "none": b""},
        links={"shared/kernel": "model_weights/dense/kernel:0"},
        object_names={"Dense": "dense"},
        versions={"python": "3.11"},
    )


@pytest.fixture(scope="session")
def keras_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled, trained network as the Keras at hand saves it to HDF5."""
    keras = pytest.importorskip("keras")
    network = keras.Sequential(
        [
            keras.layers.Input((6,)),
            keras.layers.Dense(40, activation="relu", name="first"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(2, name="a_last"),
        ]
    )
    network.compile(optimizer="adam", loss=keras.losses.MeanSquaredError())
    network.fit(np.ones((8, 6)), np.zeros((8, 2)), epochs=1, verbose=0)
    path = tmp_path_factory.mktemp("keras") / "network.h5"
    network.save(path)
    return path


@pytest.fixture(scope="session")
def keras_twin(keras_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The twin of `keras_file`: the same groups, attributes and weights."""
    arrays: dict[str, np.ndarray] = {}
    with h5py.File(keras_file) as file:
        groups = {"": _attributes(file)}

        def collect(name: str, found: Any) -> None:
            if isinstance(found, h5py.Group):
                groups[name] = _attributes(found)
            else:
                arrays[name] = np.asarray(found[()])

        file.visititems(collect)
    path = tmp_path_factory.mktemp("twin") / "network.h5"
    return write_arrays_to(path, arrays, groups=groups)


def _attributes(group: h5py.Group) -> dict[str, Any]:
    return {
        name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for name, value in group.attrs.items()
    }
