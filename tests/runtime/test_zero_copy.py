"""Arrays of a file as tensors: shared where that is safe, copied where not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastload.runtime.core.zero_copy import MappedArray, tensor_over
from tests.runtime.mapped_files import MappedFile, address, aligned

tf = pytest.importorskip("tensorflow")
ml_dtypes = pytest.importorskip("ml_dtypes")


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


NUMBERS = np.arange(64, dtype="f4").reshape(8, 8)
SHARED = {
    **{
        name: aligned(np.arange(64).astype(name))
        for name in ("float16", "float32", "float64", "int8", "uint8", "int32", "int64")
    },
    "complex64": aligned(np.arange(64).astype("complex64")),
    "bfloat16": aligned(np.arange(64).astype(ml_dtypes.bfloat16)),
    "one element": aligned(np.ones((1,), "f4")),
    "scalar": aligned(np.array(3.5, "f4")),
}
COPIED = {
    "unaligned by an element": aligned(NUMBERS).reshape(-1)[1:],
    "unaligned bfloat16": aligned(np.arange(64).astype(ml_dtypes.bfloat16))[3:],
    "read-only": read_only(aligned(NUMBERS)),
    "strided": aligned(NUMBERS)[::2],
    "transposed": aligned(NUMBERS).T,
    "backwards": aligned(NUMBERS)[::-1],
    "zero-size": np.zeros((0, 4), "f4"),
    "bool": aligned(np.arange(64) % 2 == 0),
    "strings": np.array(["a", "ü", ""], dtype=object),
    "bytes": np.array([b"a", b"bc"]),
    "float8_e4m3fn": aligned(np.arange(64).astype(ml_dtypes.float8_e4m3fn)),
    "float8_e5m2": aligned(np.arange(64).astype(ml_dtypes.float8_e5m2)),
    "big-endian": aligned(np.arange(64).astype(">f4")),
}


def stock_shares(array: Any) -> bool:
    """Say whether TensorFlow shares the memory of *array* by itself: to 2.12, if it is aligned."""
    return address(tf.constant(array)) == array.ctypes.data


@pytest.mark.parametrize("array", SHARED.values(), ids=SHARED)
def test_an_aligned_number_array_is_shared(array: Any) -> None:
    """The tensor lies where the array lies."""
    tensor = tensor_over(array)

    assert address(tensor) == array.ctypes.data
    np.testing.assert_array_equal(tensor.numpy(), array)
    assert tensor.dtype == tf.as_dtype(array.dtype.name)


@pytest.mark.parametrize("array", COPIED.values(), ids=COPIED)
def test_an_array_that_cannot_be_shared_is_copied(array: Any) -> None:
    """TensorFlow is not handed what would end the process; the values are the same."""
    try:
        expected = tf.convert_to_tensor(np.ascontiguousarray(array))
    except ValueError:
        pytest.skip("TensorFlow takes no such array")
    tensor = tensor_over(array)

    assert address(tensor) != array.ctypes.data or stock_shares(array)
    assert tensor.shape == array.shape
    assert tensor.dtype == expected.dtype
    assert tensor.numpy().tolist() == expected.numpy().tolist()


def test_a_tensor_keeps_the_mapping_alive(mapped: MappedFile) -> None:
    """Array and map can go before the tensor does."""
    expected = mapped.arrays[0].copy()
    tensor = tensor_over(mapped.arrays[0])
    mapped.arrays.clear()

    np.testing.assert_array_equal(tensor.numpy(), expected)


def test_a_mapped_array_converts_to_a_tensor_in_its_place() -> None:
    """TensorFlow asks the array itself, wherever it converts one."""
    array = aligned(NUMBERS)
    mapped_array = MappedArray.of(array)

    assert address(tf.convert_to_tensor(mapped_array)) == array.ctypes.data
    assert address(tf.convert_to_tensor(mapped_array, dtype="float32")) == array.ctypes.data


def test_a_mapped_array_converts_to_another_dtype_by_a_copy() -> None:
    """What is asked for decides."""
    tensor = tf.convert_to_tensor(MappedArray.of(aligned(NUMBERS)), dtype="float64")

    assert tensor.dtype == tf.float64
    np.testing.assert_array_equal(tensor.numpy(), NUMBERS)


DERIVED: dict[str, Callable[[Any], Any]] = {
    "slice": lambda array: array[:4],
    "reshape": lambda array: array.reshape(4, 16),
    "view": lambda array: array.view(),
    "copy": lambda array: array.copy(),
    "sum": lambda array: array + 0,
}


@pytest.mark.parametrize("derive", DERIVED.values(), ids=DERIVED)
def test_what_numpy_derives_from_a_mapped_array_is_copied(derive: Callable[[Any], Any]) -> None:
    """Somebody may write to it later, as to any array."""
    derived = derive(MappedArray.of(aligned(NUMBERS)))
    tensor = tf.convert_to_tensor(derived)

    assert address(tensor) != derived.ctypes.data or stock_shares(np.asarray(derived))
    np.testing.assert_array_equal(tensor.numpy(), np.asarray(derived))


def test_the_last_owner_of_a_mapping_may_be_a_tensor(run_python: Callable[..., str]) -> None:
    """numpy before 1.24 frees the mapping without Python's lock, which would end the process."""
    assert run_python(_LAST_OWNER) == "alive"


_LAST_OWNER = """
import mmap
import numpy as np
from fastload.runtime.core.zero_copy import tensor_over

array = np.frombuffer(mmap.mmap(-1, 8192), "f4")
tensor = tensor_over(array[:16])
del array
del tensor
print("alive")
"""
