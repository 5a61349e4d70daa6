"""What the cache does on Windows and macOS, which no test runs on: the system is played.

Windows neither removes nor replaces a file that is mapped or read-only, tells no owners, and has no
`fork`, `uname` or `statvfs`. What is mapped is known from `/proc`, so these tests need Linux.
"""

from __future__ import annotations

import errno
import gc
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import fastload
from fastload import system
from fastload.cache.directory import CacheDir
from fastload.cache.eviction import evict
from fastload.cache.read_only_layers import distrust
from fastload.declarations import declarations, declare
from fastload.report import Outcome
from tests.conftest import SavedOnce
from tests.small_models import KERAS3_ARCHIVE, copy_model

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is mapped")
#: What Python does not have there, as far as fastload has a use for it.
NOT_ON_WINDOWS = (
    *("fork", "geteuid", "getuid", "posix_fadvise", "preadv", "register_at_fork"),
    *("sched_getaffinity", "statvfs", "uname"),
)
MAPS = Path("/proc/self/maps")


def is_mapped(path: Path) -> bool:
    return any(line.endswith(f" {path}") for line in MAPS.read_text().splitlines())


def require_free(path: Any) -> None:
    """Do as Windows does before it removes or replaces a file."""
    found = Path(path)
    if found.is_file() and (is_mapped(found) or not found.stat().st_mode & 0o200):
        raise PermissionError(errno.EACCES, "The process cannot access the file", str(path))


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Play Windows, as far as files and processes go."""
    usage, unlink, replace = shutil.disk_usage("/"), os.unlink, os.replace

    def unlink_free(path: Any, **options: Any) -> None:
        require_free(path)
        unlink(path, **options)

    def replace_free(source: Any, target: Any, **options: Any) -> None:
        require_free(source)
        require_free(target)
        replace(source, target, **options)

    monkeypatch.setattr(system, "IS_WINDOWS", True)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(os, "unlink", unlink_free)
    monkeypatch.setattr(os, "replace", replace_free)
    for name in NOT_ON_WINDOWS:
        monkeypatch.delattr(os, name)


@pytest.fixture
def path(saved_once: SavedOnce, tmp_path: Path) -> Path:
    pytest.importorskip("tensorflow")
    return copy_model(saved_once(KERAS3_ARCHIVE), tmp_path / "m.keras")


@pytest.fixture
def twin(cache_root: Path) -> Any:
    """Return the path of the only twin."""

    def find() -> Path:
        (found,) = cache_root.glob("*.h5")
        return found

    return find


def loaded(path: Path) -> tuple[Any, Outcome]:
    model = fastload.load_model(path, keras="keras")
    last = fastload.last_load()
    assert last is not None
    return model, last.outcome


@pytest.mark.usefixtures("windows")
def test_a_twin_serves_and_is_kept_while_it_is_mapped(path: Path, twin: Any) -> None:
    """Removal fails and says so; nothing is lost, and later it works."""
    assert loaded(path)[1] is Outcome.MISS
    model, outcome = loaded(path)
    assert outcome is Outcome.HIT
    assert is_mapped(twin())
    cache = CacheDir(root=twin().parent)

    assert evict(cache, 0, lambda _: {}) == ()
    assert loaded(path)[1] is Outcome.HIT
    del model
    gc.collect()
    assert len(evict(cache, 0, lambda _: {})) == 1
    assert list(cache.root.glob("*.h5")) == []


@pytest.mark.usefixtures("windows")
def test_a_damaged_twin_that_cannot_be_replaced_goes_to_stock(path: Path, twin: Any) -> None:
    """Somebody still has it mapped; the load succeeds nevertheless."""
    fastload.warm(path, keras="keras")
    model, _ = loaded(path)
    with twin().open("r+b") as file:
        file.truncate(twin().stat().st_size - 1)

    again, outcome = loaded(path)
    assert outcome is Outcome.BYPASS
    assert twin().exists()
    del model, again


@pytest.mark.usefixtures("windows")
def test_owners_and_modes_say_nothing_there(tmp_path: Path, monkeypatch: Any) -> None:
    """Access lists do, which are not read."""
    tmp_path.chmod(0o777)

    assert CacheDir(root=tmp_path).trusted()
    assert distrust(tmp_path) is None
    monkeypatch.setenv("FASTLOAD_CONFIG_DIR", str(tmp_path))
    declare({"MyLayer": "package.module:MyLayer"}).chmod(0o666)
    assert "MyLayer" in declarations()
    assert system.host() is None
    assert system.is_alive(2**40)


def test_owners_and_modes_count_elsewhere(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    assert not CacheDir(root=tmp_path).trusted()
    assert distrust(tmp_path) is not None
    assert not system.is_alive(2**40)


def test_a_cache_does_without_what_linux_tells(
    path: Path, twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS, which has neither `/proc` nor `/sys`."""
    is_there = os.stat

    def stat(found: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if str(found).startswith(("/proc", "/sys")):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(found))
        return is_there(found, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)
    for name in ("posix_fadvise", "sched_getaffinity"):
        monkeypatch.delattr(os, name)

    assert [loaded(path)[1] for _ in range(2)] == [Outcome.MISS, Outcome.HIT]
    twin().unlink()
    assert loaded(path)[1] is Outcome.MISS
