"""From a restored model, or an open twin, to weights that are lent within a budget."""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from fastload.cache.directory import is_network_filesystem
from fastload.errors import MemoryBudgetError, RestoreError
from fastload.lazy_weights.accounts import Residency, residency_of, residency_of_whole
from fastload.lazy_weights.available import available_bytes
from fastload.lazy_weights.budget import Budget, shared_budget
from fastload.lazy_weights.first_pass import WatchedLender
from fastload.lazy_weights.lender import Lender
from fastload.lazy_weights.lending_plan import Plan, plan_of, plan_of_functions
from fastload.lazy_weights.pages import Pages, pages_of, was_written
from fastload.lazy_weights.tf_lazy_models import (
    lend_weights,
    nbytes_besides,
    refuse_compilation,
    variables_of,
)
from fastload.lazy_weights.tf_lazy_variables import require_lazy_variables
from fastload.lazy_weights.tf_lent_tensors import DevicePages
from fastload.twin.format import USER_BLOCK_BYTES
from fastload.twin.reader import Twin

#: The fraction of available memory that is left for what a model computes.
_LEFT_FOR_ACTIVATIONS: Final = 0.2
#: By model or predictor: the lender of its weights or, where all fit, what they take.
_known: Final[weakref.WeakKeyDictionary[Any, Lender | Residency]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How weights are lent.

    Attributes:
        limit: bytes that they may take.
        shared: the budget that they share with other models, if any.
        device: the device that they are lent on; None for the host.
        progress: show the first round over them.
    """

    limit: int
    shared: Budget | None = None
    device: str | None = None
    progress: bool = False

    @classmethod
    def of(cls, memory_budget: int | None, device: str | None, *, progress: bool = False) -> Terms:
        """Return the terms of a load.

        Args:
            memory_budget: bytes; None for the shared budget or, if there is none, for most of the
                available memory.
            device: the device that weights are lent on.
            progress: show the first round over them.
        """
        shared = shared_budget() if memory_budget is None else None
        limit = memory_budget if shared is None else shared.limit
        if limit is None:
            left = available_bytes()
            limit = 2**63 if left is None else int(left * (1 - _LEFT_FOR_ACTIVATIONS))
        return cls(limit=limit, shared=shared, device=device, progress=progress)


def require_budget(twin: Twin, terms: Terms) -> None:
    """Check, before a model is restored, that its largest layer can run.

    Raises:
        MemoryBudgetError: it cannot; the error names the smallest budget.
    """
    _require(plan_of(twin.refs.values()), terms)


def lend_weights_of(model: Any, twin: Twin, terms: Terms) -> None:
    """Let a restored model's weights be lent, unless all of them fit.

    Args:
        model: a model that was restored from *twin*, which is mapped.
        twin: its twin.
        terms: the budget.

    Raises:
        MemoryBudgetError: the budget is smaller than the model's largest layer.
        RestoreError: the twin can no longer be read.
        BypassError: TensorFlow cannot be driven as expected.
    """
    variables = variables_of(model, twin)
    plan = plan_of(ref for ref in twin.refs.values() if ref.name in variables)
    lender = _lender(plan, twin, terms, nbytes_besides(model, variables))
    if lender is None:
        remember(model, residency_of_whole(plan, terms.limit))
        return
    near = None if terms.device is None else _near(plan, twin, terms)
    with reading(twin):
        lend_weights(variables, lender, near)
    if not was_written(*twin.extent):
        twin.release_pages()
    refuse_compilation(model)
    remember(model, near or lender)


def lender_of(twin: Twin, terms: Terms) -> Lender | None:
    """Return the lender of *twin*'s weights to functions; None where all of them fit.

    Raises:
        MemoryBudgetError: the budget is smaller than the model's largest layer.
        RestoreError: the twin can no longer be read.
        BypassError: TensorFlow cannot be driven as expected.
    """
    return _lender(plan_of_functions(twin.refs.values()), twin, terms)


def whole(twin: Twin, terms: Terms) -> Residency:
    """Return what the weights of *twin* take where all of them fit."""
    return residency_of_whole(plan_of_functions(twin.refs.values()), terms.limit)


def remember(owner: Any, weights: Lender | Residency) -> None:
    """Remember the lender of a model's or predictor's weights, or what they take if all fit."""
    _known[owner] = weights


def share(model: Any, other: Any) -> None:
    """Have `residency` report on *other* what it does on *model*: they have the same weights."""
    if model in _known:
        _known[other] = _known[model]


@contextmanager
def reading(twin: Twin) -> Iterator[None]:
    """Read the file of *twin* in the block.

    Raises:
        RestoreError: it cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise RestoreError(twin.path, f"it cannot be read: {error}") from error


def _lender(plan: Plan, twin: Twin, terms: Terms, besides: int = 0) -> Lender | None:
    if plan.total_nbytes + besides <= terms.limit and terms.shared is None:
        return None
    require_lazy_variables()
    _require(plan, terms, besides)
    budget = terms.shared or Budget(terms.limit)
    pages = _pages(twin, mapped=not is_network_filesystem(twin.path.parent))
    kind = WatchedLender if terms.progress else Lender
    return kind(plan, budget, pages, besides)


def residency(model: Any) -> Residency:
    """Return what the weights of a lazy model take in memory, with counts of their traffic.

    Args:
        model: what `load_model` or `load_predictor` returned for `weights="lazy"` or a
            `memory_budget`.

    Returns:
        Bytes in memory, by layer and in total, and how often weights were read and dropped so far;
        as text, a table.

    Raises:
        ValueError: the model was not loaded lazily.

    Example:
        >>> import fastload
        >>> model = fastload.load_model("path/to/model", memory_budget="1GiB")  # doctest: +SKIP
        >>> fastload.residency(model).resident_bytes  # doctest: +SKIP
        1064239104
    """
    try:
        weights = _known[model]
        return residency_of(weights) if isinstance(weights, Lender) else weights
    except (KeyError, TypeError):  # a TypeError where it cannot be weakly referenced
        what = f"this {type(model).__name__} was not loaded with lazy weights"
        raise ValueError(
            f"{what}. Load it with fastload.load_model(path, weights='lazy'), "
            "or give a memory_budget="
        ) from None


def _pages(twin: Twin, *, mapped: bool) -> Pages:
    """Open the file of *twin* again by its name, which may be another twin's by now."""
    with reading(twin):
        pages = pages_of(twin.path, mapped=mapped)
        head = pages.head(USER_BLOCK_BYTES)
    if head != twin.header.to_bytes():
        passing = OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        raise RestoreError(twin.path, "it was replaced while it was restored") from passing
    return pages


def _near(plan: Plan, twin: Twin, terms: Terms) -> Lender:
    """Return the lender of *plan*'s weights on a device, within a budget of its own."""
    assert terms.device is not None  # noqa: S101 - the caller checked
    pages = DevicePages(file=_pages(twin, mapped=False), device=terms.device)
    return Lender(plan, Budget(terms.limit), pages)


def _require(plan: Plan, terms: Terms, besides: int = 0) -> None:
    smallest = plan.smallest_budget + besides
    if terms.limit < smallest:
        layer, nbytes = plan.largest_layer
        purpose = f"this model, with {nbytes} bytes in its largest layer {layer!r},"
        raise MemoryBudgetError(purpose, terms.limit, smallest)
