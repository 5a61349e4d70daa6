"""Names, places and listing of entries."""

from __future__ import annotations

import mmap
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry, entry_name, mark_used
from fastload.cache.listing import StoredTwin, entries, orphans, remove
from fastload.cache.publish import going_on
from fastload.errors import CacheUnwritableError

identities = st.tuples(
    st.text("0123456789abcdef"), st.sampled_from(["keras2", "keras3"]), st.integers(1, 99)
)


@given(identities, identities)
def test_names_differ_when_digest_generation_or_format_differ(
    one: tuple[str, str, int], other: tuple[str, str, int]
) -> None:
    """Two entries share a name only if they are the same."""
    assert (entry_name(*one) == entry_name(*other)) == (one == other)


@pytest.mark.parametrize("name", ["", "../" * 10 + "ab", "AB" * 16, "ab" * 16 + ".h5", "ab*" * 10])
def test_no_name_leads_out_of_the_folder(cache: CacheDir, name: str) -> None:
    """Only 32 hex digits name an entry."""
    with pytest.raises(ValueError, match="not the name of a cache entry"):
        CacheEntry(cache=cache, name=name)


def test_all_files_of_an_entry_are_in_the_cache_folder(entry: CacheEntry) -> None:
    """The layout is the one that the directory module draws."""
    root = entry.cache.root

    assert entry.path == root / f"{entry.name}.h5"
    assert entry.side("specs").path == root / f"{entry.name}.specs.json"
    assert entry.lock_path == root / "locks" / f"{entry.name}.lock"


def test_a_twin_is_listed_with_size_and_times(entry: CacheEntry) -> None:
    """A twin that was never used since counts as used when it was made."""
    entry.path.write_bytes(b"twin")
    os.utime(entry.path, (50, 100))

    assert entries(entry.cache) == (
        StoredTwin(name=entry.name, path=entry.path, size_bytes=4, created_s=100, last_used_s=100),
    )


def test_only_twins_are_listed(entry: CacheEntry) -> None:
    """Partials, side entries, folders, links and strangers are no twins."""
    root = entry.cache.root
    entry.side("specs").path.write_text("{}")
    (root / f"{entry.name}.h5.00000001-1-0123456789ab.partial").write_bytes(b"")
    (root / "model.h5").write_bytes(b"")
    (root / f"{'cd' * 16}.h5").mkdir()
    (root / f"{'ef' * 16}.h5").symlink_to(root / "model.h5")

    assert entries(entry.cache) == ()


def test_a_missing_folder_lists_nothing(cache: CacheDir) -> None:
    """No cache is an empty cache."""
    assert entries(CacheDir(root=cache.root / "none")) == ()


def test_use_is_noted_without_touching_the_twin(entry: CacheEntry) -> None:
    """The twin keeps its time; the listing shows the use."""
    entry.path.write_bytes(b"twin")
    os.utime(entry.path, (100, 100))
    mark_used(entry)
    (stored,) = entries(entry.cache)

    assert stored.created_s == 100
    assert stored.last_used_s == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(("age_s", "renewed"), [(60, False), (3700, True), (-3700, True)])
def test_use_is_noted_once_an_hour(entry: CacheEntry, age_s: float, renewed: bool) -> None:
    """A note of this hour stays; an old one, or one from the future, is renewed."""
    noted_s = round(time.time() - age_s)
    entry.used_path.write_bytes(b"")
    os.utime(entry.used_path, (noted_s, noted_s))
    mark_used(entry)

    assert (entry.used_path.stat().st_mtime != noted_s) == renewed


def test_a_use_that_cannot_be_noted_is_no_error(cache: CacheDir) -> None:
    """A cache that is gone, or cannot be written, still serves."""
    mark_used(CacheEntry(cache=CacheDir(root=cache.root / "none"), name="ab" * 16))

    assert not (cache.root / "none").exists()


def test_removing_takes_everything_but_locks_and_partials(entry: CacheEntry) -> None:
    """A writer that is at work keeps its partial, and a waiter its lock."""
    partial = entry.cache.root / f"{entry.name}.h5.00000001-1-0123456789ab.partial"
    for path in (entry.path, entry.side("specs").path, entry.lock_path, partial):
        path.write_bytes(b"")
    mark_used(entry)

    assert remove(entry)
    assert not remove(entry)
    assert partial.exists()
    assert entry.lock_path.exists()
    assert list(entry.cache.root.glob("*.h5")) + list(entry.cache.root.glob("*.json")) == []
    assert not entry.used_path.exists()


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot remove a mapped file")
def test_a_mapped_twin_stays_readable_after_removal(entry: CacheEntry) -> None:
    """Programs keep the weights that they have."""
    entry.path.write_bytes(b"weights")
    with (
        entry.path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        remove(entry)
        content = mapped[:]

    assert content == b"weights"


def test_nothing_is_removed_from_a_folder_of_others(entry: CacheEntry) -> None:
    """Without the tag the folder is somebody else's."""
    entry.path.write_bytes(b"twin")
    (entry.cache.root / "CACHEDIR.TAG").unlink()

    with pytest.raises(CacheUnwritableError, match=r"no CACHEDIR\.TAG"):
        remove(entry)
    assert entry.path.exists()


def test_companions_without_a_twin_are_orphans(entry: CacheEntry) -> None:
    """Side entries and notes of use belong to a twin."""
    side = entry.side("specs").path
    side.write_text("{}")
    mark_used(entry)
    alone = orphans(entry.cache)
    entry.path.write_bytes(b"twin")

    assert set(alone) == {side, entry.used_path}
    assert orphans(entry.cache) == ()


def test_companions_of_a_twin_that_is_fetched_are_no_orphans(entry: CacheEntry) -> None:
    """They come before it."""
    entry.side("specs").path.write_text("{}")
    with going_on(entry.path, "c0ffee", needed_bytes=1):
        assert orphans(entry.cache) == ()
