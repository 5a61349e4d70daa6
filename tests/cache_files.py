"""The files of a cache, for tests that know them by path."""

from __future__ import annotations

from pathlib import Path

from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheFile


def file_at(path: Path) -> CacheFile:
    """Return the file at *path* in a cache without layers."""
    return CacheFile(cache=CacheDir(root=path.parent), name=path.name)
