"""Flat functions in the cache: kept, refused, damaged, stale, removed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.listing import orphans, remove
from fastload.predictor.functions import read_flat
from tests.cache_files import file_at
from tests.signature_modules import X, save_signed

tf = pytest.importorskip("tensorflow")


def plain_of(cache_root: Path) -> list[Path]:
    """Return the files of functions as they were before TensorFlow's optimizers."""
    return [
        path for path in cache_root.glob("*.flat") if not read_flat(file_at(path))[0].is_optimized
    ]


def report() -> Any:
    found = fastload.last_load()
    assert found is not None
    return found


def test_a_refusal_to_be_flat_is_remembered(
    tmp_path: Path, cache_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """From the second load on, nobody tries to make a function flat that has state."""
    path = save_signed("counter", tmp_path / "model")
    fastload.load_predictor(path)
    flats = list(cache_root.glob("*.flat"))
    before = flats[0].stat().st_mtime_ns

    fastload.load_predictor(path)

    assert len(flats) == 1
    assert flats[0].stat().st_mtime_ns == before
    assert "AssignAddVariableOp" in report().reason


def test_a_damaged_flat_function_is_made_again(
    dense: str, cache_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = np.asarray(fastload.load_predictor(dense)(X)["y"])
    for flat in cache_root.glob("*.flat"):
        flat.chmod(0o600)
        flat.write_bytes(flat.read_bytes()[:-100])

    with caplog.at_level(logging.WARNING):
        found = fastload.load_predictor(dense, strict=True)(X)["y"]

    assert np.array_equal(found, expected)
    assert "unusable" in caplog.text
    assert np.array_equal(fastload.load_predictor(dense, strict=True)(X)["y"], expected)


def test_a_cache_that_cannot_be_written_serves_a_flat_function_all_the_same(
    dense: str, cache_root: Path
) -> None:
    """The twin is there; the flat function is made in memory."""
    expected = np.asarray(fastload.load_predictor(dense)(X)["y"])
    for flat in cache_root.glob("*.flat"):
        flat.unlink()
    cache_root.chmod(0o500)
    try:
        found = fastload.load_predictor(dense, strict=True)(X)["y"]
    finally:
        cache_root.chmod(0o700)

    assert np.array_equal(found, expected)


def test_removal_of_a_twin_takes_its_flat_functions(dense: str, cache_root: Path) -> None:
    fastload.load_predictor(dense)
    twin = report().twin
    entry = CacheEntry(cache=CacheDir(root=cache_root), name=twin.stem)

    (flat,) = plain_of(cache_root)
    content = flat.read_bytes()
    remove(entry)
    assert list(cache_root.glob("*.flat")) == []

    flat.write_bytes(content)
    assert flat in orphans(entry.cache)


def test_a_flat_function_of_a_twin_with_other_names_is_made_again(
    dense: str, tmp_path: Path, cache_root: Path
) -> None:
    """A later fastload may name weights otherwise in the twin that it writes."""
    fastload.load_predictor(save_signed("loop", tmp_path / "other"))
    others = set(cache_root.glob("*.flat"))
    content = plain_of(cache_root)[0].read_bytes()
    expected = np.asarray(fastload.load_predictor(dense)(X)["y"])
    for flat in set(cache_root.glob("*.flat")) - others:
        flat.chmod(0o600)
        flat.write_bytes(content)

    found = fastload.load_predictor(dense, strict=True)(X)["y"]

    assert np.array_equal(found, expected)
