"""What is wrong with the store is told once in a process; a store that is away is left in peace."""

from __future__ import annotations

import logging
import time
from typing import Final

from fastload.errors import CacheError, StoreAwayError
from fastload.settings import SharedStore

#: How long a store that did not answer is not asked again, so that a process with many models does
#: not wait for each.
PAUSE_S: Final = 60.0

_logger: Final = logging.getLogger("fastload")
_away_until_s: Final[dict[str, float]] = {}
_told: Final[set[str]] = set()


def is_away(settings: SharedStore) -> bool:
    """Say whether the store did not answer a short while ago."""
    return time.monotonic() < _away_until_s.get(settings.url, 0.0)


def note(settings: SharedStore, error: CacheError) -> None:
    """Tell what is wrong, as a warning the first time in a process; note that a store is away."""
    if isinstance(error, StoreAwayError):
        _away_until_s[settings.url] = time.monotonic() + PAUSE_S
    level = logging.INFO if settings.url in _told else logging.WARNING
    _told.add(settings.url)
    _logger.log(level, "%s", error)
