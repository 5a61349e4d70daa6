"""How the values of a weight are encoded in a twin, and decoded.

Numbers, booleans and complex numbers are their little-endian bytes in C order, in the HDF5 type
that h5py gives them, so that any HDF5 tool reads them. Types of `ml_dtypes` (`bfloat16`,
`float8_*`, `int4`, ...) are their bytes as HDF5 opaque, one element per byte (`bfloat16`: two), as
Keras itself stores `bfloat16`; the dataset's attribute `dtype` has the name.

Strings (`string`) are one run of bytes: for each element in C order a little-endian unsigned 64-bit
number, twice the length in bytes, plus one for text (`str`, as UTF-8) and zero for `bytes`; then
all elements, end to end. The dataset is `uint8` with the attributes `dtype` and `shape`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import numpy as np

from fastload.twin.format import WeightRef, WeightSpec, dtype_of

Array = np.ndarray[Any, np.dtype[Any]]

STRING: Final = "string"
_PLAIN: Final = frozenset(
    np.dtype(character).name for character in ("?", *"bhiq", *"BHIQ", *"efd", *"FD")
)
_ONE_BYTE: Final = frozenset({"int1", "int2", "int4", "uint1", "uint2", "uint4"})
_ONE_BYTE_PREFIXES: Final = ("float4_", "float6_", "float8_")
_LENGTH: Final = np.dtype("<u8")
#: Elements gathered at once from an array that is not contiguous; bounds the memory of a write.
_GATHERED_ELEMENTS: Final = 1 << 20


@cache
def storage_dtype(name: str) -> np.dtype[Any]:
    """Return the dtype of the HDF5 dataset that holds a weight of dtype *name*.

    Args:
        name: a dtype as `WeightSpec.dtype` names it.

    Returns:
        A little-endian dtype; opaque (`V1`, `V2`) for those of `ml_dtypes`, `uint8` for strings.

    Raises:
        ValueError: twins cannot hold this dtype.

    Example:
        >>> storage_dtype("float32").itemsize, storage_dtype("bfloat16").str
        (4, '|V2')
    """
    if name in _PLAIN:
        return np.dtype(name).newbyteorder("<")
    if name == STRING:
        return np.dtype("u1")
    if name == "bfloat16":
        return np.dtype("V2")
    if name in _ONE_BYTE or name.startswith(_ONE_BYTE_PREFIXES):
        return np.dtype("V1")
    raise ValueError(f"a twin cannot hold the dtype {name!r}")


def is_plain(name: str) -> bool:
    """Say whether HDF5 itself can name the dtype *name*, so that the dataset needs no attribute."""
    return name in _PLAIN


def stored_nbytes(spec: WeightSpec) -> int:
    """Return the bytes that a weight takes in a twin; for strings that depends on the values."""
    return storage_dtype(spec.dtype).itemsize * math.prod(spec.shape)


def dtype_name(array: Array) -> str:
    """Return the name of *array*'s dtype as `WeightSpec.dtype` has it.

    Example:
        >>> dtype_name(np.zeros(2, ">f4")), dtype_name(np.array([b"a"]))
        ('float32', 'string')
    """
    return STRING if array.dtype.kind in "OSU" else array.dtype.name


def encode(array: Array) -> Iterator[memoryview]:
    """Yield the bytes of *array* piece by piece; a contiguous array is one piece and is not copied.

    Args:
        array: values of any dtype but strings; see `encode_strings`.

    Yields:
        Consecutive pieces.
    """
    stored = storage_dtype(dtype_name(array))
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    raw = little.view(stored if stored.kind == "V" else little.dtype)
    if raw.flags.c_contiguous:
        yield _bytes_of(raw)
        return
    for start in range(0, raw.size, _GATHERED_ELEMENTS):
        yield _bytes_of(raw.flat[start : start + _GATHERED_ELEMENTS])


def encode_strings(array: Array) -> bytes:
    """Return the bytes of an array of `str` and `bytes`, laid out as the module docstring says.

    Raises:
        ValueError: an element is neither `str` nor `bytes`.
    """
    elements = [_text_and_bytes(element) for element in array.ravel().tolist()]
    lengths = [2 * len(data) + is_text for is_text, data in elements]
    return np.array(lengths, _LENGTH).tobytes() + b"".join(data for _, data in elements)


def decode(buffer: Array, ref: WeightRef) -> Array:
    """Return the weight *ref* of a twin.

    Args:
        buffer: all bytes of the twin as `uint8`.
        ref: where the weight is; its bounds must have been checked.

    Returns:
        A view of *buffer*, or a new array for strings and for weights without elements.

    Raises:
        ValueError: the bytes of a string weight are malformed.
    """
    dtype = np.dtype(object) if ref.dtype == STRING else dtype_of(ref.dtype)
    if not math.prod(ref.shape):
        return np.empty(ref.shape, dtype)
    if ref.dtype == STRING:
        return _decode_strings(buffer[ref.offset : ref.offset + ref.nbytes], ref)
    return np.ndarray(ref.shape, dtype, buffer, ref.offset)


def _bytes_of(contiguous: Array) -> memoryview:
    """Return the bytes of an array without a copy; only `uint8` works for every dtype."""
    return contiguous.reshape(-1).view(np.uint8).data


def _text_and_bytes(element: object) -> tuple[bool, bytes]:
    """Return whether *element* is text, and its bytes."""
    if isinstance(element, str):
        return True, element.encode("utf-8", "surrogatepass")
    if isinstance(element, bytes):
        return False, element
    raise ValueError(f"a string weight holds a {type(element).__name__}")


def _decode_strings(data: Array, ref: WeightRef) -> Array:
    """Return the elements, which follow the lengths, in the shape of *ref*."""
    count = math.prod(ref.shape)
    marks = data[: count * _LENGTH.itemsize].view(_LENGTH).tolist()
    ends = np.cumsum([count * _LENGTH.itemsize, *(mark >> 1 for mark in marks)]).tolist()
    if len(marks) != count or ends[-1] != ref.nbytes:
        raise ValueError(f"the strings of {ref.name!r} do not add up")
    strings = np.empty(count, object)
    for index, (mark, start, end) in enumerate(zip(marks, ends, ends[1:], strict=False)):
        element = data[start:end].tobytes()
        strings[index] = element.decode("utf-8", "surrogatepass") if mark & 1 else element
    return strings.reshape(ref.shape)
