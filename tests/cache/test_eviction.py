"""The least recently used twins go, and only those."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.eviction import (
    PruneReport,
    evict,
    evict_after_writing,
    limit_of,
    plan_eviction,
    prune,
)
from fastload.cache.listing import StoredTwin, entries
from fastload.cache.memo import remember
from fastload.errors import CacheUnwritableError
from fastload.settings import UNLIMITED
from fastload.source.detect import Fingerprint

twins = st.builds(
    lambda number, size_bytes, last_used_s: StoredTwin(
        name=f"{number:032x}",
        path=Path(f"{number:032x}.h5"),
        size_bytes=size_bytes,
        created_s=0.0,
        last_used_s=last_used_s,
    ),
    st.integers(0, 2**64),
    st.integers(0, 1000),
    st.integers(0, 20).map(float),
)
stored_twins = st.lists(twins, max_size=12, unique_by=lambda twin: twin.name)


def no_models(_: CacheDir) -> Mapping[str, tuple[Path, ...]]:
    """Nobody knows where the models of the twins are."""
    return {}


def store(cache: CacheDir, number: int, *, size_bytes: int, age_s: float) -> CacheEntry:
    entry = CacheEntry(cache=cache, name=f"{number:032x}")
    entry.path.write_bytes(bytes(size_bytes))
    os.utime(entry.path, (time.time() - age_s,) * 2)
    return entry


@given(stored=stored_twins, limit_bytes=st.integers(0, 5000), data=st.data())
def test_the_rest_fits_unless_only_kept_twins_remain(
    stored: list[StoredTwin], limit_bytes: int, data: st.DataObject
) -> None:
    """The limit holds whenever it can, and kept twins stay whatever the limit."""
    keep = data.draw(st.sets(st.sampled_from([twin.name for twin in stored]))) if stored else set()
    gone = {twin.name for twin in plan_eviction(stored, limit_bytes, keep)}
    rest = [twin for twin in stored if twin.name not in gone]

    assert not gone & keep
    assert sum(twin.size_bytes for twin in rest) <= limit_bytes or {t.name for t in rest} == keep


@given(stored=stored_twins, limit_bytes=st.integers(0, 5000))
def test_the_oldest_go_first_and_no_more_than_needed(
    stored: list[StoredTwin], limit_bytes: int
) -> None:
    """Nothing that stays was used before something that goes, and the last one had to go."""
    gone = plan_eviction(stored, limit_bytes)
    rest = [twin for twin in stored if twin not in gone]
    rest_bytes = sum(twin.size_bytes for twin in rest)

    assert all(old.last_used_s <= new.last_used_s for old in gone for new in rest)
    assert not gone or rest_bytes + gone[-1].size_bytes > limit_bytes


def test_eviction_brings_the_cache_to_its_limit(cache: CacheDir) -> None:
    """The oldest goes, the one in use stays although it is older than the third."""
    oldest = store(cache, 1, size_bytes=100, age_s=3000)
    kept = store(cache, 2, size_bytes=100, age_s=2000)
    newest = store(cache, 3, size_bytes=100, age_s=1000)
    gone = evict(cache, 100, no_models, {kept.name})

    assert [twin.name for twin in gone] == [oldest.name, newest.name]
    assert [twin.name for twin in entries(cache)] == [kept.name]


def test_unlimited_evicts_nothing(cache: CacheDir) -> None:
    store(cache, 1, size_bytes=100, age_s=10**8)

    assert evict(cache, UNLIMITED, no_models) == ()
    assert len(entries(cache)) == 1


def test_the_default_limit_is_a_tenth_of_the_disk(
    cache: CacheDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And 20 GiB on a large one."""
    store(cache, 1, size_bytes=100, age_s=2000)
    store(cache, 2, size_bytes=100, age_s=1000)
    sizes = {"total": 1500}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(**sizes))

    assert len(evict(cache, None, no_models)) == 1
    assert limit_of(cache, None) == 150
    sizes["total"] = 10**15
    assert limit_of(cache, None) == 20 * 2**30
    assert limit_of(cache, 7) == 7


def test_what_no_model_has_any_more_goes_first(cache: CacheDir) -> None:
    superseded = store(cache, 1, size_bytes=100, age_s=10)
    in_use = store(cache, 2, size_bytes=100, age_s=5000)

    gone = evict(cache, 150, lambda _: {in_use.name: (Path("/m"),)})

    assert [twin.name for twin in gone] == [superseded.name]


def test_prune_removes_twins_of_models_that_are_gone(cache: CacheDir, tmp_path: Path) -> None:
    """And those of content that was saved over, unless they were used of late."""
    names = [store(cache, n, size_bytes=10, age_s=age) for n, age in enumerate([5, 5, 5, 90_000])]
    gone, kept, fresh, superseded = (each.name for each in names)
    there = {gone: (tmp_path / "no",), kept: (tmp_path / "no", tmp_path)}

    report = prune(cache, lambda _: there)

    assert {twin.name for twin in report.twins} == {gone, superseded}
    assert {twin.name for twin in entries(cache)} == {kept, fresh}


def test_a_fault_after_a_twin_was_written_is_told(
    cache: CacheDir, caplog: pytest.LogCaptureFixture
) -> None:
    """It fails no load, which has its twin."""
    (cache.root / "CACHEDIR.TAG").unlink()
    with caplog.at_level(logging.WARNING, "fastload"):
        evict_after_writing(cache, 0, no_models, "written")

    assert "older twins could not be removed: [FL101]" in caplog.text


def test_a_folder_of_others_is_never_evicted(cache: CacheDir) -> None:
    """Without the tag nothing is removed, by eviction or by prune."""
    store(cache, 1, size_bytes=100, age_s=0)
    (cache.root / "CACHEDIR.TAG").unlink()

    with pytest.raises(CacheUnwritableError, match=r"no CACHEDIR\.TAG of fastload"):
        evict(cache, 0, no_models)
    with pytest.raises(CacheUnwritableError, match=r"no CACHEDIR\.TAG of fastload"):
        prune(cache, no_models, max_size_bytes=0)
    assert len(entries(cache)) == 1


def test_prune_by_age_and_size_reports_what_it_freed(cache: CacheDir) -> None:
    """First what is too old, then the least recently used of the rest."""
    old = store(cache, 1, size_bytes=100, age_s=5000)
    middle = store(cache, 2, size_bytes=200, age_s=3000)
    new = store(cache, 3, size_bytes=300, age_s=1000)
    report = prune(cache, no_models, max_size_bytes=300, older_than_s=4000)

    assert [twin.name for twin in report.twins] == [old.name, middle.name]
    assert (report.freed_bytes, report.kept_bytes) == (300, 300)
    assert [twin.name for twin in entries(cache)] == [new.name]


def test_a_dry_run_says_the_same_and_removes_nothing(cache: CacheDir) -> None:
    """What is announced is what happens."""
    entry = store(cache, 1, size_bytes=100, age_s=0)
    CacheEntry(cache=cache, name="cd" * 16).side("specs").path.write_text("{}")
    announced = prune(cache, no_models, max_size_bytes=0, dry_run=True)
    still_there = entry.path.exists()

    assert still_there
    assert prune(cache, no_models, max_size_bytes=0) == announced
    assert list(cache.root.glob("*.json")) == []


def test_prune_drops_memos_of_models_that_are_gone(cache: CacheDir, tmp_path: Path) -> None:
    """Nobody will ask for them again."""
    fingerprint = Fingerprint(digest="ab" * 32, files=(), settled=True)
    remember(cache, tmp_path, fingerprint, converter="a")
    remember(cache, tmp_path / "gone", fingerprint, converter="a")
    report = prune(cache, no_models)

    assert len(report.leftovers) == 1
    assert len(list(cache.memo_dir.iterdir())) == 1


def test_pruning_no_folder_does_nothing(tmp_path: Path) -> None:
    """No cache is an empty cache."""
    assert prune(CacheDir(root=tmp_path / "none"), no_models) == PruneReport()
