"""Where the time of a load goes, by phase: stock's and fastload's, each in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from fastload.api.explain import explain
from fastload.bench.ground import (
    Ground,
    State,
    ground_of,
    is_ours,
    measured_ground,
    object_names,
    require_installed,
)
from fastload.errors import StockLoadError
from fastload.report import Outcome

if TYPE_CHECKING:
    from fastload.api.explain import Function
    from fastload.bench.job import Job, Told
    from fastload.runtime.core.keras import KerasChoice

#: What of a load of fastload's is in no phase.
REST: Final = "rest"
#: The first one may leave what the next ones use.
_LATER_LOADS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProfile:
    """Where the time of a load goes: seconds by phase, without imports of TensorFlow and Keras.

    The phases of each load add up to all of it.

    Attributes:
        path: the model, as it was given.
        function: the function of fastload's.
        stock: phases of the stock loader: `parse` (files and their metadata), `functions` (graphs
            made callable), `tracing` (layers called for their shapes), `initialisation` (variables
            made), `restore` (weights read), `compile`, `python` (all else); empty where it cannot
            open the model.
        first: phases of a first load, which writes the twin; empty where fastload serves none.
        later: phases of a later load, likewise.
        reason: why fastload leaves the model to the stock loader, or None.
        code: the code of that.
        refusal: why the stock loader cannot open the model, or None.
    """

    path: str
    function: Function
    stock: Mapping[str, float] = field(default_factory=dict)
    first: Mapping[str, float] = field(default_factory=dict)
    later: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None
    code: str | None = None
    refusal: str | None = None

    @property
    def stock_seconds(self) -> float:
        """Seconds of the load by the stock loader."""
        return sum(self.stock.values())

    @property
    def first_seconds(self) -> float:
        """Seconds of the first load."""
        return sum(self.first.values())

    @property
    def later_seconds(self) -> float:
        """Seconds of the later load."""
        return sum(self.later.values())

    def to_document(self) -> dict[str, Any]:
        """Return the phases as JSON values."""
        loads = {"stock": self.stock, "first": self.first, "later": self.later}
        return {name: dict(phases) for name, phases in loads.items()}


def profile_load(
    path: str | os.PathLike[str],
    *,
    keras: KerasChoice = "auto",
    function: Function = "load_model",
) -> LoadProfile:
    """Say where the time of a load goes, in the stock loader and in fastload.

    The model is loaded in fresh processes: by the stock loader, whose functions are timed as it
    runs, and by fastload, a first time and later. The cache is a temporary one.

    Args:
        path: a SavedModel folder, a `.h5` / `.hdf5` file or a `.keras` archive.
        keras: as in `load_model`.
        function: which of fastload's functions loads it.

    Returns:
        Seconds by phase, of one load each; `fastload bench` gives medians of whole loads.

    Raises:
        ValueError: there is no such function.
        BypassError: there is no model that fastload reads at *path*.
        MissingTensorFlowError: TensorFlow, or the Keras asked for, is not installed.
        StockLoadError: nothing opens the model.
        MeasurementError: a process failed.

    Example:
        >>> import fastload
        >>> profile = fastload.profile_load("path/to/model")  # doctest: +SKIP
        >>> profile.stock["tracing"], profile.later_seconds  # doctest: +SKIP
        (2.31, 0.33)
    """
    ground = ground_of(path, keras)
    if function == "load_weights":
        raise ValueError("function='load_weights': it loads into a model that a program has built")
    empty = LoadProfile(path=os.fspath(path), function=function)
    decided = explain(path, keras=keras, function=function)
    if decided.outcome is Outcome.BYPASS:
        return replace(empty, reason=decided.reason, code=decided.code)
    require_installed(keras)
    with measured_ground(ground) as made:
        return _profile(made, empty)


def _profile(ground: Ground, profile: LoadProfile) -> LoadProfile:
    function = profile.function
    job = replace(ground.job(function, is_stock=False), predicts=False)
    first = ground.run(job, State.FIRST, ground.cache(function))
    if first.error is not None:
        if not is_ours(first.error):
            raise StockLoadError(profile.path, first.error["message"])
        return replace(profile, reason=first.error["message"], code=first.error["code"])
    if first.outcome == Outcome.BYPASS.value:
        return replace(profile, reason=first.reason, code=first.code)
    objects = object_names(ground.cache(function), first)
    stock_job = replace(ground.job(function, is_stock=True), objects=objects, compile=None)
    stock = profiled(ground, stock_job)
    later = [ground.run(job, State.LATER) for _ in range(_LATER_LOADS)][-1]
    return replace(
        profile,
        stock=stock.phases,
        refusal=None if stock.error is None else stock.error["message"],
        first=phases_of(first),
        later=phases_of(later),
    )


def profiled(ground: Ground, stock_job: Job) -> Told:
    """Run the load *stock_job* once more, taken apart into phases, and without a prediction."""
    return ground.run(replace(stock_job, predicts=False, is_profiled=True), State.STOCK)


def phases_of(told: Told) -> dict[str, float]:
    """Return the phases of a load of fastload's, which add up to all of it."""
    rest_s = told.load_s - sum(told.phases.values())
    return {**told.phases, REST: max(rest_s, 0.0)}
