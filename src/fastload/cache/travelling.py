"""What of an entry travels to other machines: its twin, and most of what is beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastload.cache.entry import CacheEntry, CacheFile
from fastload.cache.listing import companion

#: What is of one machine stays there: when a twin was used, how long stock takes.
_STAYS: Final = frozenset({"used", "stock.json"})


def travels(entry: str, name: str) -> bool:
    """Say whether a file called *name* can be one of the entry called *entry* that travels.

    Example:
        >>> travels("ab" * 16, "ab" * 16 + ".specs.json"), travels("ab" * 16, "ab" * 16 + ".used")
        (True, False)
    """
    is_beside = name.startswith(f"{entry}.") and (companion(name) or "used") not in _STAYS
    return name == f"{entry}.h5" or is_beside


def travelling_files(entry: CacheEntry) -> list[Path]:
    """Return the paths of an entry's files, the twin first: each in the cache or, else, a layer."""
    found: dict[str, Path] = {}
    for folder in (entry.cache.root, *entry.cache.layers):
        names = sorted(each.name for each in folder.glob(f"{entry.name}.*"))
        for name in names:
            if name != entry.twin.name and travels(entry.name, name):
                found.setdefault(name, CacheFile(cache=entry.cache, name=name).found)
    return [entry.twin.found, *(found[name] for name in sorted(found))]
