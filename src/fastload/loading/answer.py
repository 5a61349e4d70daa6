"""A request answered: from the twin, by the stock loader, or by a migration after stock's refusal.

`_load` is the road, a stage a line; `answer` has the one fallback; every load leaves a
report (`_account`).
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from fastload.cache.directory import CacheDir
from fastload.cache.stats import append, stock_seconds
from fastload.errors import (
    BypassError,
    CacheError,
    FastloadError,
    MigrationError,
    MissingTensorFlowError,
    ModelChangedError,
    ModelNotHereError,
    RemoteSourceError,
    RestoreError,
    TwinCorruptError,
    UnresolvedObjectError,
    UnsupportedRequestError,
    UnsupportedSourceError,
    is_passing,
)
from fastload.loading.opening import Opened, open_plan
from fastload.loading.plan import decide
from fastload.loading.request import Request
from fastload.loading.restore import Loaded, restore
from fastload.report import LoadReport, Outcome, PhaseClock, record
from fastload.switch import loading
from fastload.unfinished import undone_if_interrupted

_logger: Final = logging.getLogger("fastload")
_ASK_TO_MIGRATE: Final = (
    "this may be a model of Keras 2. With FASTLOAD_MIGRATE=1, or by fastload.load_model, fastload "
    "migrates such models to Keras 3, and compares their outputs with the original's."
)
_warned: Final[set[tuple[str, str]]] = set()


def answer(request: Request, clock: PhaseClock) -> Any:
    """Load from the twin, or with the stock loader for the reason why not.

    Args:
        request: what the caller asked.
        clock: runs since the call.

    Raises:
        FastloadError: why the twin cannot serve it, where the stock loader must not.
        Exception: whatever the stock loader raises.
    """
    with undone_if_interrupted(), loading(), request.letting_go():
        loaded = _from_twin_or_reason(request, clock)
        if isinstance(loaded, FastloadError):
            reason = loaded
            loaded = _from_stock(request, clock, reason)
            if not isinstance(loaded, Loaded):
                account_bypass(request, clock, reason)
                _warn(request, reason)
                if request.held is not None:
                    _remember_held(request, clock, reason)
                return loaded
        if request.held is not None:
            request.held.leave()
    _share(request, clock, loaded)
    account_served(request, clock, loaded)
    return loaded.model


def _share(request: Request, clock: PhaseClock, loaded: Loaded) -> None:
    """Put what this load made into the shared store, if loads are to do that."""
    settings = request.settings.remote
    if settings is None or not settings.writes:
        return
    if loaded.outcome is Outcome.MISS or loaded.store is not None:
        # Imported here: most users have no store.
        from fastload.loading.shared import share

        with clock.phase("publish"):
            share(loaded.entry, settings)


def _remember_held(request: Request, clock: PhaseClock, reason: FastloadError) -> None:
    # Imported here: few loads are of what the caller holds.
    from fastload.loading.seen import remember

    remember(request, clock.phases["stock"], reason)


def load_from_twin(request: Request, clock: PhaseClock) -> Loaded:
    """Load from the twin, writing it first where there is none.

    Raises:
        CacheError: the cache, or the twin in it, cannot serve the request.
        BypassError: the request is the stock loader's.
    """
    try:
        return _load(request, clock)
    except TwinCorruptError as error:
        layers = request.settings.cache_path
        if error.path.parent not in {layer.absolute() for layer in layers}:
            raise
        _logger.warning("%s is converted again: %s", request.filepath, error.explanation())
        own_alone = replace(request.settings, cache_path=())
        return _load(replace(request, settings=own_alone), clock)


def _load(request: Request, clock: PhaseClock) -> Loaded:
    plan = decide(request, clock)
    opened = open_plan(plan, clock, behind=True)
    loaded = restore(opened, clock)
    return loaded if loaded is not None else _load_with_keras(opened, clock)


def _load_with_keras(first: Opened, clock: PhaseClock) -> Loaded:
    """Load a predictor that the twin *first* alone cannot make: its Keras model has to be made."""
    from fastload.loading.plan_keras import plan_with_keras

    plan = first.plan
    opened = open_plan(
        plan_with_keras(plan.request, plan.identity.source, clock), clock, behind=True
    )
    loaded = restore(opened, clock)
    assert loaded is not None  # noqa: S101 - a plan with a Keras restores or raises
    return replace(loaded, outcome=first.outcome, store=first.store or loaded.store)


def _from_twin_or_reason(request: Request, clock: PhaseClock) -> Loaded | FastloadError:
    """Load from the twin, or return the reason why not.

    It is returned, not handled here: what the stock loader raises would seem to follow from it.
    """
    outer = sys.exc_info()[1]
    try:
        return load_from_twin(request, clock)
    except (CacheError, BypassError) as error:
        if not request.must_be_served:
            return error
        # That Keras refuses the twin of a file says that it would refuse the file.
        is_refused = isinstance(error, (RestoreError, UnsupportedSourceError))
        is_refused = is_refused and not is_passing(error, outer)
        migrated = _migrated(request, clock, error) if is_refused else None
        if migrated is None:
            raise
        return migrated
    except OSError as error:  # of our own modules: too many files are open to import one
        reason = UnsupportedSourceError(f"{str(request.filepath)!r} cannot be served now: {error}")
        if request.must_be_served:
            raise reason from error
        return reason


def _from_stock(request: Request, clock: PhaseClock, reason: FastloadError) -> Any:
    """Load with the stock loader, for *reason*; or migrate the Keras 2 file that it refuses.

    Raises:
        MigrationError: it is *reason*: it says more than stock does of such a file.
        Exception: whatever the stock loader raises, as it raises it; where a custom object is
            missing, with a note that names the line to add (Python 3.11 and later), unless the
            caller called stock and may not know of fastload.
    """
    # Imported here, as below: a hit does without.
    from fastload.loading.behind import free_descriptors
    from fastload.loading.stock import load_stock

    outer = sys.exc_info()[1]
    _let_go(reason, outer)
    free_descriptors()
    try:
        with clock.phase("stock"):
            loaded = load_stock(request, reason)
    except (ModelNotHereError, ModelChangedError) as gone:
        account_bypass(request, clock, reason)
        if isinstance(reason, UnsupportedRequestError):  # the caller asked for stock
            raise gone from reason
        raise reason from gone  # why the twin did not do says more
    except Exception as stock_error:
        is_refused = not is_passing(stock_error, outer)
        migrated = _migrated(request, clock, stock_error) if is_refused else None
        if migrated is not None:
            return migrated
        account_bypass(request, clock, reason)
        says_more = isinstance(reason, (MigrationError, RemoteSourceError))
        if says_more and request.stock is None:
            raise reason from stock_error
        if is_refused:
            _advise(request, reason, stock_error)
        raise
    if isinstance(reason, RestoreError) and reason.failure is not None:
        reason.failure.remember(reason.reason)
    return loaded


def _let_go(reason: BaseException, outer: BaseException | None) -> None:
    """Close the files, and free the memory, that the frames of *reason* hold: stock needs its own.

    What the caller is handling, *outer*, is left as it is.
    """
    from traceback import clear_frames

    waiting: list[BaseException | None] = [reason]
    for error in waiting:  # which grows
        if error is not None and error is not outer:
            clear_frames(error.__traceback__)
            waiting += [
                each for each in (error.__cause__, error.__context__) if each not in waiting
            ]


def _advise(request: Request, reason: FastloadError, stock_error: Exception) -> None:
    """Add to stock's error what would help.

    A caller of stock may not know of fastload: a missing class is named to its own callers only.
    """
    from fastload.loading.plan_keras import would_migrate

    if isinstance(reason, MigrationError) or (
        isinstance(reason, UnresolvedObjectError) and request.stock is None
    ):
        _add_note(stock_error, reason.explanation())
        return
    with suppress(BypassError, MissingTensorFlowError):
        if would_migrate(request):
            _add_note(stock_error, _ASK_TO_MIGRATE)


def _migrated(request: Request, clock: PhaseClock, refusal: Exception) -> Loaded | None:
    """Load the Keras 3 model of the Keras 2 file that Keras 3 refuses; None where that is no way.

    Args:
        request: what the caller asked.
        clock: of the call.
        refusal: what Keras raised. It gets a note where the file cannot be migrated.
    """
    from fastload.loading.plan_keras import plan_after_refusal

    try:
        plan = plan_after_refusal(request, refusal)
        return None if plan is None else restore(open_plan(plan, clock), clock)
    except (CacheError, BypassError, MissingTensorFlowError) as error:
        if isinstance(error, MigrationError):
            _add_note(refusal, error.explanation())
        return None


def _add_note(error: Exception, note: str) -> None:
    if hasattr(error, "add_note"):  # Python 3.11 and later
        error.add_note(f"fastload: {note}")


def _warn(request: Request, reason: FastloadError) -> None:
    """Log a fault of the cache as a warning, once; the report has every other reason.

    Where the stock loader fails as well, the file is at fault, and its error says all. A failure
    that is known from an earlier load was told then.
    """
    key = (str(request.filepath), reason.code)
    is_known = isinstance(reason, RestoreError) and reason.is_known
    if isinstance(reason, CacheError) and not is_known and key not in _warned:
        _logger.warning("%s is loaded by the stock loader: %s", request.filepath, reason)
        _warned.add(key)


def account_served(request: Request, clock: PhaseClock, loaded: Loaded) -> None:
    """Account for a load that a twin served."""
    report = LoadReport(
        path=str(request.filepath),
        outcome=loaded.outcome,
        reason=loaded.reason,
        seconds=clock.seconds,
        phases=clock.phases,
        size_bytes=loaded.twin.weights_nbytes,
        twin=loaded.twin.path,
        layer=loaded.entry.cache.layer_of(loaded.twin.path),
        store=loaded.store,
        stock_seconds=stock_seconds(loaded.entry),
    )
    _account(request, report)


def account_bypass(request: Request, clock: PhaseClock, reason: FastloadError) -> None:
    """Account for a load that went to the stock loader because of *reason*."""
    report = LoadReport(
        path=str(request.filepath),
        outcome=Outcome.BYPASS,
        reason=reason.explanation(),
        code=reason.code,
        seconds=clock.seconds,
        phases=clock.phases,
    )
    _account(request, report)


def _account(request: Request, report: LoadReport) -> None:
    record(report)
    _logger.info("%s", report)
    if request.settings.disabled:
        return
    try:
        append(CacheDir.locate(request.settings), report, request.settings.run)
    except CacheError as error:  # no cache folder at all
        _logger.debug("the load is not counted: %s", error)
