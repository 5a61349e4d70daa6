"""Which folders become layers, and what sealing them takes away; no model is needed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import fastload
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.publish import beside, going_on
from fastload.fleet.sealing import layer_at, seal
from fastload.settings import Settings
from tests.layers.conftest import listing

NAME = "ab" * 16


@pytest.fixture
def cache(cache_root: Path) -> CacheDir:
    """The cache that the settings name."""
    found = CacheDir(root=cache_root)
    found.ensure()
    return found


@pytest.fixture
def elsewhere(tmp_path: Path) -> Settings:
    """Settings that name another cache."""
    return Settings(cache_dir=tmp_path / "elsewhere")


def test_warm_does_not_make_a_layer_of_the_cache(cache: CacheDir) -> None:
    """Its memos, locks and statistics are those of programs that run."""
    (cache.stats_dir / "loads.jsonl").write_text("{}")
    before = listing(cache.root)

    with pytest.raises(ValueError, match=r"it is the cache that loads write to.* another folder"):
        fastload.warm("/no/such/model", into=cache.root)
    assert listing(cache.root) == before


@pytest.mark.parametrize("is_there", [True, False])
def test_the_cache_is_known_by_any_of_its_names(
    is_there: bool, tmp_path: Path, elsewhere: Settings
) -> None:
    """Also before it is there."""
    if is_there:
        CacheDir.locate(elsewhere).ensure()
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)

    with (
        pytest.raises(ValueError, match="it is the cache"),
        layer_at(tmp_path / "link" / "elsewhere", elsewhere),
    ):
        pass


@pytest.mark.parametrize("name", ["memo", "locks", "stats", f"{NAME}.used"])
def test_a_cache_of_other_programs_is_no_layer(
    name: str, tmp_path: Path, elsewhere: Settings
) -> None:
    """Whatever it has of a cache; the message says what to do where none of them runs."""
    other = CacheDir(root=tmp_path / "other")
    with layer_at(other.root, elsewhere) as made:
        made.ensure()
    (other.root / name).mkdir()
    before = listing(other.root)

    with (
        pytest.raises(ValueError, match=f"it has {name}, as a cache.* remove those of"),
        layer_at(other.root, elsewhere),
    ):
        pass
    assert listing(other.root) == before


def test_without_a_cache_any_folder_becomes_a_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user without a home, in an image, has none."""
    monkeypatch.setattr("platformdirs.user_cache_path", _no_home)

    with layer_at(tmp_path / "layer", Settings()) as layer:
        layer.ensure()
    assert [path.name for path in layer.root.iterdir()] == ["CACHEDIR.TAG"]


def _no_home(*_: object, **__: object) -> Path:
    raise RuntimeError


def fail_after(cache: CacheDir, name: str) -> None:
    """Do as a command that is cut off once it has written a twin."""
    cache.ensure()
    (cache.root / name).write_bytes(b"twin")
    raise KeyError


def test_a_command_that_fails_leaves_a_layer(tmp_path: Path, elsewhere: Settings) -> None:
    """One that it began or went on with: the next command finds no cache there."""
    for name in ("first.h5", "second.h5"):
        with pytest.raises(KeyError), layer_at(tmp_path / "layer", elsewhere) as layer:
            fail_after(layer, name)

    assert layer.root.stat().st_mode & 0o777 == 0o755
    assert {path.name: path.stat().st_mode & 0o777 for path in layer.root.iterdir()} == {
        "CACHEDIR.TAG": 0o444,
        "first.h5": 0o444,
        "second.h5": 0o444,
    }


def test_a_command_that_wrote_nothing_changes_nothing(tmp_path: Path, elsewhere: Settings) -> None:
    """Not even the mode of a layer that a group alone may read."""
    with layer_at(tmp_path / "layer", elsewhere) as layer:
        layer.ensure()
    layer.root.chmod(0o750)
    before = listing(layer.root)

    with pytest.raises(KeyError), layer_at(layer.root, elsewhere):
        raise KeyError
    assert listing(layer.root) == before


def test_files_that_somebody_may_be_writing_stay(cache: CacheDir) -> None:
    """This process is one that lives; a host of which nothing is known may have another."""
    entry = CacheEntry(cache=cache, name=NAME)
    left = cache.root / f"{NAME}.h5.00c0ffee-42-0123456789ab.partial"
    left.write_bytes(b"half a twin")
    os.utime(left, times=(time.time() - 90_000,) * 2)
    with beside(entry.path) as partial, going_on(entry.path, "c0ffee", needed_bytes=0) as incoming:
        seal(cache)
        kept = {path: path.stat().st_mode & 0o777 for path in (partial, incoming)}

    assert kept == {partial: 0o600, incoming: 0o600}
    assert not left.exists()
