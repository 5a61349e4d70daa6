"""Lent weights as tensors: over the pages of the host, or copied to a device."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from fastload.lazy_weights.lender import Lender, array_over, as_array
from fastload.lazy_weights.lending_plan import LazyWeight
from fastload.lazy_weights.pages import Pages, Piece
from fastload.lazy_weights.places import Wait
from fastload.runtime.core.eager import placed
from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.core.zero_copy import tensor_over


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePages:
    """A file whose weights are read to a device.

    Attributes:
        file: the file.
        device: as for `tf.device`.
    """

    file: Pages
    device: str

    def piece(self, weight: LazyWeight) -> DeviceCopy:
        """Return a place for *weight* on the device; nothing is copied yet."""
        return DeviceCopy(pages=self, weight=weight)

    def advise(self, weight: LazyWeight) -> None:
        """Have the system read *weight* from disk soon."""
        self.file.advise(weight)

    def content(self, weight: LazyWeight) -> Any:
        """Return the bytes of *weight*, in memory of the host."""
        return self.file.content(weight)


@dataclass(slots=True, kw_only=True)
class DeviceCopy(Piece):
    """A weight on a device.

    Attributes:
        pages: the file.
        weight: the weight.
        tensor: its values; None before they are read.
    """

    pages: DevicePages
    weight: LazyWeight
    tensor: Any = None

    @property
    def is_ready(self) -> bool:
        """Whether the values are there."""
        return self.tensor is not None

    def read(self) -> None:
        """Copy the weight to the device; the host holds a copy meanwhile."""
        values = tensor_over(as_array(self.pages.content(self.weight), self.weight))
        with tensorflow().init_scope(), placed(self.pages.device):
            self.tensor = tensorflow().identity(values)

    def owner(self) -> DeviceLoan:
        """Return a loan."""
        return DeviceLoan(self)

    def close(self) -> None:
        """Free its memory."""
        self.tensor = None


class DeviceLoan:
    """One loan of a weight on a device."""

    def __init__(self, copy: DeviceCopy) -> None:
        self._copy = copy

    def take(self) -> Any:
        """Return the tensor; the loan lasts until it is collected.

        A gradient tape is not noticed: it holds the values, not this object.
        """
        copy = self._copy
        with placed(copy.pages.device):
            tensor = tensorflow().identity(copy.tensor)
        weakref.finalize(tensor, _keep, self).atexit = False
        return tensor


def _keep(loan: DeviceLoan) -> None:
    """Do nothing: the finalizer has kept *loan* alive until now."""


def lent_tensor(lender: Lender, name: str, wait: Wait) -> Any:
    """Return a weight as a tensor; it is lent while the tensor, or one that shares its memory,
    lives.

    Args:
        lender: the lender.
        name: the weight's name.
        wait: what to do where there is no room.

    Raises:
        KeyError: it is no longer lent.
        MemoryBudgetError: there is no room.
        OSError: the file cannot be read.
    """
    owner, weight = lender.lend(name, wait)
    if isinstance(owner, DeviceLoan):
        return owner.take()
    return tensor_over(array_over(owner, weight))
