"""How long the stock loader takes for a model, where that was ever measured: a side entry."""

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
    """Return what a stock load of the model of *entry* took, without imports.

    Costs one failed `open` where it was never measured, 0.01 ms.

    Args:
        entry: the model's entry.

    Returns:
        Wall time in seconds; None if it was never measured or the note is damaged.
    """
    try:
        seconds = float(json.loads(_path(entry).read_bytes())["seconds"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def note_stock_seconds(entry: CacheEntry, seconds: float) -> None:
    """Note what a stock load took; the latest note counts. A cache that is full keeps none.

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
