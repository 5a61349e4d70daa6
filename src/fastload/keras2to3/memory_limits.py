"""How much memory a proof may take: a file names sizes, and stock does not run it at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from fastload.source.detect import ModelSource

#: Any proof may take so much.
FLOOR_BYTES: Final = 2**30
#: Results on the way to an output, for each byte of the model.
_EXPANSION: Final = 4
#: Made-up inputs, which are made in double precision.
MOST_INPUT_BYTES: Final = 2**28
_DOUBLE_BYTES: Final = 8
#: Of an element of a constant, at most; texts are in the file as they are.
_LARGEST_ELEMENT_BYTES: Final = 16


class TooLargeError(Exception):
    """A run would take too much memory; the message says how much, if that is known."""

    def __init__(self, needed: int | None, allowed: int) -> None:
        found = "more memory" if needed is None else f"{needed / 2**20:,.0f} MiB of memory"
        super().__init__(f"a run would take {found}, and {allowed / 2**20:,.0f} MiB are allowed")


def most_bytes(source: ModelSource) -> int:
    """Return how many bytes a run of the model may take at once."""
    return FLOOR_BYTES + _EXPANSION * sum(file.size for file in source.files)


def fits_as_input(shapes: Iterable[tuple[int, ...]]) -> bool:
    """Say whether inputs of these *shapes* may be made up.

    Example:
        >>> fits_as_input([(4, 1024, 1024, 3)])
        True
        >>> fits_as_input([(4, 100_000, 100_000)])
        False
    """
    return sum(map(_elements, shapes)) * _DOUBLE_BYTES <= MOST_INPUT_BYTES


def _elements(shape: Iterable[int]) -> int:
    found = 1
    for size in shape:
        found *= max(size, 0)
    return found


def constant_bytes(nodes: Iterable[Any]) -> int:
    """Return what the constants among *nodes* unpack to, at most; a message may state one number.

    Args:
        nodes: `NodeDef` messages.
    """
    tensors = (node.attr["value"].tensor for node in nodes if node.op == "Const")
    shapes = ([axis.size for axis in tensor.tensor_shape.dim] for tensor in tensors)
    return sum(map(_elements, shapes)) * _LARGEST_ELEMENT_BYTES
