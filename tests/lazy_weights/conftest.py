"""What tests of lending share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lazy_weights.weights import end_readers


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Other tests are about processes with one thread."""
    yield
    end_readers()
