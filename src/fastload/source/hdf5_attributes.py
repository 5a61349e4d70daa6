"""Guarded reading of the attributes of HDF5 objects, by name; all others stay unread."""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, Final

import h5py
import numpy as np
from h5py import h5a, h5s, h5t

from fastload.errors import UnconvertibleModelError, UnsafeSourceError
from fastload.source.hdf5_budget import Budget
from fastload.source.limits import BOMB_FLOOR_BYTES
from fastload.twin.format import AttributeValue

_NUMBERS: Final = (h5t.TypeIntegerID, h5t.TypeFloatID, h5t.TypeEnumID)


def read_attributes(
    found: Any, path: str, names: Iterable[str], budget: Budget
) -> dict[str, AttributeValue]:
    """Return those attributes called *names* that an object has, in plain Python types.

    Args:
        found: the object's identifier in h5py's low-level interface.
        path: its path in the file, for messages.
        names: the attributes to read.
        budget: what may still be read of the file.

    Returns:
        Values of the types that `HDF5Source.groups` lists; `str` and `bytes` are kept apart.

    Raises:
        UnsafeSourceError: they are longer than the file.
        UnconvertibleModelError: one is neither text nor a number.
    """
    present = [name for name in names if h5a.exists(found, name.encode())]
    return {
        name: _read(
            found, name, f"the attribute {name!r} of {path or '/'!r} in the HDF5 file", budget
        )
        for name in present
    }


def _read(found: Any, name: str, what: str, budget: Budget) -> AttributeValue:
    attribute = h5a.open(found, name.encode())
    kind = attribute.get_type()
    is_text = isinstance(kind, h5t.TypeStringID)
    if (not isinstance(kind, _NUMBERS) and not is_text) or _has_no_shape(attribute):
        raise UnconvertibleModelError(f"{what} is neither text nor a number")
    count = math.prod(attribute.shape)
    is_variable = is_text and kind.is_variable_str()
    if is_variable:
        _require_short_texts(found, name, count, budget)
    else:
        budget.take_text(count * kind.get_size())
    value = _plain(h5py.AttributeManager(SimpleNamespace(id=found))[name], what)
    if is_variable:
        texts: Any = value if isinstance(value, list) else [value]
        budget.take_text(sum(map(len, texts)))
    return value


def _has_no_shape(attribute: h5a.AttrID) -> bool:
    return bool(attribute.get_space().get_simple_extent_type() == h5s.NULL)


def _require_short_texts(found: Any, name: str, count: int, budget: Budget) -> None:
    """Check that reading *count* texts takes little memory: all of them may be the same long one.

    HDF5 reads an attribute as a whole.
    """
    if count > 1 and count * budget.file_bytes > BOMB_FLOOR_BYTES:
        if budget.headers is None:
            raise UnsafeSourceError(f"an attribute {name!r} in the HDF5 file holds {count:,} texts")
        budget.require_text(budget.headers.text_bytes(found, name, count))


def _plain(value: Any, what: str) -> AttributeValue:
    """Return an attribute's value in plain Python types."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = _texts(value)
    if value is None or not isinstance(value, (str, bytes, int, float, list)):
        raise UnconvertibleModelError(f"{what} is neither text nor a number")
    if isinstance(value, str):
        value.encode()  # raises a ValueError for text that is not UTF-8
    return value


def _texts(values: np.ndarray[Any, Any]) -> list[str] | list[bytes] | None:
    """Return a list of `str` or of `bytes`, or None if *values* are anything else."""
    # A layer without weights has an empty list of names, which numpy stores as floats.
    items = values.tolist() if values.size else []
    if all(isinstance(item, str) for item in items):
        "".join(items).encode()
        return items
    return items if all(isinstance(item, bytes) for item in items) else None
