"""Everything that Keras writes into HDF5 is read."""

import io
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastload.source.hdf5 import HDF5Source, read_hdf5, read_state
from fastload.source.hdf5_attributes import read_attributes
from fastload.source.hdf5_budget import Budget

MIB = 2**20


def contents(source: HDF5Source) -> dict[str, np.ndarray]:
    return dict(source.stream())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.h5"


def test_a_file_of_keras_gives_its_weights_in_order(keras_models: Path) -> None:
    """Attributes name the layers and weights; values are those of the model."""
    with np.load(keras_models / "weights.npz") as stored:
        expected = [stored[name] for name in stored]
    with read_hdf5(keras_models / "model.h5") as source:
        weights = contents(source)
        root = "model_weights"
        names = [
            f"{root}/{layer}/{name}"
            for layer in source.groups[root]["layer_names"]
            for name in source.groups[f"{root}/{layer}"]["weight_names"]
        ]

    assert "first" in source.groups[root]["layer_names"]
    assert source.groups[f"{root}/no_weights"]["weight_names"] == []
    assert isinstance(source.groups[""]["model_config"], str)
    assert [value.tobytes() for value in expected] == [weights[name].tobytes() for name in names]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("bool", np.array([True, False])),
        ("int8", np.array([[-1, 2]], "i1")),
        ("uint64", np.array(2**63, "u8")),
        ("float16", np.array([1.5], "f2")),
        ("float32", np.frombuffer(b"\x01\x00\xc0\x7f", "<f4")),
        ("float64", np.zeros((0, 3))),
        ("float64", np.array([1.25, -2], ">f8")),
        ("complex64", np.array([1j], "c8")),
        ("string", np.array([b"ab", b"c"])),
    ],
)
def test_each_dtype_is_read_as_it_is(path: Path, dtype: str, value: np.ndarray) -> None:
    """Bits and shape survive, in native byte order."""
    with h5py.File(path, "w") as file:
        file["layer/w"] = value
    with read_state(path, b"") as source:
        (spec,) = source.specs
        ((name, actual),) = source.stream()

    assert (spec.name, spec.dtype, spec.shape) == ("layer/w", dtype, value.shape)
    assert (name, actual.dtype) == ("layer/w", value.dtype.newbyteorder("="))
    assert actual.tobytes() == value.astype(actual.dtype).tobytes()


def test_bfloat16_is_told_by_its_mark(path: Path) -> None:
    """Two opaque bytes and an attribute, as Keras 3 writes them."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    value = np.array([1.5, -0.0], ml_dtypes.bfloat16)
    with h5py.File(path, "w") as file:
        file.create_dataset("w", data=value).attrs["dtype"] = "bfloat16"
        file.create_dataset("scalar", data=value[0]).attrs["dtype"] = "bfloat16"
    with read_state(path, b"") as source:
        weights = contents(source)

    assert [spec.dtype for spec in source.specs] == ["bfloat16", "bfloat16"]
    assert (weights["w"].dtype, weights["w"].tobytes()) == (value.dtype, value.tobytes())
    assert weights["scalar"].shape == ()


def test_strings_of_any_length_are_read_as_bytes(path: Path) -> None:
    """The encoding is the business of whoever knows what they mean."""
    with h5py.File(path, "w") as file:
        file["w"] = np.array([["a", "größe"], ["", "z"]], object)
        file["one"] = "text"
    with read_state(path, b"") as source:
        weights = contents(source)

    assert weights["w"].tolist() == [[b"a", "größe".encode()], [b"", b"z"]]
    assert weights["one"][()] == b"text"


@pytest.mark.parametrize(
    "options", [{"compression": "gzip"}, {"compression": "lzf"}, {"chunks": (7,)}]
)
def test_chunks_and_common_filters_are_read(path: Path, options: dict[str, object]) -> None:
    """People repack their files."""
    value = np.arange(1000.0)
    with h5py.File(path, "w") as file:
        file.create_dataset("w", data=value, shuffle=True, **options)
    with read_state(path, b"") as source:
        weights = contents(source)

    assert weights["w"].tobytes() == value.tobytes()


def test_attributes_keep_text_and_bytes_apart(path: Path) -> None:
    """Old files have bytes, new ones text; numbers become plain ones."""
    expected = {
        "text": "größe",
        "bytes": b"abc",
        "texts": ["a", "bc"],
        "many bytes": [b"a", b"bc"],
        "none": [],
        "int": 3,
        "float": 0.5,
        "bool": True,
    }
    with h5py.File(path, "w") as file:
        attributes = file.create_group("group/empty").parent.attrs
        for name, value in expected.items():
            attributes[name] = np.array(value) if "bytes" in name else value
    with h5py.File(path, "r") as file:
        found = read_attributes(file["group"].id, "group", [*expected, "other"], Budget(4096))

    assert found == expected
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in expected.items()
    }


def test_a_weight_with_two_names_is_read_once(path: Path) -> None:
    """Shared layers are hard links."""
    with h5py.File(path, "w") as file:
        file["a/w"] = np.ones(2)
        file["b/w"] = file["a/w"]
    with read_state(path, b"") as source:
        names = [name for name, _ in source.stream()]

    assert names == ["a/w"]
    assert source.links == {"b/w": "a/w"}


def test_an_open_file_is_read_like_a_path(path: Path) -> None:
    """Weights in an archive have no path."""
    with h5py.File(path, "w") as file:
        file["w"] = np.arange(5)
    with read_state(io.BytesIO(path.read_bytes()), b"") as source:
        weights = contents(source)

    assert weights["w"].tolist() == [0, 1, 2, 3, 4]


def test_of_a_legacy_file_only_what_keras_reads_is_read(path: Path) -> None:
    """Keras goes by the lists of names; what they do not name may be anything. (#18)"""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
        file.attrs["numbers"] = [1.0, 2.0]
        file["unread"] = h5py.SoftLink("/elsewhere")
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = np.array([b"a", b"deep/b", b"missing"])
        for layer in ("a", "deep/b", "c"):
            weights[f"{layer}/inner/w"] = np.ones(2)
            weights[layer].attrs["weight_names"] = np.array([b"inner/w", b"missing"])
            weights[layer].attrs["more"] = file.ref
            weights[f"{layer}/unread"] = h5py.ExternalLink("other.h5", "/")
        file["optimizer_weights/m"] = np.zeros(1)
        file["optimizer_weights"].attrs["weight_names0"] = np.array([b"m"])
    with read_hdf5(path) as source:
        weights = contents(source)

    assert list(weights) == [
        "model_weights/a/inner/w",
        "model_weights/deep/b/inner/w",
        "optimizer_weights/m",
    ]
    assert source.groups == {
        "": {"model_config": "{}"},
        "model_weights": {"layer_names": [b"a", b"deep/b", b"missing"]},
        "model_weights/a": {"weight_names": [b"inner/w", b"missing"]},
        "model_weights/a/inner": {},
        "model_weights/deep": {},
        "model_weights/deep/b": {"weight_names": [b"inner/w", b"missing"]},
        "model_weights/deep/b/inner": {},
        "optimizer_weights": {"weight_names0": [b"m"]},
    }
