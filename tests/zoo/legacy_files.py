"""Files that no saver of today writes: early HDF5, HDF5 named `.keras`, published models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from zoo import published
from zoo.catalogue import Kit, zoo_model


@zoo_model("quick", "migrated", keras2="h5", keras3="h5", is_files=True)
def sequential_of_keras_2_1(k: Kit) -> Path:
    layers = [
        _dense("dense_1", 3, "relu", batch_input_shape=[None, 4]),
        _dense("dense_2", 2, "linear"),
    ]
    config = {"class_name": "Sequential", "config": layers}
    path = k.folder / "model.h5"
    _write(path, config, {"dense_1": (4, 3), "dense_2": (3, 2)}, keras_version="2.1.0")
    return path


@zoo_model(keras2="h5", keras3="h5", is_files=True)
def functional_of_keras_2_2(k: Kit) -> Path:
    entry = {"batch_input_shape": [None, 4], "dtype": "float32", "sparse": False, "name": "input_1"}
    layers = [
        {"class_name": "InputLayer", "config": entry, "name": "input_1", "inbound_nodes": []},
        {
            **_dense("dense_1", 3, "tanh"),
            "name": "dense_1",
            "inbound_nodes": [[["input_1", 0, 0, {}]]],
        },
    ]
    ends = {"input_layers": [["input_1", 0, 0]], "output_layers": [["dense_1", 0, 0]]}
    config = {"class_name": "Model", "config": {"name": "model_1", "layers": layers, **ends}}
    path = k.folder / "model.h5"
    _write(path, config, {"input_1": None, "dense_1": (4, 3)}, keras_version="2.2.4")
    return path


@zoo_model("migrated", keras2="h5", keras3="h5", is_files=True)
def compiled_by_keras_2_3(k: Kit) -> Path:
    path = sequential_of_keras_2_1(k)
    training = {
        "optimizer_config": {
            "class_name": "Adam",
            "config": {"lr": 0.001, "beta_1": 0.9, "beta_2": 0.999, "decay": 0.0, "epsilon": 1e-07},
        },
        "loss": "mean_squared_error",
        "metrics": ["accuracy"],
        "sample_weight_mode": None,
        "loss_weights": None,
    }
    with h5py.File(path, "a") as file:
        file.attrs["training_config"] = json.dumps(training).encode()
    return path


@zoo_model("quick", keras2="keras", keras3="keras", is_files=True)
def hdf5_under_archive_name(k: Kit) -> Path:
    inputs = k.keras.Input((4,))
    model = k.keras.Model(inputs, k.layers.Dense(2)(inputs))
    saved = k.folder / "model.h5"
    model.save(str(saved))
    return saved.rename(k.folder / "model.keras")


@zoo_model(keras2="h5", keras3="h5", is_files=True)
def weights_only_file(k: Kit) -> Path:
    path = k.folder / "model.h5"
    model = k.keras.Sequential([k.keras.Input((4,)), k.layers.Dense(2)])
    weights = k.folder / "model.weights.h5"
    model.save_weights(str(weights))
    return weights.rename(path)


@zoo_model(keras2="tf h5 keras", keras3="tf h5 keras", is_files=True)
def missing_file(k: Kit) -> Path:
    return k.folder / "absent.h5"


@zoo_model(keras2="h5 keras", keras3="h5 keras", is_files=True)
def empty_file(k: Kit) -> Path:
    path = k.folder / "empty.keras"
    path.write_bytes(b"")
    return path


@zoo_model("published", "migrated", keras2="tf", keras3="tf", is_files=True)
def sleepecg_gru(k: Kit) -> Path:
    return published.sleepecg_gru(k.downloads, k.folder)


@zoo_model("published", keras2="tf", is_files=True, compile=False)
def basic_pitch(k: Kit) -> Path:
    return published.basic_pitch(k.downloads, k.folder)


@zoo_model("published", keras2="tf", is_files=True)
def basic_pitch_compiled(k: Kit) -> Path:
    return published.basic_pitch(k.downloads, k.folder)


def _dense(name: str, units: int, activation: str, **config: Any) -> dict[str, Any]:
    uniform = {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None}
    common = {
        "name": name,
        "trainable": True,
        "units": units,
        "activation": activation,
        "use_bias": True,
        "kernel_initializer": {"class_name": "VarianceScaling", "config": uniform},
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        "kernel_regularizer": None,
        "bias_regularizer": None,
        "activity_regularizer": None,
        "kernel_constraint": None,
        "bias_constraint": None,
    }
    return {"class_name": "Dense", "config": {**common, **config}}


def _write(
    path: Path, config: Any, kernels: dict[str, tuple[int, int] | None], keras_version: str
) -> None:
    """Write the layout that Keras had from 2.0 to 2.15: one group a layer, names in attributes."""
    random = np.random.default_rng(5)
    with h5py.File(path, "w") as file:
        file.attrs.update(_versions(keras_version))
        file.attrs["model_config"] = json.dumps(config).encode()
        weights = file.create_group("model_weights")
        weights.attrs.update(_versions(keras_version))
        weights.attrs["layer_names"] = [name.encode() for name in kernels]
        for name, shape in kernels.items():
            _write_dense(weights.create_group(name), name, shape, random)


def _write_dense(group: Any, name: str, shape: tuple[int, int] | None, random: Any) -> None:
    shapes = {} if shape is None else {f"{name}/kernel:0": shape, f"{name}/bias:0": shape[1:]}
    group.attrs["weight_names"] = [weight.encode() for weight in shapes]
    for weight, weight_shape in shapes.items():
        group.create_dataset(weight, data=random.normal(size=weight_shape).astype("float32"))


def _versions(keras_version: str) -> dict[str, bytes]:
    return {"keras_version": keras_version.encode(), "backend": b"tensorflow"}
