"""What is left of a load when it is over: its report, a line in the log, one in the statistics."""

from __future__ import annotations

import logging
from typing import Final

from fastload.cache import stats
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.stock_time import stock_seconds
from fastload.errors import CacheError, FastloadError
from fastload.loading.request import Call
from fastload.report import LoadReport, Outcome, PhaseClock, record
from fastload.twin.reader import Twin

_logger: Final = logging.getLogger("fastload")


def account_served(
    call: Call, clock: PhaseClock, outcome: Outcome, twin: Twin, reason: str | None = None
) -> None:
    """Account for a load that *twin* served; *reason* says why not in the fastest way."""
    _account(
        call,
        LoadReport(
            path=str(call.filepath),
            outcome=outcome,
            reason=reason,
            seconds=clock.seconds,
            phases=clock.phases,
            size_bytes=twin.weights_nbytes,
            twin=twin.path,
            stock_seconds=_stock_seconds(twin, clock),
        ),
    )


def account_bypass(call: Call, clock: PhaseClock, error: FastloadError) -> None:
    """Account for a load that went to the stock loader because of *error*."""
    _account(
        call,
        LoadReport(
            path=str(call.filepath),
            outcome=Outcome.BYPASS,
            reason=error.explanation(),
            code=error.code,
            seconds=clock.seconds,
            phases=clock.phases,
        ),
    )


def _account(call: Call, report: LoadReport) -> None:
    record(report)
    _logger.info("%s", report)
    if call.settings.disabled:
        return
    try:
        stats.append(CacheDir.locate(call.settings), report, call.settings.run)
    except CacheError as error:  # no cache folder at all
        _logger.debug("the load is not counted: %s", error)


def _stock_seconds(twin: Twin, clock: PhaseClock) -> float | None:
    """Say what stock would have taken: the load as it was measured, and this call's imports."""
    entry = CacheEntry(cache=CacheDir(root=twin.path.parent), name=twin.path.stem)
    measured = stock_seconds(entry)
    return None if measured is None else measured + clock.phases.get("import", 0.0)
