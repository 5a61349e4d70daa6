"""No load of a test here may use the cache of who runs it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_cache(cache_root: object) -> None:
    """Give each test a cache that is not there yet."""
