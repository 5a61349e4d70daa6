"""A twin's own view shows what h5py shows of the same file."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fastload.twin.reader import Twin
from fastload.twin.view import HardLink, TwinFile, TwinGroup


def attributes_of(group: Any) -> dict[str, Any]:
    return {
        name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for name, value in group.attrs.items()
    }


def contents_of(group: Any) -> list[Any]:
    """Everything under *group*, in order: names, attributes, values."""
    listed: list[Any] = [group.name, attributes_of(group)]
    for name in [name for name in group if name != "fastload"]:
        found = group[name]
        if isinstance(found, h5py.Group | TwinGroup):
            listed.append(contents_of(found))
        else:
            array = np.asarray(found)
            bits = array.tolist() if array.dtype == object else array.tobytes()
            listed.append((name, array.dtype, array.shape, bits))
    return listed


@pytest.fixture
def root(sample_path: Path) -> TwinFile:
    return Twin.open(sample_path).root


@pytest.mark.parametrize("mapped", [True, False])
def test_a_file_of_keras_looks_the_same(keras_twin: Path, mapped: bool) -> None:
    """Groups, their order, attributes, dtypes and bits are as h5py sees them."""
    with h5py.File(keras_twin) as file:
        expected = contents_of(file)

    assert contents_of(Twin.open(keras_twin, mapped=mapped).root) == expected


def test_the_twin_of_a_file_looks_as_the_file(keras_file: Path, keras_twin: Path) -> None:
    """Nothing that Keras saved was lost or added, fastload's own group aside."""
    with h5py.File(keras_file) as file:
        expected = contents_of(file)

    assert contents_of(Twin.open(keras_twin).root) == expected


def test_stock_keras_opens_a_twin(keras_file: Path, keras_twin: Path) -> None:
    """To Keras a twin is one of its own HDF5 files."""
    keras = pytest.importorskip("keras")
    batch = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)

    network, expected = keras.models.load_model(keras_twin), keras.models.load_model(keras_file)

    np.testing.assert_array_equal(network.predict(batch), expected.predict(batch))
    assert network.get_config() == expected.get_config()


def test_groups_list_their_children_sorted_by_name(root: TwinFile) -> None:
    """h5py's default order, which is that of the bytes of the names."""
    assert list(root) == ["model_weights", "shared"]
    assert list(root["model_weights"].keys()) == ["dense", "empty", "wide", "words"]
    assert [name for name, _ in root["model_weights/dense"].items()] == ["bias:0", "kernel:0"]
    assert [len(group) for group in root["model_weights"].values()] == [2, 0, 3, 1]


@pytest.mark.parametrize(
    "path",
    [
        *("model_weights/dense", b"model_weights/dense", "/model_weights/dense"),
        *("model_weights//dense/", "./model_weights/./dense"),
    ],
)
def test_paths_are_spelled_as_h5py_takes_them(sample_path: Path, path: Any) -> None:
    """Text or bytes, relative or absolute, with empty parts and dots."""
    view = Twin.open(sample_path).root

    with h5py.File(sample_path) as file:
        assert path in file
        assert file[path].name == "/model_weights/dense"
    assert path in view
    assert view[path].name == "/model_weights/dense"


def test_an_absolute_path_begins_at_the_root(root: TwinFile) -> None:
    """Also when it is asked of a group below."""
    group = root["model_weights/wide"]

    assert group["/model_weights/dense"] == root["model_weights"]["dense"]
    assert group["/"] == root["/"]


@pytest.mark.parametrize("path", ["absent", "model_weights/absent", "model_weights/wide/step/x"])
def test_what_is_not_there_is_a_key_error(sample_path: Path, path: str) -> None:
    """As h5py has it: the path is in the message, and `get` gives the default."""
    view = Twin.open(sample_path).root

    with pytest.raises(KeyError, match=f"object '{path}' doesn't exist"):
        view[path]
    with h5py.File(sample_path) as file, pytest.raises(KeyError):
        file[path]
    assert path not in view
    assert view.get(path) is None
    assert view.get(path, default=3, getclass=True, getlink=True) == 3


def test_get_tells_classes_and_links(root: TwinFile) -> None:
    """Loaders ask for the class of a link to refuse soft and external ones."""
    kernel = "model_weights/dense/kernel:0"

    assert root.get(kernel, getclass=True, getlink=True) is HardLink
    assert isinstance(root.get("shared", getlink=True), HardLink)
    assert root.get("shared", getclass=True) is TwinGroup
    assert root.get(kernel, getclass=True) is np.ndarray
    assert root.get(kernel)[0, 1] == 1.0


def test_attributes_can_be_looked_up_but_not_set(root: TwinFile) -> None:
    """`in`, `[]` and `get` work as on h5py; a twin is immutable."""
    attributes = root["model_weights"].attrs

    assert "layer_names" in attributes
    assert attributes["layer_names"] == [b"dense", b"wide", b"words"]
    assert attributes.get("absent", 5) == 5
    assert dict(root["shared"].attrs) == {}
    with pytest.raises(TypeError, match="does not support item assignment"):
        attributes["new"] = 1  # type: ignore[index]


def test_fastloads_own_group_is_not_shown(root: TwinFile) -> None:
    """A loader that lists the root sees the model alone."""
    assert "fastload" not in root
    assert "fastload/index" not in root


def test_closing_a_view_takes_nothing_away(root: TwinFile) -> None:
    """Loaders close what they opened; the arrays stay."""
    with root as file:
        kernel = file["shared/kernel"]
    file.close()

    assert kernel.sum() == 66.0
    assert root["shared/kernel"].sum() == 66.0


def test_a_view_can_be_read_by_many_threads(root: TwinFile) -> None:
    """A view is no cursor: what one thread reads moves nothing for another."""
    expected, found = contents_of(root), []
    threads = [
        threading.Thread(target=lambda: found.extend(contents_of(root) for _ in range(20)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 160
    assert all(contents == expected for contents in found)
