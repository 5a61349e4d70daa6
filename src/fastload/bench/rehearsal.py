"""Before anything is timed: is it served, what does stock say, do both predict the same bytes?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fastload.api.explain import explain
from fastload.bench.ground import Ground, State, is_ours, object_names
from fastload.bench.job import Job, Told
from fastload.errors import MeasurementError, StockLoadError
from fastload.report import Outcome

if TYPE_CHECKING:
    from fastload.api.explain import Function

#: What the function and the traces of a model need until all that is kept of them is kept.
_LATER_LOADS = 2
#: Loads of a rehearsal, at the most.
PROCESSES = _LATER_LOADS + 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What can be measured of one function.

    Attributes:
        function: the function.
        ours: a load by it; None where fastload leaves the model to stock.
        stock: a load by the stock loader; None where it cannot open the model, or is not asked.
        digest: of what each must predict; None where that cannot be compared.
        refusal: why the stock loader cannot open the model.
        reason: why fastload leaves the model to stock.
        code: the code of that.
        uncompared: why predictions are not compared.
        entry: the name of the twin's entry.
        weights_bytes: of the model.
    """

    function: Function
    ours: Job | None = None
    stock: Job | None = None
    digest: str | None = None
    refusal: str | None = None
    reason: str | None = None
    code: str | None = None
    uncompared: str | None = None
    entry: str | None = None
    weights_bytes: int = 0

    def check(self, told: Told) -> Told:
        """Return *told*, if it predicted what it must.

        Raises:
            MeasurementError: it predicted something else.
        """
        if self.digest is not None and told.digest != self.digest:
            raise _differs(self.function, told)
        return told


def _differs(function: Function, told: Told) -> MeasurementError:
    return MeasurementError(
        f"{function}: a process ({told.outcome}) predicted other bytes than the one that it was "
        "compared with first; no figures are shown. Please report it."
    )


def rehearse(ground: Ground, function: Function) -> Rehearsed:
    """Load by *function* and by stock, compare what both predict, and leave a warm cache.

    Raises:
        StockLoadError: neither opens the model.
        MeasurementError: a process failed, or both predict different bytes.
    """
    decided = explain(ground.path, keras=ground.keras, function=function)
    if decided.outcome is Outcome.BYPASS:
        refusal = _stock_refusal(ground, function)
        return Rehearsed(
            function=function, reason=decided.reason, code=decided.code, refusal=refusal
        )
    first = _first_load(ground, function)
    if first.error is not None:
        return _refused(ground, function, first.error)
    if first.outcome == Outcome.BYPASS.value:
        return Rehearsed(function=function, reason=first.reason, code=first.code)
    objects = object_names(ground.cache(function), first)
    job = replace(ground.job(function, is_stock=True), compile=None, objects=objects)
    stock = ground.run(job, State.STOCK)
    if stock.error is not None:
        return _without_stock(ground, function, first, stock)
    return _compared(ground, function, first, job, stock)


def _stock_refusal(ground: Ground, function: Function) -> str | None:
    """Return why the stock loader cannot open the model either; None if it can."""
    job = replace(ground.job(function, is_stock=True), compile=None, predicts=False)
    told = ground.run(job, State.STOCK)
    return None if told.error is None else told.error["message"]


def _refused(ground: Ground, function: Function, error: Mapping[str, str]) -> Rehearsed:
    """Rehearse nothing where fastload itself says why not: it has no such signature, say.

    Raises:
        StockLoadError: it is an error of stock's.
    """
    if not is_ours(error):
        raise StockLoadError(ground.path, error["message"])
    return Rehearsed(function=function, reason=error["message"], code=error["code"])


def _first_load(ground: Ground, function: Function) -> Told:
    job = replace(ground.job(function, is_stock=False), predicts=False)
    told = ground.run(job, State.FIRST, ground.cache(function))
    if told.error is not None and function == "load_model":  # a loss that is not at hand, say
        again = ground.run(replace(job, compile=False), State.FIRST, ground.cache(function))
        return told if again.error is not None else again
    return told


def _without_stock(ground: Ground, function: Function, first: Told, stock: Told) -> Rehearsed:
    """Rehearse alone what stock refuses: a Keras 2 model in Keras 3, say."""
    assert stock.error is not None  # noqa: S101 - that is why
    job = replace(ground.job(function, is_stock=False), compile=first.compile)
    told = _later_loads(ground, job)
    return Rehearsed(
        function=function,
        ours=replace(job, inputs=told.inputs, predicts=told.inputs is not None),
        refusal=stock.error["message"],
        uncompared="the stock loader does not open it",
        entry=first.entry,
        weights_bytes=first.weights_bytes,
    )


def _compared(ground: Ground, function: Function, first: Told, job: Job, stock: Told) -> Rehearsed:
    """Compare what both predict."""
    predicts = stock.inputs is not None
    stock_job = replace(job, compile=stock.compile, inputs=stock.inputs, predicts=predicts)
    ours = replace(
        ground.job(function, is_stock=False),
        compile=stock.compile,
        inputs=stock.inputs,
        predicts=predicts,
    )
    told = _later_loads(ground, ours)
    rehearsed = Rehearsed(
        function=function,
        ours=ours,
        stock=stock_job,
        uncompared=stock.uncompared,
        entry=first.entry,
        weights_bytes=first.weights_bytes,
    )
    if stock.digest is None:
        return rehearsed
    expected = _expected(ground, ours, stock)
    if told.digest == expected:
        return replace(rehearsed, digest=expected)
    if ground.run(stock_job, State.STOCK).digest != stock.digest:
        changes = "what stock's model predicts changes from process to process"
        return replace(rehearsed, uncompared=changes)
    raise _differs(function, told)


def _later_loads(ground: Ground, job: Job) -> Told:
    """Load until all that is kept beside the twin is there; return what the last load told.

    Raises:
        MeasurementError: a load raised an error, which stock's did not, or is no hit.
    """
    for _ in range(_LATER_LOADS):
        told = ground.run(job, State.LATER)
        if told.error is not None:
            raise MeasurementError(f"{job.function} raised what stock did not: {told.error}")
        require(told, State.LATER)
    return told


def require(told: Told, state: State) -> Told:
    """Return *told*, if it is of a load in that *state*.

    Raises:
        MeasurementError: it is not.
    """
    wanted = {State.STOCK: "stock", State.FIRST: "miss", State.LATER: "hit"}[state]
    if told.error is not None or told.outcome != wanted:
        found = told.error["message"] if told.error else f"{told.outcome}: {told.reason}"
        raise MeasurementError(f"a {state.value} load did not end as the one before: {found}")
    return told


def _expected(ground: Ground, ours: Job, stock: Told) -> str | None:
    """Return the digest of what fastload must predict.

    A predictor of a Keras file computes what a graph of the model does, and `predict` may compile
    that otherwise: so it is held against a predictor over stock's model.
    """
    if ours.function != "load_predictor" or ours.is_folder:
        return stock.digest
    return ground.run(ours, State.LATER, FASTLOAD_DISABLE="1").digest
