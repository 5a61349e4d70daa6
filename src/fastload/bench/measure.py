"""Stock against fastload on one model: a fresh process for each figure, the programs in turns."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fastload.bench import machine
from fastload.bench.ground import (
    Ground,
    State,
    Step,
    Steps,
    ground_of,
    measured_ground,
    require_installed,
)
from fastload.bench.job import Job, Told
from fastload.bench.profile import LoadProfile, phases_of, profiled
from fastload.bench.rehearsal import PROCESSES, Rehearsed, rehearse, require
from fastload.bench.result import Bench, Comparison, Timing
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.stats import note_stock_seconds
from fastload.errors import StockLoadError
from fastload.loading.request import current_settings
from fastload.runtime.core.keras import needs_no_tensorflow

if TYPE_CHECKING:
    from fastload.api.explain import Function
    from fastload.runtime.core.keras import KerasChoice

ROUNDS: Final = 3
#: What is measured: a job, and the state in which it is done.
_Program = tuple[Job, State]


def bench(  # noqa: PLR0913 - each says another thing
    path: str | os.PathLike[str],
    *,
    rounds: int = ROUNDS,
    keras: KerasChoice = "auto",
    signature: str | None = None,
    functions: Sequence[Function] = (),
    is_profiled: bool = False,
    tell: Callable[[Step], None] | None = None,
) -> Bench:
    """Measure what loads of the model at *path* take, by stock and by fastload.

    What they predict from made-up inputs is compared first. The cache is a temporary one.

    Args:
        path: a SavedModel folder, a `.h5` / `.hdf5` file or a `.keras` archive.
        rounds: processes for each figure.
        keras: as in `load_model`.
        signature: the function of a SavedModel that predicts; None for the default.
        functions: those of fastload's that are measured; none for all that load such a model.
        is_profiled: also tell where the time goes, by phase.
        tell: is told each process before it starts.

    Raises:
        BypassError: there is no model that fastload reads at *path*.
        MissingTensorFlowError: TensorFlow, or the Keras asked for, is not installed.
        StockLoadError: nothing opens the model.
        MeasurementError: a process failed, or predicted something else than stock does.

    Example:
        >>> from fastload.bench.measure import bench
        >>> bench("path/to/model").comparisons[0].load_ratio  # doctest: +SKIP
        13.0
    """
    steps = Steps(tell)
    given = replace(ground_of(path, keras, signature), steps=steps)
    chosen = given.chosen(functions)
    steps.total = len(chosen) * (PROCESSES + 3 * rounds + 3 * is_profiled)
    require_installed(keras)
    with measured_ground(given) as ground:
        rehearsed = [rehearse(ground, function) for function in chosen]
        _require_opened(ground, rehearsed)
        profiles = sum(each.stock is not None for each in rehearsed) if is_profiled else 0
        samples = _measured(ground, rehearsed, rounds, profiles)
        found = [_comparison(ground, each, samples) for each in rehearsed]
        if is_profiled:
            pairs = zip(rehearsed, found, strict=True)
            found = [_with_profile(ground, each, comparison) for each, comparison in pairs]
    _note(rehearsed, found)
    return Bench(
        path=os.fspath(path),
        kind=given.source.kind.value,
        size_bytes=sum(file.size for file in given.source.files),
        weights_bytes=max((each.weights_bytes for each in rehearsed), default=0),
        rounds=rounds,
        machine=machine.describe(),
        comparisons=tuple(found),
    )


def _require_opened(ground: Ground, rehearsed: Sequence[Rehearsed]) -> None:
    """Check that a function of fastload's or of stock opens the model.

    Raises:
        StockLoadError: none does.
    """
    refusals = [each.refusal for each in rehearsed if each.ours is None and each.refusal]
    if len(refusals) == len(rehearsed):
        raise StockLoadError(ground.path, refusals[0])


def _measured(
    ground: Ground, rehearsed: Sequence[Rehearsed], rounds: int, profiles: int
) -> Mapping[_Program, list[Told]]:
    """Run each program once a round, so that a busier machine slows all of them."""
    programs = [(each, program) for each in rehearsed for program in _programs(each)]
    # Two functions may have one stock loader.
    once = {program: each for each, program in reversed(programs)}
    samples: dict[_Program, list[Told]] = {program: [] for _, program in programs}
    ground.steps.expect(rounds * len(samples) + profiles)
    for _ in range(rounds):
        for (job, state), told in samples.items():
            found = require(ground.run(job, state), state)
            told.append(once[job, state].check(found) if not job.is_stock else found)
    return samples


def _programs(rehearsed: Rehearsed) -> list[_Program]:
    found = [] if rehearsed.stock is None else [(rehearsed.stock, State.STOCK)]
    if rehearsed.ours is not None:
        found += [(rehearsed.ours, State.FIRST), (rehearsed.ours, State.LATER)]
    return found


def _comparison(
    ground: Ground, rehearsed: Rehearsed, samples: Mapping[_Program, Sequence[Told]]
) -> Comparison:
    def timing(job: Job | None, state: State) -> Timing | None:
        return None if job is None else Timing(samples=tuple(samples[job, state]))

    return Comparison(
        function=rehearsed.function,
        stock_name=_stock_name(ground, rehearsed.function),
        stock=timing(rehearsed.stock, State.STOCK),
        first=timing(rehearsed.ours, State.FIRST),
        later=timing(rehearsed.ours, State.LATER),
        refusal=rehearsed.refusal,
        reason=rehearsed.reason,
        code=rehearsed.code,
        uncompared=rehearsed.uncompared,
        compiled=rehearsed.ours is None or rehearsed.ours.compile is not False,
    )


def _stock_name(ground: Ground, function: Function) -> str:
    """Return how a program calls the stock loader."""
    if ground.job(function, is_stock=True).function == "load_saved_model":
        return "tf.saved_model.load"
    automatic = "keras" if needs_no_tensorflow(os.environ) else "tf.keras"
    package = automatic if ground.keras == "auto" else ground.keras
    return f"{package}.models.load_model"


def _with_profile(ground: Ground, rehearsed: Rehearsed, found: Comparison) -> Comparison:
    """Return *found* with the phases of one more stock load, and of fastload's in the middle."""
    if found.first is None or found.later is None:
        return found
    stock = {} if rehearsed.stock is None else profiled(ground, rehearsed.stock).phases
    profile = LoadProfile(
        path=ground.path,
        function=found.function,
        stock=stock,
        first=phases_of(found.first.middle),
        later=phases_of(found.later.middle),
        refusal=found.refusal,
    )
    return replace(found, profile=profile)


def _note(rehearsed: Sequence[Rehearsed], found: Sequence[Comparison]) -> None:
    """Note the time of stock's load in the user's cache, where that has the model's twin."""
    for each, comparison in zip(rehearsed, found, strict=True):
        if each.function != "load_model" or comparison.stock is None or each.entry is None:
            continue
        cache = CacheDir.locate(current_settings())
        entry = CacheEntry(cache=cache, name=each.entry)
        if entry.path.exists():
            note_stock_seconds(entry, comparison.stock.load_s)
