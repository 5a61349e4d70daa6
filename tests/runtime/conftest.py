"""What tests of the runtime share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.mapped_files import MappedFile, map_file


@pytest.fixture
def mapped(tmp_path: Path) -> MappedFile:
    """A file of three matrices, mapped."""
    return map_file(tmp_path / "weights")
