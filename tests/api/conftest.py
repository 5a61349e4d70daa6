"""What tests of predictors, and of lazy weights, share."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastload
from fastload.lending import patience
from fastload.runtime import deliveries
from tests.runtime.lent_variables import end_threads
from tests.signature_modules import save_signed


@pytest.fixture(scope="session")
def lasting_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that outlives tests."""
    return tmp_path_factory.mktemp("lasting")


@pytest.fixture
def prepared_cache(lasting_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that tests of deferred models share: to prepare a model takes seconds."""
    for name in [name for name in os.environ if name.startswith("FASTLOAD")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", str(lasting_folder / "cache"))
    return lasting_folder / "cache"


@pytest.fixture
def dense(tmp_path: Path, cache_root: Path) -> str:
    """A SavedModel whose signature can be made flat."""
    return save_signed("dense", tmp_path / "model")


@pytest.fixture
def tidy(cache_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lazy weights have a cache of their own and little patience, and leave nothing."""
    monkeypatch.setattr(patience, "PATIENCE_S", 5.0)
    counter = deliveries._Counter()
    monkeypatch.setattr(deliveries, "_counter", lambda: counter)
    yield
    end_threads()
    fastload.set_memory_budget(None)
    gc.collect()
