"""Objects of the store become files of the cache: in parts, side by side; compared, then published.

Parts are asked for ahead and written in order, so that the bytes of a partial file are always a
beginning: a process that goes on with one that another left asks for the rest.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

from fastload import system
from fastload.cache.entry import CacheEntry, CacheFile
from fastload.cache.publish import going_on, is_there
from fastload.errors import CacheError, StoreObjectError, TwinCorruptError, TwinVersionError
from fastload.progress import Bar
from fastload.remote.names import StoredFile
from fastload.remote.store import Store
from fastload.remote.waiting import Call

_logger: Final = logging.getLogger("fastload")
#: Parts of an object, and how many are asked for at once: enough to fill a line in spite of the
#: time to an answer, and little enough for a slow one to bring them in time.
PART_BYTES: Final = 4 * 2**20
AT_ONCE: Final = 4
_CHUNK_BYTES: Final = 2**20
#: What is beside a twin is graphs and notes, a megabyte or a few; the largest file of these, and
#: all of them, that are fetched. Twins are as large as they are.
_MOST_BESIDE_BYTES: Final = 64 * 2**20
MOST_BESIDE_IN_ALL_BYTES: Final = 256 * 2**20

Check = Callable[[Path], None]
Watch = Callable[[int], object]


def offered(store: Store, entry: str) -> tuple[StoredFile, ...]:
    """Return what the store has of *entry* that may be used; nothing unless it has a twin.

    Raises:
        StoreAwayError: it does not say.
        StoreObjectError: it has twins, but none is signed with the key.
    """
    files = store.files(entry)
    twins = [each for each in files if each.is_twin]
    key = store.settings.key
    usable = [each for each in files if key is None or each.is_signed_with(key)]
    if twins and not any(each.is_twin for each in usable):
        raise StoreObjectError(store.shown(twins[0]), "it is not signed with FASTLOAD_REMOTE_KEY")
    return tuple(usable) if twins else ()


def fetch(
    store: Store, files: Sequence[StoredFile], entry: CacheEntry, check: Check, *, shows: bool
) -> None:
    """Put an entry that the store offers into the cache, the twin last. Hold the entry's lock.

    Args:
        store: the store.
        files: as `offered` returned them.
        entry: where they go. What is there already stays.
        check: raises what speaks against a file that is to become the twin.
        shows: whether a bar is shown where it takes long.

    Raises:
        StoreAwayError: it did not bring all in time; a later call goes on with what has come.
        StoreObjectError: there is no twin among them that is what it says.
        CacheUnwritableError: the cache cannot be written, or has no room.
    """
    twins = [each for each in files if each.is_twin]
    _fetch_beside(store, [each for each in files if not each.is_twin], entry)
    for twin in twins:
        bar = Bar("fetching a twin", twin.size_bytes) if shows else None
        try:
            _fetch_twin(store, twin, entry, check, _watch(bar, twin.size_bytes))
            return
        except StoreObjectError as error:
            if twin is twins[-1]:
                raise
            _logger.info("%s", error)


def discard_incoming(entry: CacheEntry) -> None:
    """Remove what was fetched of a twin that is there now; nothing fails where it cannot be."""
    with suppress(OSError):
        for path in entry.cache.root.glob(f"{entry.twin.name}.*.incoming"):
            path.unlink()


def _watch(bar: Bar | None, total: int) -> Watch:
    if bar is None:
        return lambda _: None
    return lambda done: bar.shows(done, goes_on=done < total)


def _fetch_twin(
    store: Store, twin: StoredFile, entry: CacheEntry, check: Check, watch: Watch
) -> None:
    with going_on(entry.path, twin.sha256, needed_bytes=twin.size_bytes) as path:
        try:
            _receive(store, twin, path, watch)
            _require_right(store, twin, path, check)
        except StoreObjectError:
            path.unlink(missing_ok=True)
            raise


def _receive(store: Store, twin: StoredFile, path: Path, watch: Watch) -> None:
    """Have the partial file at *path* hold the whole object.

    Raises:
        StoreObjectError: it is not what its name says.
    """
    had_some = path.stat().st_size > 0
    if _completes(store, twin, path, watch):
        return
    if had_some and _completes(store, twin, path, watch):  # what was there was at fault
        return
    raise StoreObjectError(store.shown(twin), "it does not match its digest")


def _require_right(store: Store, twin: StoredFile, path: Path, check: Check) -> None:
    try:
        check(path)
    except (TwinCorruptError, TwinVersionError) as error:
        raise StoreObjectError(store.shown(twin), error.explanation()) from error


def _completes(store: Store, twin: StoredFile, path: Path, watch: Watch) -> bool:
    """Write the rest of the partial file; one that is not what it should be is emptied."""
    digest, done = _digest_of(path)
    with open(path, "ab", opener=system.opener) as file:
        for part in _parts(store, twin, done):
            digest.update(part)
            file.write(part)
            done += len(part)
            watch(done)
        if (digest.hexdigest(), done) == (twin.sha256, twin.size_bytes):
            return True
        file.truncate(0)
    return False


def _digest_of(path: Path) -> tuple[Any, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return digest, size


def _parts(store: Store, file: StoredFile, begin: int) -> Iterator[bytes]:
    """Yield the parts of an object from the byte *begin* on, in order; some are asked for ahead."""
    starts = iter(range(begin, file.size_bytes, PART_BYTES))
    ahead: deque[Call[bytes]] = deque(_ask(store, file, islice(starts, AT_ONCE)))
    while ahead:
        part = store.answer(ahead.popleft())
        ahead.extend(_ask(store, file, islice(starts, 1)))
        yield part


def _ask(store: Store, file: StoredFile, starts: Iterable[int]) -> Iterator[Call[bytes]]:
    for start in starts:
        yield store.part(file, start, min(start + PART_BYTES, file.size_bytes))


def _fetch_beside(store: Store, files: Iterable[StoredFile], entry: CacheEntry) -> None:
    """Fetch what is kept beside the twin; an object that is not what it says is left out.

    Raises:
        StoreAwayError: not all of it came in time.
    """
    wanted = _wanted(files, entry)
    ahead = deque((each, store.part(each, 0, each.size_bytes)) for each in islice(wanted, AT_ONCE))
    while ahead:
        file, call = ahead.popleft()
        content = store.answer(call)
        ahead.extend((each, store.part(each, 0, each.size_bytes)) for each in islice(wanted, 1))
        if hashlib.sha256(content).hexdigest() == file.sha256:
            _keep(entry, file, content)
        else:
            _logger.info("%s does not match its digest", store.shown(file))


def _wanted(files: Iterable[StoredFile], entry: CacheEntry) -> Iterator[StoredFile]:
    """Yield the files that are not there yet, as long as they are not too large together."""
    room = MOST_BESIDE_IN_ALL_BYTES
    for file in files:
        fits = file.size_bytes <= min(room, _MOST_BESIDE_BYTES)
        if fits and not is_there(entry.cache.root / file.file_name):
            room -= file.size_bytes
            yield file


def _keep(entry: CacheEntry, file: StoredFile, content: bytes) -> None:
    with suppress(CacheError):  # the twin serves without
        CacheFile(cache=entry.cache, name=file.file_name).keep(content)
