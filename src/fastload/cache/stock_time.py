"""How long the stock loader takes for a model, if that was ever measured: a side entry."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Final

from fastload.cache.entry import CacheEntry
from fastload.cache.publish import replacing
from fastload.errors import CacheUnwritableError

_logger: Final = logging.getLogger(__name__)


def stock_seconds(entry: CacheEntry) -> float | None:
    """Return how long a stock load of the model of *entry* took, without imports.

    If it was never measured, this takes one failed `open`, 0.01 ms.

    Args:
        entry: the model's entry.

    Returns:
        Wall time in seconds; None if it was never measured or the file is damaged.
    """
    try:
        seconds = float(json.loads(_path(entry).read_bytes())["seconds"])
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
        with replacing(_path(entry), durable=False) as partial:
            partial.write_text(json.dumps({"seconds": round(seconds, 6)}), encoding="ascii")
    except CacheUnwritableError as error:
        _logger.info("the time of the stock loader is not kept: %s", error)


def _path(entry: CacheEntry) -> Path:
    return entry.side_path("stock")
