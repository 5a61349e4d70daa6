"""What an HDF5 file may hold to do harm is refused before it is used."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastload.errors import UnconvertibleModelError, UnsafeSourceError
from fastload.source.hdf5 import read_hdf5, read_state

MIB = 2**20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.h5"


def soft_link(file: h5py.File) -> None:
    file["model_weights/layer/w"] = h5py.SoftLink("/elsewhere")


def soft_link_to_a_group(file: h5py.File) -> None:
    file.create_group("real")
    file["model_weights"] = h5py.SoftLink("/real")


def external_link(file: h5py.File) -> None:
    file["model_weights/layer"] = h5py.ExternalLink("other.h5", "/")


def external_storage(file: h5py.File) -> None:
    file.create_dataset("w", (4,), "u1", external=[("secret.bin", 0, 4)])


def virtual_dataset(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "w", (4,))
    file.create_virtual_dataset("w", layout)


def unwritten_bomb(file: h5py.File) -> None:
    file.create_dataset("w", (2**50,), "f4", chunks=(1024,))


def compressed_bomb(file: h5py.File) -> None:
    file.create_dataset("w", data=np.zeros(80 * MIB, "u1"), chunks=(40 * MIB,), compression=9)


def chunk_bomb(file: h5py.File) -> None:
    options = {"chunks": (2**28,), "maxshape": (None,), "compression": 9}
    file.create_dataset("w", (1,), "f4", **options)


def many_small_bombs(file: h5py.File) -> None:
    for index in range(70):
        file.create_dataset(f"w{index}", (60 * MIB,), "u1")


def references(file: h5py.File) -> None:
    file.create_dataset("w", data=file.ref, dtype=h5py.ref_dtype)


def group_in_itself(file: h5py.File) -> None:
    file["a/b"] = file.create_group("a")


def group_with_two_paths(file: h5py.File) -> None:
    file["b"] = file.create_group("a")


def depth(file: h5py.File) -> None:
    file.create_group("/".join("g" * 400))


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (soft_link, "'model_weights/layer/w' in the HDF5 file is a soft link"),
        (soft_link_to_a_group, "'model_weights' in the HDF5 file is a soft link"),
        (external_link, "'model_weights/layer' in the HDF5 file is an external link"),
        (external_storage, "'w' in the HDF5 file keeps its data in another file"),
        (virtual_dataset, "'w' in the HDF5 file is a virtual dataset"),
        (unwritten_bomb, "declares 4,503,599,627,370,496 bytes but stores 0"),
        (compressed_bomb, "declares 83,886,080 bytes"),
        (chunk_bomb, "declares 1,073,741,824 bytes but stores 0"),
        (many_small_bombs, "the datasets of the HDF5 file declare over"),
        (references, "'w' in the HDF5 file holds references"),
        (group_in_itself, "the group 'a/b' in the HDF5 file is 'a' again"),
        (group_with_two_paths, "the group 'b' in the HDF5 file is 'a' again"),
        (depth, "nested over 256 deep"),
    ],
)
def test_an_attack_is_refused(
    path: Path, attack: Callable[[h5py.File], None], message: str
) -> None:
    """Before any weight is read, and by name."""
    with h5py.File(path, "w") as file:
        attack(file)

    with pytest.raises(UnsafeSourceError, match=message), read_state(path, b""):
        pass


def test_many_references_to_one_long_string_are_refused(path: Path) -> None:
    """A short dataset of references can stand for more text than the file has bytes."""
    with h5py.File(path, "w") as file:
        strings = file.create_dataset("w", (100,), h5py.string_dtype())
        strings[0] = "x" * 100_000
        offset = strings.id.get_offset()
    content = bytearray(path.read_bytes())
    content[offset : offset + 1600] = content[offset : offset + 16] * 100
    path.write_bytes(content)

    with (
        read_state(path, b"") as source,
        pytest.raises(UnsafeSourceError, match="'w' are longer than the HDF5 file"),
    ):
        dict(source.stream())


def model_file(path: Path) -> h5py.File:
    """Open a new legacy file with one weight, `model_weights/a/w`."""
    file = h5py.File(path, "w", libver="latest")
    file.attrs["model_config"] = "{}"
    file["model_weights/a/w"] = np.ones(2)
    file["model_weights"].attrs["layer_names"] = np.array([b"a"])
    file["model_weights/a"].attrs["weight_names"] = np.array([b"w"])
    return file


def soft_link_to_a_weight(file: h5py.File) -> None:
    file["real"] = file["model_weights/a/w"]
    del file["model_weights/a/w"]
    file["model_weights/a/w"] = h5py.SoftLink("/real")


def soft_link_to_a_layer(file: h5py.File) -> None:
    file.move("model_weights/a", "real")
    file["model_weights/a"] = h5py.SoftLink("/real")


def layer_twice(file: h5py.File) -> None:
    file["model_weights/b"] = file["model_weights/a"]
    file["model_weights"].attrs["layer_names"] = np.array([b"a", b"b"])


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (soft_link_to_a_weight, "'model_weights/a/w' in the HDF5 file is a soft link"),
        (soft_link_to_a_layer, "'model_weights/a' in the HDF5 file is a soft link"),
        (layer_twice, "the group 'model_weights/b' in the HDF5 file is 'model_weights/a' again"),
    ],
)
def test_an_attack_on_what_keras_reads_is_refused(
    path: Path, attack: Callable[[h5py.File], None], message: str
) -> None:
    """In a legacy file, on the way to what it names."""
    with model_file(path) as file:
        attack(file)

    with pytest.raises(UnsafeSourceError, match=message), read_hdf5(path):
        pass


@pytest.mark.parametrize("name", ["/model_weights/a/w", "../a/w", "x//w", "./w", ""])
def test_an_odd_name_is_left_to_stock(path: Path, name: str) -> None:
    """Versions of Keras and of HDF5 differ in what they make of it."""
    with model_file(path) as file:
        file["model_weights/a"].attrs["weight_names"] = np.array([name.encode() or b"\0"])

    with pytest.raises(UnconvertibleModelError, match="lists no plain names"), read_hdf5(path):
        pass


def test_a_path_that_never_ends_is_refused(path: Path) -> None:
    """Each part of it would be a call."""
    with model_file(path) as file:
        file["model_weights/a"].attrs["weight_names"] = np.array([b"/".join([b"a"] * 10_000)])

    with pytest.raises(UnsafeSourceError, match="nested over 256 deep"), read_hdf5(path):
        pass


def test_a_file_that_is_a_zip_archive_too_is_refused(path: Path) -> None:
    """Stock would choose by suffix, and so could load another model than fastload."""
    with h5py.File(path, "w") as file:
        file["w"] = 1
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", "{}")

    with pytest.raises(UnsafeSourceError, match="is a zip archive as well"), read_hdf5(path):
        pass
