"""Arrays in files and in aligned memory, for tests of what shares their memory."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.core.zero_copy import tensor_over

ROWS, COLUMNS = 16, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedFile:
    """A file of three float32 matrices, each at a multiple of a page, mapped copy-on-write."""

    path: Path
    arrays: list[Any]

    def variables(self) -> list[Any]:
        """Return variables that lie in the mapping."""
        return [tensorflow().Variable(tensor_over(array)) for array in self.arrays]


def map_file(path: Path) -> MappedFile:
    """Write a file at *path* and map it."""
    values = np.random.default_rng(1).uniform(0.5, 1, (3, mmap.PAGESIZE // 4)).astype("f4")
    path.write_bytes(values.tobytes())
    with path.open("rb") as file:
        pages = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), "f4")
    arrays = [row[: ROWS * COLUMNS].reshape(ROWS, COLUMNS) for row in pages.reshape(3, -1)]
    return MappedFile(path=path, arrays=arrays)


def address(tensor: Any) -> int:
    """Return where the elements of a tensor or variable are."""
    value = tensor.value() if isinstance(tensor, tensorflow().Variable) else tensor
    return int(np.asarray(value).ctypes.data)


def aligned(array: Any) -> Any:
    """Return *array* copied to a multiple of a page, writable."""
    memory = np.frombuffer(mmap.mmap(-1, max(array.nbytes, 1)), "u1")[: array.nbytes]
    memory[:] = np.frombuffer(array.tobytes(), "u1")
    return memory.view(array.dtype).reshape(array.shape)
