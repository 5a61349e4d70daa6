"""A cache folder becomes a layer: without what is of this machine, and readable by every user."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from fastload.cache.directory import CacheDir
from fastload.cache.entry import MIGRATED, CacheEntry, entry_name
from fastload.cache.listing import companion
from fastload.cache.memo import known_refusals
from fastload.cache.publish import cache_faults, is_incoming, is_partial
from fastload.loading.from_layers import REFUSED
from fastload.twin.format import FORMAT_VERSION, MIGRATED_SECTION

_FOLDER_MODE: Final = 0o755
_FILE_MODE: Final = 0o444


def seal(cache: CacheDir) -> None:
    """Make *cache*, which nobody else is writing to, a layer.

    Memos, locks and statistics are of this machine and go; what memos say of contents that cannot
    be converted is kept by content. Twins and what is beside them may be read by everybody.

    Raises:
        CacheUnwritableError: the folder is not fastload's, or cannot be changed.
    """
    cache.require_ours()
    _keep_refusals(cache)
    with cache_faults(cache.root):
        for folder in (cache.memo_dir, cache.lock_dir, cache.stats_dir):
            shutil.rmtree(folder, ignore_errors=True)
        for path in _files(cache):
            if companion(path.name) == "used" or is_partial(path) or is_incoming(path):
                path.unlink(missing_ok=True)
            else:
                path.chmod(_FILE_MODE)
        cache.root.chmod(_FOLDER_MODE)


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
