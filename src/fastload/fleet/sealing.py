"""A cache folder becomes a layer: without what is of this machine, and readable by every user."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from fastload.cache.directory import CacheDir
from fastload.cache.entry import MIGRATED, CacheEntry, entry_name
from fastload.cache.listing import companion
from fastload.cache.memo import known_refusals
from fastload.cache.publish import cache_faults, is_incoming, is_partial, is_stale_partial
from fastload.errors import CacheUnwritableError
from fastload.loading.from_layers import REFUSED
from fastload.settings import Settings
from fastload.twin.format import FORMAT_VERSION, MIGRATED_SECTION

_FOLDER_MODE: Final = 0o755
_FILE_MODE: Final = 0o444


@contextmanager
def layer_at(folder: Path, settings: Settings) -> Iterator[CacheDir]:
    """Yield the cache that *folder* is in the block; it is a layer afterwards, however that ends.

    So several commands may add to one layer in turn. A cache that loads write to is not let in:
    what sealing takes away would be the state of running programs. Where the block wrote nothing,
    the folder stays as it was.

    Args:
        folder: a layer, an empty folder, or none yet.
        settings: those that name the cache of this process.

    Yields:
        The folder as a cache, which is not created.

    Raises:
        CacheUnwritableError: the folder cannot be listed or changed.
        ValueError: the folder is a cache that programs write to.
    """
    cache = CacheDir(root=folder.absolute())
    _require_no_live_cache(cache, settings)
    try:
        yield cache
    finally:
        if _of_this_machine(cache):  # else nothing was written
            seal(cache)


def _require_no_live_cache(cache: CacheDir, settings: Settings) -> None:
    """Check that nothing is lost when *cache* is sealed.

    Raises:
        CacheUnwritableError: the folder cannot be listed.
        ValueError: something would be.
    """
    refused = f"nothing is written to {str(cache.root)!r}"
    if _is_cache_of(settings, cache.root):
        raise ValueError(
            f"{refused}: it is the cache that loads write to, and a layer is only read. "
            "Name another folder; without one, the cache itself gets the twins."
        )
    if found := _of_this_machine(cache):
        raise ValueError(
            f"{refused}: it has {', '.join(found[:3])}, as a cache has that programs write to, and "
            "a layer is only read. Name another folder. If no program uses this one (a command "
            "that was killed leaves the same), remove those of locks, memo, stats and *.used there."
        )


def _is_cache_of(settings: Settings, folder: Path) -> bool:
    """Say whether *settings* name *folder*, which need not exist, as the cache."""
    with suppress(CacheUnwritableError):  # there is none: no home
        own = CacheDir.locate(replace(settings, cache_path=())).root
        with suppress(OSError):
            return own.samefile(folder)
        return os.path.realpath(own) == os.path.realpath(folder)
    return False


def _of_this_machine(cache: CacheDir) -> list[str]:
    """Return the names of what *cache* has and no layer: its folders, and notes of use."""
    if not cache.is_ours():
        return []
    folders = {folder.name for folder in (cache.memo_dir, cache.lock_dir, cache.stats_dir)}
    with cache_faults(cache.root):
        names = sorted(path.name for path in cache.root.iterdir())
    return [name for name in names if name in folders or companion(name) == "used"]


def seal(cache: CacheDir) -> None:
    """Make *cache*, which nobody else is writing to, a layer.

    Memos, locks and statistics are of this machine and go; what memos say of contents that cannot
    be converted is kept by content. Twins and what is beside them may be read by everybody. Should
    somebody write all the same, partial files whose writer may live are left to it.

    Raises:
        CacheUnwritableError: the folder is not fastload's, or cannot be changed.
    """
    cache.require_ours()
    _keep_refusals(cache)
    with cache_faults(cache.root):
        for folder in (cache.memo_dir, cache.lock_dir, cache.stats_dir):
            shutil.rmtree(folder, ignore_errors=True)
        for path in _files(cache):
            _seal_file(path)
        cache.root.chmod(_FOLDER_MODE)


def _seal_file(path: Path) -> None:
    if companion(path.name) == "used" or is_stale_partial(path, now_s=time.time()):
        path.unlink(missing_ok=True)
    elif not (is_partial(path) or is_incoming(path)):
        path.chmod(_FILE_MODE)


def _files(cache: CacheDir) -> Iterator[Path]:
    yield from (path for path in sorted(cache.root.iterdir()) if path.is_file())


def _keep_refusals(cache: CacheDir) -> None:
    """Keep beside where a twin would be why there is none, by what would have converted it."""
    for digest, converter, code, reason in known_refusals(cache):
        _, _, what = converter.partition("/")
        generation, _, section = what.partition("/")
        kind = MIGRATED if section == MIGRATED_SECTION else generation
        entry = CacheEntry(cache=cache, name=entry_name(digest, kind, FORMAT_VERSION))
        file = entry.side(REFUSED)
        known = {}
        with suppress(OSError, ValueError):
            known = dict(json.loads(file.read_bytes()))
        file.keep(json.dumps(known | {converter: [code, reason]}, sort_keys=True).encode())
