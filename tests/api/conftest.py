"""What tests of predictors share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.signature_modules import save_signed


@pytest.fixture
def dense(tmp_path: Path, cache_root: Path) -> str:
    """A SavedModel whose signature can be made flat."""
    return save_signed("dense", tmp_path / "model")
