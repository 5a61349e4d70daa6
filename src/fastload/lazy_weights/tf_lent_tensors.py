"""What is lent, as a tensor."""

from __future__ import annotations

from typing import Any

from fastload.lazy_weights.lender import Lender, array_over
from fastload.lazy_weights.places import Wait
from fastload.lazy_weights.tf_device_pages import DeviceLoan
from fastload.runtime.core.zero_copy import tensor_over


def lent_tensor(lender: Lender, name: str, wait: Wait) -> Any:
    """Return a weight as a tensor; it is lent while the tensor, or one that shares it, lives.

    Args:
        lender: lends it.
        name: which.
        wait: what to do where there is no room.

    Raises:
        KeyError: it is lent no more.
        MemoryBudgetError: there is no room.
        OSError: the file cannot be read.
    """
    owner, weight = lender.lend(name, wait)
    if isinstance(owner, DeviceLoan):
        return owner.take()
    return tensor_over(array_over(owner, weight))
