"""Load statistics: one JSON line for each load, appended by many processes without a lock.

Beside them, by model, a side entry: how long the stock loader takes, if that was ever measured.

A line is one `write` to a file opened for appending, so that the lines of several processes do not
mix. It begins with the line feed that ends the line before, so that a line that a crash cut short
does not damage the next one.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, field
from pathlib import Path
from typing import Any, Final

from fastload import system
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry, CacheFile
from fastload.cache.publish import cache_faults
from fastload.errors import CacheUnwritableError
from fastload.lean_dataclass import dataclass
from fastload.report import LoadReport, Outcome

#: Some file systems split larger writes.
MAX_LINE_BYTES: Final = 4096
MAX_LOG_BYTES: Final = 8 * 2**20
#: How many full logs are kept besides the current one.
KEPT_LOGS: Final = 3

_LOG_NAME: Final = "loads.jsonl"
#: A character takes at most 6 bytes, so path and reason of this length fit into a line.
_CLIPPED_PATH: Final = 400
_CLIPPED_REASON: Final = 160
_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Sums over loads.

    Attributes:
        hits, misses, bypasses: how many loads had each outcome.
        seconds: wall time of all loads, without imports.
        seconds_saved: how much longer the stock loader would have taken for the loads for which
            that was measured.
        seconds_estimated: for the other hits, how much longer their model's first load took, which
            wrote the twin.
        hits_unknown: hits of models of which neither is known.
        fetched: hits whose twin came from the shared store then.
    """

    hits: int = 0
    misses: int = 0
    bypasses: int = 0
    seconds: float = 0.0
    seconds_saved: float = 0.0
    seconds_estimated: float = 0.0
    hits_unknown: int = 0
    fetched: int = 0

    @property
    def loads(self) -> int:
        """All loads."""
        return self.hits + self.misses + self.bypasses

    def plus(self, other: Tally) -> Tally:
        """Return the sums over the loads of both."""
        sums = {name: value + getattr(other, name) for name, value in asdict(self).items()}
        return Tally(**sums)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """The loads of a cache, added up.

    Attributes:
        total: all loads.
        by_path: loads by absolute path of the model.
        by_reason: number of bypasses by reason.
        since_s: time of the first load, in seconds since the epoch; None if there is none.
        damaged_lines: number of lines that cannot be read; their loads are missing.
    """

    total: Tally = Tally()
    by_path: Mapping[str, Tally] = field(default_factory=dict)
    by_reason: Mapping[str, int] = field(default_factory=dict)
    since_s: float | None = None
    damaged_lines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    time_s: float
    path: str
    outcome: Outcome
    reason: str | None
    seconds: float
    stock_seconds: float | None
    run: str | None
    is_fetched: bool

    @property
    def bypass_reason(self) -> str | None:
        """Why the stock loader was used. A hit may have a reason too: why it was not faster."""
        return self.reason if self.outcome is Outcome.BYPASS else None

    @property
    def seconds_saved(self) -> float:
        """Seconds that this load saved; 0 if the stock loader was used or never timed."""
        if self.stock_seconds is None or self.outcome is Outcome.BYPASS:
            return 0.0
        return self.stock_seconds - self.seconds


def append(cache: CacheDir, report: LoadReport, run: str | None = None) -> None:
    """Add *report* to the statistics. Never fails: a load must not fail because it is not counted.

    Args:
        cache: the folder; it is created if it does not exist.
        report: the report of the load.
        run: the name of the `fastload run` that the load is part of.
    """
    try:
        if _append(cache, _encode(report, run)) > MAX_LOG_BYTES:
            _rotate(cache)
    except (OSError, CacheUnwritableError) as error:
        _logger.debug("a load of %s is not counted: %s", report.path, error)


def read(cache: CacheDir, run: str | None = None) -> Statistics:
    """Add up the recorded loads.

    Args:
        cache: the folder; one that does not exist has none.
        run: the name of a `fastload run`, to add up only the loads of its processes.

    Raises:
        CacheUnwritableError: the statistics exist but cannot be read.
    """
    with cache_faults(cache.root):
        parsed = [_parse(line) for line in _raw_lines(cache)]
    lines = [line for line in parsed if line is not None and run in (None, line.run)]
    by_path: dict[str, list[_Line]] = {}
    for line in lines:
        by_path.setdefault(line.path, []).append(line)
    tallies = {path: _tally(own) for path, own in by_path.items()}
    return Statistics(
        total=functools.reduce(Tally.plus, tallies.values(), Tally()),
        by_path=tallies,
        by_reason=Counter(line.bypass_reason for line in lines if line.bypass_reason is not None),
        since_s=min((line.time_s for line in lines), default=None),
        damaged_lines=parsed.count(None),
    )


def reset(cache: CacheDir) -> None:
    """Forget all loads.

    Raises:
        CacheUnwritableError: the folder is not fastload's, or the statistics cannot be removed.
    """
    if not cache.root.exists():
        return
    cache.require_ours()
    with cache_faults(cache.root):
        for log in _logs(cache):
            log.unlink(missing_ok=True)


def _encode(report: LoadReport, run: str | None = None) -> bytes:
    line = _line(report, _absolute(report.path), report.reason, run)
    if len(line) <= MAX_LINE_BYTES:
        return line
    reason = report.reason and report.reason[:_CLIPPED_REASON]
    return _line(report, _absolute(report.path)[-_CLIPPED_PATH:], reason, run)


def _line(report: LoadReport, path: str, reason: str | None, run: str | None) -> bytes:
    document = {
        "time_s": round(time.time(), 3),
        "path": path,
        "outcome": report.outcome.value,
        "reason": reason,
        "code": report.code,
        "seconds": round(report.seconds, 6),
        "size_bytes": report.size_bytes,
        "stock_seconds": report.stock_seconds,
        **({"run": run} if run else {}),
        **({"store": report.store} if report.store else {}),
    }
    # File names that are not UTF-8 have lone surrogates, whose backslash escapes are valid JSON.
    return b"\n" + json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _absolute(path: str) -> str:
    """Return an absolute path; addresses such as `gs://bucket/model` are returned unchanged."""
    return path if "://" in path else str(Path(path).absolute())


def _append(cache: CacheDir, line: bytes) -> int:
    """Write *line* and return the length of the log."""
    log = cache.stats_dir / _LOG_NAME
    if not log.exists() or not cache.trusted():
        cache.ensure()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = system.open_to_write(log, flags, 0o600)
    try:
        os.write(descriptor, line)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _rotate(cache: CacheDir) -> None:
    """Rename the full log, to a unique name in case two processes do so at once."""
    full = cache.stats_dir / f"loads.{time.time_ns():020}-{os.getpid()}.jsonl"
    (cache.stats_dir / _LOG_NAME).replace(full)
    for log in sorted(cache.stats_dir.glob("loads.*-*.jsonl"))[:-KEPT_LOGS]:
        log.unlink(missing_ok=True)


def _logs(cache: CacheDir) -> list[Path]:
    return sorted(cache.stats_dir.glob("loads*.jsonl"))


def _raw_lines(cache: CacheDir) -> Iterator[bytes]:
    for log in _logs(cache):
        # Another process may rename it meanwhile.
        with suppress(FileNotFoundError):
            yield from filter(None, log.read_bytes().split(b"\n"))


def _parse(line: bytes) -> _Line | None:
    """Return the load on *line*, or None if the line is damaged."""
    try:
        document: dict[str, Any] = json.loads(line)
        reason, stock_seconds = document["reason"], document["stock_seconds"]
        return _Line(
            time_s=float(document["time_s"]),
            path=str(document["path"]),
            outcome=Outcome(document["outcome"]),
            reason=None if reason is None else str(reason),
            seconds=float(document["seconds"]),
            stock_seconds=None if stock_seconds is None else float(stock_seconds),
            run=document.get("run"),
            is_fetched="store" in document,
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _tally(lines: list[_Line]) -> Tally:
    """Add up the loads of one model."""
    outcomes = Counter(line.outcome for line in lines)
    first_s = max((line.seconds for line in lines if line.outcome is Outcome.MISS), default=None)
    untimed = [e for e in lines if e.outcome is Outcome.HIT and e.stock_seconds is None]
    return Tally(
        hits=outcomes[Outcome.HIT],
        misses=outcomes[Outcome.MISS],
        bypasses=outcomes[Outcome.BYPASS],
        seconds=sum(line.seconds for line in lines),
        seconds_saved=sum(line.seconds_saved for line in lines),
        seconds_estimated=sum(max(0.0, first_s - line.seconds) for line in untimed)
        if first_s is not None
        else 0.0,
        hits_unknown=len(untimed) if first_s is None else 0,
        fetched=sum(line.is_fetched for line in lines),
    )


def stock_seconds(entry: CacheEntry) -> float | None:
    """Return how long a stock load of the model of *entry* took, without imports.

    If it was never measured, this takes one failed `open`, 0.01 ms.

    Args:
        entry: the model's entry.

    Returns:
        Wall time in seconds; None if it was never measured or the file is damaged.
    """
    try:
        seconds = float(json.loads(_stock_file(entry).read_bytes())["seconds"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def note_stock_seconds(entry: CacheEntry, seconds: float) -> None:
    """Store how long a stock load took, in place of an earlier time. Never fails.

    Args:
        entry: the model's entry.
        seconds: wall time, with TensorFlow and Keras already imported.
    """
    try:
        _stock_file(entry).keep(json.dumps({"seconds": round(seconds, 6)}).encode("ascii"))
    except CacheUnwritableError as error:
        _logger.info("the time of the stock loader is not kept: %s", error)


def _stock_file(entry: CacheEntry) -> CacheFile:
    return entry.side("stock")
