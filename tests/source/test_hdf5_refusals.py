"""What Keras never writes, and what is damaged, is left to stock without harm."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t, h5z

from fastload.errors import BypassError, UnconvertibleModelError
from fastload.source.hdf5 import read_state

MIB = 2**20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.h5"


def unknown_filter(file: h5py.File) -> None:
    layout = h5p.create(h5p.DATASET_CREATE)
    layout.set_chunk((4,))
    layout.set_filter(32100, h5z.FLAG_OPTIONAL, (1,))
    h5d.create(file.id, b"w", h5t.NATIVE_FLOAT, h5s.create_simple((4,)), layout)


def compound(file: h5py.File) -> None:
    file["w"] = np.zeros(2, [("a", "f4")])


def opaque(file: h5py.File) -> None:
    file["w"] = np.zeros(2, "V2")


def false_mark(file: h5py.File) -> None:
    file.create_dataset("w", data=np.ones(2, "f4")).attrs["dtype"] = "bfloat16"


def enumeration(file: h5py.File) -> None:
    file.create_dataset("w", data=[1], dtype=h5py.enum_dtype({"A": 1}))


def ragged(file: h5py.File) -> None:
    file.create_dataset("w", (2,), h5py.vlen_dtype("i4"))


def no_shape(file: h5py.File) -> None:
    file["w"] = h5py.Empty("f4")


def bare_datatype(file: h5py.File) -> None:
    file["w"] = np.dtype("f4")


def numbers_attribute(file: h5py.File) -> None:
    file.create_group("vars").attrs["name"] = [1.0, 2.0]


def mixed_empty_attribute(file: h5py.File) -> None:
    file.create_group("vars").attrs["name"] = h5py.Empty("f4")


@pytest.mark.parametrize(
    ("oddity", "message"),
    [
        (unknown_filter, "'w' in the HDF5 file needs the HDF5 filter 32100"),
        (compound, "'w' in the HDF5 file has the type"),
        (opaque, r"'w' in the HDF5 file has the type \|V2"),
        (false_mark, "'w' in the HDF5 file is marked as bfloat16"),
        (enumeration, "'w' in the HDF5 file has the type uint8"),
        (ragged, "'w' in the HDF5 file has the type object"),
        (no_shape, "'w' in the HDF5 file has no shape"),
        (bare_datatype, "'w' in the HDF5 file is not a dataset"),
        (numbers_attribute, "the attribute 'name' of 'vars' in the HDF5 file is neither text"),
        (mixed_empty_attribute, "the attribute 'name' of 'vars' in the HDF5 file is neither"),
    ],
)
def test_what_keras_never_writes_is_left_to_stock(
    path: Path, oddity: Callable[[h5py.File], None], message: str
) -> None:
    """The reason names the object."""
    with h5py.File(path, "w") as file:
        oddity(file)

    with pytest.raises(UnconvertibleModelError, match=message), read_state(path, b""):
        pass


def small_file(path: Path) -> bytes:
    with h5py.File(path, "w") as file:
        file["layer/w"] = np.arange(50.0)
        # Not text of any length: HDF5 itself never returns from some damaged heaps of it.
        file["layer"].attrs["weight_names"] = np.array([b"w", b"bias"])
    return path.read_bytes()


def read_all(content: bytes) -> None:
    with read_state(io.BytesIO(content), b"") as source:
        dict(source.stream())


def test_a_file_cut_short_anywhere_is_refused(path: Path) -> None:
    """No cut file gives weights."""
    whole = small_file(path)
    read_all(whole)
    for length in range(0, len(whole), 37):
        with pytest.raises(UnconvertibleModelError, match="the HDF5 file cannot be read"):
            read_all(whole[:length])


def test_a_damaged_file_never_raises_a_foreign_error(path: Path) -> None:
    """It is read, or refused in words of ours; HDF5 has no checksums to tell which."""
    whole = small_file(path)
    dice = random.Random(7)
    refusals = 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        try:
            read_all(bytes(damaged))
        except BypassError:
            refusals += 1

    assert refusals > 0


def test_an_error_of_the_caller_passes_untouched(path: Path) -> None:
    """Only what reading raises means a bypass."""
    small_file(path)

    with pytest.raises(ValueError, match="mine"), read_state(path, b""):
        raise ValueError("mine")
