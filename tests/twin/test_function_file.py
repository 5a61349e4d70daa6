"""Functions on disk: what was written comes back, or the function is made again."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from fastload.cache import entry
from fastload.errors import CacheUnwritableError
from fastload.twin.function_file import (
    StoredFunction,
    read_function,
    write_function,
    write_refusal,
)
from tests.cache_files import file_at

STORED = StoredFunction(
    definitions=(b"called", b"", b"own"),
    captures=("dense/kernel", 3, np.arange(4, dtype="float32")),
    description={"name": "f"},
)


class RefusedError(Exception):
    """What a codec raises."""


def test_a_function_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "f.flat"
    write_function(file_at(path), STORED)
    found = read_function(file_at(path), RefusedError)

    assert found is not None
    assert found.definitions == STORED.definitions
    assert found.captures[:2] == STORED.captures[:2]
    assert np.array_equal(found.captures[2], STORED.captures[2])
    assert found.description == STORED.description


def test_a_refusal_comes_back_as_an_error(tmp_path: Path) -> None:
    write_refusal(file_at(tmp_path / "f.flat"), "it has state")

    with pytest.raises(RefusedError, match="it has state"):
        read_function(file_at(tmp_path / "f.flat"), RefusedError)


def test_a_damaged_file_is_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "f.flat"
    write_function(file_at(path), STORED)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-100])

    with caplog.at_level(logging.WARNING):
        assert read_function(file_at(path), RefusedError) is None

    assert not path.exists()
    assert "made again" in caplog.text


def test_a_function_that_cannot_be_written_is_not_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *, durable: bool) -> None:
        raise CacheUnwritableError(path.parent, "No space left on device")

    monkeypatch.setattr(entry, "replacing", full)
    with caplog.at_level(logging.INFO):
        write_function(file_at(tmp_path / "f.flat"), STORED)

    assert read_function(file_at(tmp_path / "f.flat"), RefusedError) is None
    assert "not kept" in caplog.text
