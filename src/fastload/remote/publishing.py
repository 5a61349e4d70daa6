"""Files of the cache become objects of the store, where it has none of their kind."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from fastload.cache.entry import CacheEntry
from fastload.cache.publish import cache_faults
from fastload.cache.travelling import travelling_files
from fastload.errors import StoreObjectError, TwinCorruptError
from fastload.remote.names import StoredFile, signature
from fastload.remote.store import Store
from fastload.twin.reader import Twin

_CHUNK_BYTES: Final = 2**20


def publish_entry(store: Store, entry: CacheEntry) -> int:
    """Put an entry where others find it, the twin last; return how many files were put there.

    Nothing that is there is written again: what the store has of a kind stays, in so far as it may
    be used by who has the key.

    Raises:
        StoreAwayError: the store cannot be written, or not in time.
        StoreObjectError: it has an object of the twin's name that is not the twin.
        TwinCorruptError: the twin is damaged, and nothing was put there.
        CacheUnwritableError: a file of the cache cannot be read.
    """
    key = store.settings.key
    known = {
        each.kind: each
        for each in store.files(entry.name)
        if key is None or each.is_signed_with(key)
    }
    with cache_faults(entry.cache.root):
        twin, *beside = travelling_files(entry)
        new = [each for each in (*beside, twin) if _kind(entry, each) not in known]
        if twin in new:
            _require_sound(twin)
        told = [(each, _told(entry, each, key)) for each in new]
        if twin not in new:
            _require_whole(store, known["h5"], twin, entry)
    for path, file in told:
        store.put(path, file)
    return len(told)


def _kind(entry: CacheEntry, path: Path) -> str:
    return path.name[len(entry.name) + 1 :]


def _told(entry: CacheEntry, path: Path, key: bytes | None) -> StoredFile:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    kind, sha256 = _kind(entry, path), digest.hexdigest()
    mac = None if key is None else signature(key, entry.name, kind, sha256)
    return StoredFile(entry=entry.name, kind=kind, sha256=sha256, size_bytes=size, mac=mac)


def _require_sound(path: Path) -> None:
    damaged = Twin.open(path).verify()
    if damaged:
        raise TwinCorruptError(path, f"{damaged[0]} does not match its digest")


def _require_whole(store: Store, stored: StoredFile, path: Path, entry: CacheEntry) -> None:
    """Check that the twin that is there is as long as one of its name; digests are for readers."""
    size = path.stat().st_size
    if stored.size_bytes != size and _told(entry, path, None).sha256 == stored.sha256:
        reason = f"it has {stored.size_bytes} bytes where {size} belong: remove it"
        raise StoreObjectError(store.shown(stored), reason)
