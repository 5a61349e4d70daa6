"""Arrays of the twin as TensorFlow tensors, without a copy.

TensorFlow never writes into a buffer that it received through DLPack: an assignment allocates a new
one (`tests/runtime/test_zero_copy.py` shows it for every kind of update). Besides, the twin's pages
are mapped copy-on-write, so a model can never change the file.
"""

from __future__ import annotations

import ctypes
import math
import mmap
from typing import Any, Final

import numpy as np

from fastload.runtime.core import eager
from fastload.runtime.core.tensorflow import tensorflow
from fastload.twin.format import ALIGNMENT_BYTES


class MappedArray(np.ndarray[Any, np.dtype[Any]]):
    """An array of the twin that TensorFlow converts to a tensor without a copy.

    To everything else (say, a custom layer's `load_own_variables`) it is an ordinary array. Only
    views made by `of` are shared; arrays that numpy derives from them are copied as usual.
    """

    _mapped = False

    @classmethod
    def of(cls, array: np.ndarray[Any, Any]) -> MappedArray:
        """Return a view of *array*, which must lie in a twin or in memory that is never written."""
        view = array.view(cls)
        view._mapped = True
        return view

    @property
    def can_be_shared(self) -> bool:
        """Whether a framework can use the memory as it is."""
        return self._mapped and _is_usable_in_place(self)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        """Convert to a tensor (TensorFlow's own protocol since 2.12)."""
        tf = tensorflow()
        if self._mapped and (dtype is None or tf.as_dtype(dtype) == tf.as_dtype(self.dtype)):
            return tensor_over(self)
        return tf.convert_to_tensor(np.asarray(self), dtype=dtype, name=name)


def tensor_over(array: np.ndarray[Any, Any]) -> Any:
    """Return a CPU tensor over the memory of *array* where TensorFlow allows it; else a copy.

    The address is checked first: TensorFlow aborts the process where it is not a multiple of 64.
    """
    plain = np.asarray(array)
    if not _can_alias(plain):
        return _copied(plain)
    if _NUMPY_ABORTS:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(_owner(plain)))
    # numpy takes longer to name a dtype than everything else here takes.
    is_numpys_own = plain.dtype.isbuiltin == 1
    carrier = None if is_numpys_own else _EXTENSION_CARRIERS.get(plain.dtype.name)
    from_dlpack = eager.runtime().dlpack.from_dlpack
    try:
        if carrier is not None:
            carried = from_dlpack(plain.view(carrier).__dlpack__())
            return eager.bitcast(carried, plain.dtype.name)
        return from_dlpack(plain.__dlpack__())
    except eager.runtime().errors_impl.InvalidArgumentError:  # TensorFlow 2.8 takes no complex128
        return eager.tensor_of(plain)


def _copied(plain: np.ndarray[Any, Any]) -> Any:
    carrier = _EXTENSION_CARRIERS.get(plain.dtype.name)
    if carrier is None:
        return eager.tensor_of(plain)
    # TensorFlow up to 2.12 has a bfloat16 of its own, and accepts no other.
    return eager.bitcast(eager.tensor_of(plain.view(carrier)), plain.dtype.name)


#: numpy before 1.24 frees memory exported through DLPack without holding the GIL, which aborts the
#: process for a mapping (https://github.com/numpy/numpy/issues/22507). There a mapping that a
#: tensor shares is never freed.
_NUMPY_ABORTS: Final = tuple(map(int, np.__version__.split(".")[:2])) < (1, 24)


def _owner(array: np.ndarray[Any, Any]) -> Any:
    """Return the object that owns the memory of *array*."""
    owner: Any = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    return owner


#: numpy's DLPack does not know ml_dtypes; these are passed as integers of the same width, which
#: TensorFlow bit-casts.
_EXTENSION_CARRIERS = {"bfloat16": "uint16"}


def address_of(array: np.ndarray[Any, Any]) -> int:
    """Return the memory address of the values of *array*."""
    address: int = array.ctypes.data
    return address


def _can_alias(array: np.ndarray[Any, Any]) -> bool:
    return has_dlpack(array.dtype) and _is_usable_in_place(array)


def _is_usable_in_place(array: np.ndarray[Any, Any]) -> bool:
    return (
        array.size > 0
        and array.flags.c_contiguous
        and array.flags.writeable  # numpy refuses to export read-only arrays
        and address_of(array) % ALIGNMENT_BYTES == 0
    )


def has_dlpack(dtype: np.dtype[Any]) -> bool:
    """Say whether tensors can share memory with arrays of *dtype*."""
    # 1 means numpy's own, in native byte order: some types of ml_dtypes have the kind `f` too.
    is_numpys_own = dtype.isbuiltin == 1 and dtype.kind in "iufc"
    return is_numpys_own or dtype.name in _EXTENSION_CARRIERS


class BlankSheet:
    """Zeros for variables that will get their weights shortly: anonymous mappings that they share.

    The pages are never touched, so a blank variable takes no memory and no time.
    """

    def __init__(self) -> None:
        self._sheets = [_sheet(mmap.PAGESIZE)]
        self._tensors: dict[Any, Any] = {}

    @staticmethod
    def fits(dtype: Any) -> bool:
        """Say whether a tensor of *dtype* (a TensorFlow dtype) can lie on a sheet."""
        return bool(dtype.is_floating or dtype.is_integer or dtype.is_complex)

    def tensor(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return a tensor of zeros of *shape* and *dtype* (a TensorFlow dtype that fits)."""
        key = (shape, dtype)
        if key not in self._tensors:
            self._tensors[key] = tensor_over(self.cut(shape, np.dtype(dtype.as_numpy_dtype)))
        return self._tensors[key]

    def cut(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """Return an array of zeros of *shape* and *dtype*, which must not be written to."""
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes > self._sheets[-1].size:
            self._sheets.append(_sheet(nbytes))
        return self._sheets[-1][:nbytes].view(dtype).reshape(shape)


def _sheet(nbytes: int) -> np.ndarray[Any, Any]:
    return np.frombuffer(mmap.mmap(-1, nbytes), dtype="u1")
