"""Every value that goes into a twin comes out of it, bit for bit, here and in h5py."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from fastload.twin.format import dtype_of
from fastload.twin.reader import Twin

ml_dtypes = pytest.importorskip("ml_dtypes")

PLAIN = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
EXTENDED = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4")


def dtype_named(name: str) -> np.dtype[Any]:
    return np.dtype(name if name in PLAIN else getattr(ml_dtypes, name))


@st.composite
def number_arrays(draw: st.DrawFn) -> np.ndarray:
    """An array of any dtype and shape with any bits, so that every NaN payload comes up."""
    dtype = dtype_named(draw(st.sampled_from(PLAIN + EXTENDED)))
    shape = draw(array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    count = math.prod(shape) * dtype.itemsize
    bits = np.frombuffer(draw(st.binary(min_size=count, max_size=count)), np.uint8)
    return (bits & 1 if dtype.kind == "b" else bits).view(dtype).reshape(shape)


@st.composite
def string_arrays(draw: st.DrawFn) -> np.ndarray:
    shape = draw(array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=4))
    count = math.prod(shape)
    elements = st.one_of(st.text(max_size=5), st.binary(max_size=5))
    array = np.empty(count, object)
    array[:] = draw(st.lists(elements, min_size=count, max_size=count))
    return array.reshape(shape)


def path_parts() -> st.SearchStrategy[str]:
    letters = st.characters(blacklist_categories=("Cs",), blacklist_characters="/\0")
    return st.text(letters, min_size=1, max_size=6).filter(
        lambda part: part not in {".", "fastload"}
    )


@st.composite
def named_arrays(draw: st.DrawFn) -> dict[str, np.ndarray]:
    arrays = draw(st.lists(st.one_of(number_arrays(), string_arrays()), max_size=5))
    return {
        f"{draw(path_parts())}/{number}:{draw(path_parts())}": array
        for number, array in enumerate(arrays)
    }


def bits_of(array: np.ndarray) -> Any:
    """What two arrays must have in common: for strings the elements with their types."""
    if array.dtype == object:
        return [(type(element), element) for element in array.ravel().tolist()]
    return array.tobytes()


def described(array: np.ndarray) -> tuple[Any, ...]:
    return array.dtype, array.shape, bits_of(array)


@given(arrays=named_arrays(), mapped=st.booleans())
@settings(max_examples=80)
def test_every_weight_comes_back_bit_for_bit(
    write_arrays: Any, arrays: dict[str, np.ndarray], mapped: bool
) -> None:
    """Any dtype, shape, bit pattern and name survives, mapped and eager alike."""
    with tempfile.TemporaryDirectory() as folder:
        twin = Twin.open(write_arrays(Path(folder) / "twin.h5", arrays), mapped=mapped)
        found = {name: described(twin.array(name)) for name in twin.refs}
        damaged = twin.verify()

    assert found == {name: described(array) for name, array in arrays.items()}
    assert damaged == ()


@given(arrays=named_arrays())
@settings(max_examples=40)
def test_h5py_reads_the_same_numbers(write_arrays: Any, arrays: dict[str, np.ndarray]) -> None:
    """Another HDF5 reader sees every plain dtype as it is, and the bits of the others."""
    numbers = {name: array for name, array in arrays.items() if array.dtype != object}
    with tempfile.TemporaryDirectory() as folder:
        path = write_arrays(Path(folder) / "twin.h5", numbers)
        file = h5py.File(path)
        found = {name: file[name][()] for name in numbers}
        named = {name: file[name].attrs.get("dtype") for name in numbers}
        file.close()

    for name, array in numbers.items():
        is_plain = array.dtype.name in PLAIN
        assert bits_of(np.asarray(found[name])) == bits_of(array)
        assert (found[name].dtype == array.dtype) is is_plain
        assert named[name] == (None if is_plain else array.dtype.name)


def attribute_values() -> st.SearchStrategy[Any]:
    letters = st.characters(blacklist_categories=("Cs",), blacklist_characters="\0")
    texts, data = (
        st.text(letters, max_size=8),
        st.binary(max_size=8).filter(lambda b: b"\0" not in b),
    )
    integers, floats = st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)
    return st.one_of(
        *(texts, data, integers, floats, st.booleans()),
        *(st.lists(texts, max_size=4), st.lists(data, max_size=4)),
    )


@given(attributes=st.dictionaries(path_parts(), attribute_values(), max_size=5))
@settings(max_examples=60)
def test_every_attribute_comes_back(write_arrays: Any, attributes: dict[str, Any]) -> None:
    """The manifest and the view have the attributes as they were given, types included."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_arrays(Path(folder) / "twin.h5", {}, groups={"": {}, "a/b": attributes})
        twin = Twin.open(path)

    assert twin.manifest.groups == {"": {}, "a/b": attributes}
    assert {name: repr(value) for name, value in twin.root["a/b"].attrs.items()} == {
        name: repr(value) for name, value in attributes.items()
    }


@pytest.mark.parametrize("array", [np.arange(6, dtype=">f4"), np.arange(6, dtype=">i8")])
def test_big_endian_arrays_are_stored_little_endian(
    write_arrays: Any, tmp_path: Path, array: np.ndarray
) -> None:
    """The values count, not the byte order in which a source has them."""
    found = Twin.open(write_arrays(tmp_path / "twin.h5", {"w": array})).array("w")

    assert found.dtype.str[0] == "<"
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "int4"])
def test_arrays_that_are_not_contiguous_are_stored_in_c_order(
    write_arrays: Any, tmp_path: Path, name: str
) -> None:
    """A transposed, a reversed and a broadcast array give the bytes of their copies."""
    array = np.arange(6).reshape(2, 3).astype(dtype_named(name))
    arrays = {"t": array.T, "r": array[:, ::-1], "b": np.broadcast_to(array, (4, 2, 3))}

    twin = Twin.open(write_arrays(tmp_path / "twin.h5", arrays))

    for key, expected in arrays.items():
        assert described(twin.array(key)) == described(expected)


@pytest.mark.parametrize("array", [np.array([b"ab", b"c"]), np.array(["\u00fc", "d"])])
def test_fixed_width_strings_come_back_as_objects(
    write_arrays: Any, tmp_path: Path, array: np.ndarray
) -> None:
    """numpy's own string arrays keep text and bytes apart as well."""
    found = Twin.open(write_arrays(tmp_path / "twin.h5", {"w": array})).array("w")

    assert found.tolist() == array.tolist()


def test_a_dtype_that_this_ml_dtypes_lacks_is_named() -> None:
    """An older ml_dtypes than the writer's is a clear error, not a crash."""
    with pytest.raises(ValueError, match="neither numpy nor ml_dtypes has the dtype 'float8_new'"):
        dtype_of("float8_new")
