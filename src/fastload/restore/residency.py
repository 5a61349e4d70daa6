"""A model whose weights are lent within a budget: from a restored model to one that is lazy."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any, Final

from fastload.errors import MemoryBudgetError
from fastload.residency.budget import Budget
from fastload.residency.lender import Lender
from fastload.residency.pages import pages_of
from fastload.residency.plan import Plan, plan_of
from fastload.residency.read_ahead import ReadAhead
from fastload.runtime.lazy_models import lend_weights, refuse_compilation, variables_of
from fastload.runtime.lazy_variables import require_lazy_variables
from fastload.twin.reader import Twin

_lenders: Final[weakref.WeakKeyDictionary[Any, Lender]] = weakref.WeakKeyDictionary()


def require_budget(plan: Plan, limit: int) -> None:
    """Check that the largest layer can run within *limit* bytes.

    Raises:
        MemoryBudgetError: it cannot; the error has the smallest budget.
    """
    if limit < plan.smallest_budget:
        layer, nbytes = plan.largest_layer
        purpose = f"its largest layer, {layer!r} with {nbytes} bytes, and what always stays"
        raise MemoryBudgetError(purpose, limit, plan.smallest_budget)


def lend(model: Any, twin: Twin, limit: int) -> None:
    """Have the weights of a restored model lent within *limit* bytes, unless all fit.

    Args:
        model: a model that was restored from *twin*, which is mapped.
        twin: its twin.
        limit: the budget in bytes.

    Raises:
        MemoryBudgetError: the budget is smaller than the model's largest layer.
        BypassError: TensorFlow cannot be driven as expected.
    """
    require_lazy_variables()
    variables = variables_of(model, twin)
    plan = plan_of(ref for ref in twin.refs.values() if ref.name in variables)
    if plan.total_nbytes <= limit:
        return
    require_budget(plan, limit)
    budget = Budget(limit)
    lender = Lender(plan, budget, pages_of(twin.path), ReadAhead(budget))
    lend_weights(variables, lender)
    refuse_compilation(model)
    _lenders[model] = lender
