"""Where the models are that the twins in a cache were made from."""

from __future__ import annotations

from pathlib import Path

from fastload.cache.addresses import known_at_addresses
from fastload.cache.directory import CacheDir
from fastload.cache.listing import entries
from fastload.cache.memo import known_paths
from fastload.errors import CacheError
from fastload.twin.index import read_index


def known_sources(cache: CacheDir) -> dict[str, tuple[Path, ...]]:
    """Return where the content that each twin was made from was last seen, by the entry's name.

    A model that was saved over has other content now; its first twin is not among those returned.
    Of a model that was seen at an address alone, there is no path.

    Args:
        cache: the folder. The index of each twin in it is read.

    Raises:
        CacheUnwritableError: the folder cannot be listed.
    """
    paths = dict.fromkeys(known_at_addresses(cache), ()) | known_paths(cache)
    found = {}
    for twin in entries(cache):
        try:
            digest = read_index(twin.path).manifest.source_digest
        except (CacheError, OSError):
            continue  # damaged, or removed meanwhile
        if digest in paths:
            found[twin.name] = paths[digest]
    return found
