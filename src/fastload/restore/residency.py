"""A model whose weights are lent within a budget: from a restored model to a lazy one."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, Final

from fastload.cache.mounts import is_network_filesystem
from fastload.errors import MemoryBudgetError
from fastload.lending.accounts import Residency, residency_of, residency_of_whole
from fastload.lending.available import available_bytes
from fastload.lending.budget import Budget
from fastload.lending.first_pass import WatchedLender
from fastload.lending.lender import Lender
from fastload.lending.pages import pages_of, was_written
from fastload.lending.plan import Plan, plan_of
from fastload.lending.shared import shared_budget
from fastload.runtime.lazy_models import lend_weights, refuse_compilation, variables_of
from fastload.runtime.lazy_variables import require_lazy_variables
from fastload.twin.reader import Twin

#: Of the memory that is left, this much is for what a model computes.
_LEFT_FOR_OTHERS: Final = 0.2
_lenders: Final[weakref.WeakKeyDictionary[Any, Lender]] = weakref.WeakKeyDictionary()
#: Of models that were to be lazy, and fit.
_whole: Final[weakref.WeakKeyDictionary[Any, Residency]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms weights are lent.

    Attributes:
        limit: bytes that they may take.
        shared: the budget that they share with other models, if they do.
        device: where they are lent to; None for the host.
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
            memory_budget: bytes; None for the budget that models share or, if there is none, for
                most of the memory that is left.
            device: where the weights are lent to.
            progress: show the first round over them.
        """
        if memory_budget is not None:
            return cls(limit=memory_budget, device=device, progress=progress)
        shared = shared_budget()
        if shared is not None:
            return cls(limit=shared.limit, shared=shared, device=device, progress=progress)
        left = available_bytes()
        limit = 2**63 if left is None else int(left * (1 - _LEFT_FOR_OTHERS))
        return cls(limit=limit, device=device, progress=progress)


def require_budget(twin: Twin, terms: Terms) -> None:
    """Check, before a model is made, that its largest layer can run.

    Raises:
        MemoryBudgetError: it cannot; the error has the smallest budget.
    """
    _require(plan_of(twin.refs.values()), terms)


def lend_weights_of(model: Any, twin: Twin, terms: Terms) -> None:
    """Have the weights of a restored model lent, unless all of them fit.

    Args:
        model: a model that was restored from *twin*, which is mapped.
        twin: its twin.
        terms: the budget.

    Raises:
        MemoryBudgetError: the budget is smaller than the model's largest layer.
        BypassError: TensorFlow cannot be driven as expected.
    """
    variables = variables_of(model, twin)
    plan = plan_of(ref for ref in twin.refs.values() if ref.name in variables)
    if plan.total_nbytes <= terms.limit and terms.shared is None:
        _whole[model] = residency_of_whole(plan, terms.limit)
        return
    require_lazy_variables()
    _require(plan, terms)
    lender = lender_of(plan, twin, terms)
    lend_weights(variables, lender)
    if not was_written(*twin.extent):
        twin.release_pages()
    refuse_compilation(model)
    _lenders[model] = lender


def lender_of(plan: Plan, twin: Twin, terms: Terms) -> Lender:
    """Return what lends the weights of *plan*."""
    budget = terms.shared or Budget(terms.limit)
    pages = pages_of(twin.path, mapped=not is_network_filesystem(twin.path.parent))
    kind = WatchedLender if terms.progress else Lender
    return kind(plan, budget, pages)


def residency(model: Any) -> Residency:
    """Say what the weights of a lazy model take in memory, and what happened to them.

    Args:
        model: what `load_model` returned for `weights="lazy"` or a `memory_budget`.

    Returns:
        Bytes in memory, by layer and in all, and how often weights came and went until now; as
        text, a table.

    Raises:
        ValueError: the model was not loaded so.

    Example:
        >>> import fastload
        >>> model = fastload.load_model("path/to/model", memory_budget="1GiB")  # doctest: +SKIP
        >>> fastload.residency(model).resident_bytes  # doctest: +SKIP
        1064239104
    """
    try:
        if model in _lenders:
            return residency_of(_lenders[model])
        return _whole[model]
    except (KeyError, TypeError):  # a TypeError where no weak reference to it can be made
        what = f"this {type(model).__name__} was not loaded with lazy weights"
        raise ValueError(
            f"{what}. Load it with fastload.load_model(path, weights='lazy'), "
            "or give a memory_budget="
        ) from None


def _require(plan: Plan, terms: Terms) -> None:
    if terms.limit < plan.smallest_budget:
        layer, nbytes = plan.largest_layer
        purpose = f"this model, with {nbytes} bytes in its largest layer {layer!r},"
        raise MemoryBudgetError(purpose, terms.limit, plan.smallest_budget)
