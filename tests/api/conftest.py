"""What tests of predictors, and of lazy weights, share."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastload
from fastload.lazy_weights import standstill
from fastload.lazy_weights import tf_graph_reads as deliveries
from tests.runtime.lent_variables import end_threads
from tests.signature_modules import save_signed


@pytest.fixture
def dense(tmp_path: Path, cache_root: Path) -> str:
    """A SavedModel whose signature can be made flat."""
    return save_signed("dense", tmp_path / "model")


@pytest.fixture
def tidy(cache_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lazy weights have a cache of their own and little patience, and leave nothing."""
    monkeypatch.setattr(standstill, "PATIENCE_S", 5.0)
    counter = deliveries._Deliveries()
    monkeypatch.setattr(deliveries, "_deliveries", counter)
    yield
    end_threads()
    fastload.set_memory_budget(None)
    gc.collect()
