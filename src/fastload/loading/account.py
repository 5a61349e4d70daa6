"""What is left of a load when it is over: its report, a line in the log, one in the statistics."""

from __future__ import annotations

import logging
from typing import Final

from fastload.cache import stats
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.stats import stock_seconds
from fastload.errors import CacheError, FastloadError
from fastload.loading.request import Request
from fastload.loading.restore import Loaded
from fastload.report import LoadReport, Outcome, PhaseClock, record
from fastload.twin.reader import Twin

_logger: Final = logging.getLogger("fastload")


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
        stock_seconds=_stock_seconds(loaded.twin, clock),
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
        stats.append(CacheDir.locate(request.settings), report, request.settings.run)
    except CacheError as error:  # no cache folder at all
        _logger.debug("the load is not counted: %s", error)


def _stock_seconds(twin: Twin, clock: PhaseClock) -> float | None:
    """Say what stock would have taken: the load as it was measured, and this call's imports."""
    entry = CacheEntry(cache=CacheDir(root=twin.path.parent), name=twin.path.stem)
    measured = stock_seconds(entry)
    return None if measured is None else measured + clock.phases.get("import", 0.0)
