"""The shared store: what it lists of an entry, parts of its objects, and new objects.

Whatever a store does comes out as one error, `StoreAwayError`, within a bounded time; what its
objects hold is not looked at here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from fastload.errors import StoreAwayError
from fastload.lean_dataclass import dataclass
from fastload.remote.filesystems import open_filesystem, protocol_of, read_part, words
from fastload.remote.names import StoredFile, parse
from fastload.remote.waiting import Call, Result
from fastload.settings import SharedStore

#: What an object takes its place in as a whole; elsewhere it is written beside, then renamed.
_WHOLE: Final = frozenset(
    {"abfs", "abfss", "adl", "az", "gcs", "gs", "memory", "oci", "oss", "s3", "s3a"}
)
#: Of one entry; a store that lists more is not one.
_MOST_FILES: Final = 1000
#: A store that takes less than this is as good as away.
_SLOWEST_BYTES_PER_S: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A store that was reached, or is thought to be.

    Attributes:
        settings: what the environment says of it.
        filesystem: of fsspec.
        root: the prefix, as the file system takes it.
        is_whole: whether an object takes its place as a whole.
    """

    settings: SharedStore
    filesystem: Any
    root: str
    is_whole: bool

    def shown(self, file: StoredFile) -> str:
        """Return the address of an object, without a password."""
        return f"{self.settings.shown}/{file.object_name}"

    def files(self, entry: str) -> tuple[StoredFile, ...]:
        """Return what the store has of *entry*, whoever wrote it; nothing where it has none.

        Raises:
            StoreAwayError: it does not say.
        """
        listed = self.answer(Call(lambda: self._listed(entry)))
        found = (parse(entry, name, size) for name, size in listed)
        return tuple(sorted(filter(None, found), key=lambda each: each.object_name))

    def part(self, file: StoredFile, start: int, end: int) -> Call[bytes]:
        """Begin to read the bytes of an object from *start* to *end*; `answer` has them."""
        path = f"{self.root}/{file.object_name}"
        return Call(lambda: read_part(self.filesystem, path, start, end))

    def answer(self, call: Call[Result], *, more_s: float = 0.0) -> Result:
        """Return the result of a call of the store's.

        Args:
            call: which was begun.
            more_s: seconds that it may take besides those for an answer.

        Raises:
            StoreAwayError: there is none in time, or an error.
        """
        with _away(self.settings):
            return call.result(self.settings.timeout_s + more_s)

    def put(self, path: Path, file: StoredFile) -> None:
        """Write the file at *path* to the store, where there is no such object yet.

        Raises:
            StoreAwayError: it was not written, or not in time.
        """
        more_s = file.size_bytes / _SLOWEST_BYTES_PER_S
        self.answer(Call(lambda: self._put(path, file)), more_s=more_s)

    def _listed(self, entry: str) -> list[tuple[str, object]]:
        self.filesystem.invalidate_cache()
        try:
            found = self.filesystem.ls(f"{self.root}/{entry}", detail=True)
        except FileNotFoundError:
            return []
        if len(found) > _MOST_FILES:
            raise ValueError(f"it lists {len(found)} objects of {entry}")
        files = (each for each in found if each["type"] == "file")
        return [(each["name"].rpartition("/")[2], each["size"]) for each in files]

    def _put(self, path: Path, file: StoredFile) -> None:
        target = f"{self.root}/{file.object_name}"
        if self.is_whole:
            self.filesystem.put_file(os.fspath(path), target)
            return
        beside = f"{self.root}/{file.entry}/.{os.urandom(8).hex()}.partial"
        self.filesystem.makedirs(f"{self.root}/{file.entry}", exist_ok=True)
        try:
            self.filesystem.put_file(os.fspath(path), beside)
            self.filesystem.mv(beside, target)
        except BaseException:
            with suppress(Exception):
                self.filesystem.rm_file(beside)
            raise


def open_store(settings: SharedStore) -> Store:
    """Return the store that *settings* name. It may be away; that shows when it is asked.

    Raises:
        StoreAwayError: nothing here knows such an address, or fsspec is not installed.
    """
    with _away(settings):
        filesystem, root = open_filesystem(settings.url, settings.timeout_s)
        return Store(
            settings=settings,
            filesystem=filesystem,
            root=root.rstrip("/"),
            is_whole=protocol_of(settings.url) in _WHOLE,
        )


@contextmanager
def _away(settings: SharedStore) -> Iterator[None]:
    """Turn whatever a library raises into one error.

    Raises:
        StoreAwayError: the block raised an error.
    """
    try:
        yield
    except Exception as error:
        raise StoreAwayError(settings.shown, words(error)) from error
