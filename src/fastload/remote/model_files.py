"""The files of a model at an address: listed, told from others to come, copied to this disk.

A model that a loader opens by its name is a few files, and a folder in a bucket may hold anything:
only what a stock loader reads of a folder is looked at.
"""

from __future__ import annotations

import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, Final

from fastload import system
from fastload.errors import RemoteSourceError
from fastload.lean_dataclass import dataclass
from fastload.remote.filesystems import open_filesystem, protocol_of, read_part, words
from fastload.remote.waiting import Call, Result

#: Parts of a file, and how many are asked for at once.
PART_BYTES: Final = 4 * 2**20
AT_ONCE: Final = 4
#: A folder that lists more of a model is none.
_MOST_FILES: Final = 10_000
#: Without one of these, a folder is no model.
_MARKERS: Final = frozenset(
    {"saved_model.pb", "saved_model.pbtxt", "saved_model.cpb", "config.json"}
)
#: What stock loaders read in a folder.
_READ: Final = re.compile(
    r"saved_model\.(pb|pbtxt|cpb)|keras_metadata\.pb|fingerprint\.pb|config\.json|metadata\.json"
    r"|model\.weights\.h5|(variables|assets|debug)/.+",
    re.DOTALL,
)
#: What a store says of an object that no other content of it ever has, by the store's own promise.
#: Servers of HTTP promise too little (times in seconds), and others nothing.
_PROOFS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("s3", "s3a"), "ETag"),
    **dict.fromkeys(("gs", "gcs"), "generation"),
    **dict.fromkeys(("az", "abfs", "abfss"), "etag"),
}
#: What shows that a file was written to, as far as its file system says.
_STATE: Final = (
    *("ETag", "etag", "VersionId", "generation", "md5Hash", "crc32c", "checksum", "sha256"),
    *("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "modified", "created"),
    *("ino", "blob_id"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file of a model at an address.

    Attributes:
        name: in the model; empty for a model that is one file.
        path: as the file system takes it.
        size_bytes: its length.
        state: what its file system says of its content and its times, by name.
    """

    name: str
    path: str
    size_bytes: int
    state: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a model is, by fsspec.

    Attributes:
        url: its address.
        shown: the address without a password.
        timeout_s: how long an answer is waited for.
    """

    url: str
    shown: str
    timeout_s: float

    def files(self) -> tuple[RemoteFile, ...]:
        """Return what a stock loader would read there, as it is now.

        Raises:
            RemoteSourceError: nobody answers in time, or there is no model.
        """
        with self._had():
            filesystem, root = self._opened()
            listed = Call(lambda: _listed(filesystem, root.rstrip("/"))).result(self.timeout_s)
            return tuple(sorted(listed, key=lambda each: each.name))

    def proof(self, files: Sequence[RemoteFile]) -> list[list[Any]] | None:
        """Return what says, as JSON values, that *files* are those of another time, unread.

        None where nothing says that.
        """
        needed = _PROOFS.get(protocol_of(self.url), "")
        if not all(needed in each.state for each in files):
            return None
        return [[each.name, each.size_bytes, *sorted(each.state.items())] for each in files]

    def copy(
        self, files: Sequence[RemoteFile], target: Path, watch: Callable[[int], object]
    ) -> None:
        """Write *files* to *target*: a file, or a folder of them; neither is there yet.

        Raises:
            RemoteSourceError: nobody answers in time, something else comes, the disk is full, or a
                file has a name that leads out of the folder.
        """
        with self._had():
            filesystem, _ = self._opened()
            needed = sum(each.size_bytes for each in files)
            if shutil.disk_usage(target.parent).free < needed:
                raise OSError(f"{str(target.parent)!r} has no room for its {needed:,} bytes")
            done = 0
            for file, part in self._parts(filesystem, files):
                path = target / _safe(file.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with open(path, "ab", opener=system.opener) as copied:
                    copied.write(part)
                done += len(part)
                watch(done)

    def _parts(
        self, filesystem: Any, files: Sequence[RemoteFile]
    ) -> Iterator[tuple[RemoteFile, bytes]]:
        """Yield each file's parts in order; some are asked for ahead."""
        pieces = iter(
            (each, start)
            for each in files
            for start in range(0, max(1, each.size_bytes), PART_BYTES)
        )

        def asked(count: int) -> Iterator[tuple[RemoteFile, Call[bytes]]]:
            for each, start in islice(pieces, count):
                yield each, _part(filesystem, each, start)

        ahead = deque(asked(AT_ONCE))
        while ahead:
            file, call = ahead.popleft()
            part: bytes = self._answer(call)
            ahead.extend(asked(1))
            yield file, part

    def _answer(self, call: Call[Result]) -> Result:
        return call.result(self.timeout_s)

    def _opened(self) -> tuple[Any, str]:
        return open_filesystem(self.url, self.timeout_s)

    @contextmanager
    def _had(self) -> Iterator[None]:
        """Turn whatever a library raises into one error.

        Raises:
            RemoteSourceError: the block raised an error.
        """
        try:
            yield
        except RemoteSourceError:
            raise
        except Exception as error:
            raise RemoteSourceError(self.shown, words(error)) from error


def _part(filesystem: Any, file: RemoteFile, start: int) -> Call[bytes]:
    end = min(start + PART_BYTES, file.size_bytes)
    return Call(lambda: read_part(filesystem, file.path, start, end))


def _safe(name: str) -> PurePath:
    """Return the name of a file in a model as a path that leads nowhere else.

    Raises:
        ValueError: it leads out of the folder, or this system has no such name.
    """
    path = PurePath(name)
    parts = name.split("/") if name else []
    if path.anchor or list(path.parts) != parts or not {"..", "."}.isdisjoint(parts):
        raise ValueError(f"the name {name!r} is none of a file in a folder")
    return path


def _listed(filesystem: Any, root: str) -> list[RemoteFile]:
    filesystem.invalidate_cache()
    found = filesystem.info(root)
    if found["type"] == "file":
        return [_file("", root, found)]
    names = {
        path[len(root) :].lstrip("/"): (path, info)
        for path, info in filesystem.find(root, detail=True).items()
        if path.startswith(f"{root}/") and info["type"] == "file"
    }
    read = [_file(name, *found) for name, found in names.items() if _is_read(name)]
    if _MARKERS.isdisjoint(names):
        raise FileNotFoundError("it is a folder without a model")
    if len(read) > _MOST_FILES:
        raise ValueError(f"it lists {len(read):,} files of a model")
    return read


def _is_read(name: str) -> bool:
    return _READ.fullmatch(name) is not None and not name.endswith("/")


def _file(name: str, path: str, info: Mapping[str, Any]) -> RemoteFile:
    size = info.get("size")
    if type(size) is not int or size < 0:
        raise ValueError(f"it does not say how long {path!r} is")
    state = {key: str(info[key]) for key in _STATE if info.get(key) is not None}
    return RemoteFile(name=name, path=path, size_bytes=size, state=state)
