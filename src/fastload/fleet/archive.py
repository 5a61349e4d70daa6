"""Twins as one file to carry: a plain tar, whose first member says what the others are.

    fastload.json               name, length and SHA-256 of each file, by entry
    <entry>.h5                  a twin, and what is kept beside it
    <entry>.<kind>.json|flat

An archive is read as if somebody hostile wrote it: nothing is a path, a link or a device, nothing
comes twice, nothing is longer than it says, and nothing takes its place in the cache before all of
its entry was compared with the digests. What twins compute is up to whoever wrote them, as with
models: import what you would load.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from fastload import system
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry
from fastload.cache.publish import cache_faults, is_there, replacing
from fastload.cache.travelling import travelling_files, travels
from fastload.errors import ArchiveError, EntryNotFoundError
from fastload.lean_dataclass import dataclass
from fastload.user_files import written

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

_CONTENTS: Final = "fastload.json"
_VERSION: Final = 1
#: A list of many thousands of files is shorter than this.
_MOST_CONTENTS_BYTES: Final = 64 * 2**20
#: `tarfile` reads what is no file as a whole: long names, times. Other programs write some hundred
#: bytes of those. They may follow on one another, some hundred times.
_MOST_HEADER_BYTES: Final = 64 * 2**10
_PLAIN: Final = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_CHUNK_BYTES: Final = 2**20
_ENTRY: Final = re.compile(r"[0-9a-f]{32}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MALFORMED: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A file of an archive, as the list at its beginning tells it.

    Attributes:
        name: without a folder.
        size_bytes: its length.
        sha256: hex digest of its content.
    """

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """An entry that was in an archive.

    Attributes:
        name: of the entry.
        is_new: whether its twin was not there before; one that is there stays.
        size_bytes: of the twin.
    """

    name: str
    is_new: bool
    size_bytes: int


class _Member(tarfile.TarInfo):
    """A member whose header was looked at before `tarfile` reads what the header announces."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header of 512 bytes.

        Raises:
            tarfile.HeaderError: reading on would take as much memory as the archive's author likes.
        """
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0:
            raise tarfile.HeaderError("a member has a negative length")
        if found.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.HeaderError("a member is not a plain file")
        if found.type not in _PLAIN and found.size > _MOST_HEADER_BYTES:
            raise tarfile.HeaderError(f"a header has {found.size:,} bytes")
        return found


class _Counted(io.BufferedIOBase):
    """All that `tarfile` needs of a file, which may be a pipe: how much was written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._size_bytes = file, 0

    def write(self, data: Buffer) -> int:
        """Write *data* and return its length."""
        size_bytes = self._file.write(data)
        self._size_bytes += size_bytes
        return size_bytes

    def tell(self) -> int:
        """Return how much was written."""
        return self._size_bytes


def write_archive(path: Path, cache: CacheDir, names: Sequence[str]) -> int:
    """Write entries, of the cache or of its layers, to an archive at *path*.

    The same files make the same archive, to the byte.

    Args:
        path: the archive, which is replaced once it is whole; or a pipe, or a device.
        cache: the folder, with its layers.
        names: of the entries.

    Returns:
        The archive's length.

    Raises:
        EntryNotFoundError: a file is not there any more.
        OSError: a file cannot be read, or the archive cannot be written.
    """
    files = {
        name: travelling_files(CacheEntry(cache=cache, name=name)) for name in sorted(set(names))
    }
    packed = {name: [_packed(each) for each in found] for name, found in files.items()}
    with written(path) as file:
        counted = _Counted(file)
        with tarfile.open(fileobj=counted, mode="w", format=tarfile.PAX_FORMAT) as archive:
            _add(archive, _CONTENTS, _contents(packed))
            for found in files.values():
                for each in found:
                    with _reading(each) as content:
                        size_bytes = os.fstat(content.fileno()).st_size
                        archive.addfile(_member(each.name, size_bytes), content)
    return counted.tell()


def read_archive(path: Path, cache: CacheDir) -> tuple[Imported, ...]:
    """Put the entries of the archive at *path* into *cache*, each as a whole or not at all.

    Args:
        path: the archive, or a pipe that it comes through.
        cache: the folder. It is created if it does not exist and the archive begins as one should:
            junk leaves nothing. What is there stays.

    Raises:
        ArchiveError: the archive is not what `write_archive` writes, or not as it says.
        CacheUnwritableError: the folder cannot be written.
        OSError: the archive cannot be read.
    """
    with _malformed(path), path.open("rb") as file, _tar(file) as archive:
        members = iter(archive)
        contents = _read_contents(path, archive, members)
        cache.ensure()
        found = [_entry(path, archive, members, cache, *each) for each in contents.items()]
        if next(members, None) is not None:
            raise ArchiveError(path, "it has more members than it lists")
    return tuple(found)


def _tar(file: IO[bytes]) -> tarfile.TarFile:
    if file.seekable():
        return tarfile.open(fileobj=file, mode="r:", tarinfo=_Member)
    return tarfile.open(fileobj=file, mode="r|", tarinfo=_Member)


def _packed(path: Path) -> Packed:
    digest, size = hashlib.sha256(), 0
    with _reading(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return Packed(name=path.name, size_bytes=size, sha256=digest.hexdigest())


def _reading(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise EntryNotFoundError(
            f"{path.name!r} is no longer in the cache: it was removed meanwhile. Export again"
        ) from None


def _contents(packed: Mapping[str, Iterable[Packed]]) -> bytes:
    entries = {
        name: [[each.name, each.size_bytes, each.sha256] for each in files]
        for name, files in packed.items()
    }
    return json.dumps({"version": _VERSION, "entries": entries}, indent=1).encode()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    archive.addfile(_member(name, len(content)), io.BytesIO(content))


def _member(name: str, size_bytes: int) -> tarfile.TarInfo:
    """Return a member that is the same whenever, wherever and by whomever it is written."""
    found = tarfile.TarInfo(name)
    found.size, found.mode = size_bytes, 0o444
    return found


def _read_contents(
    path: Path, archive: tarfile.TarFile, members: Iterator[tarfile.TarInfo]
) -> dict[str, list[Packed]]:
    """Return the files that the archive lists, by entry."""
    member = next(members, None)
    if member is None or member.name != _CONTENTS:
        raise ArchiveError(path, f"it does not begin with {_CONTENTS}")
    if member.size > _MOST_CONTENTS_BYTES:
        raise ArchiveError(path, "its list of files is too long")
    document = json.loads(_opened(path, archive, member).read())
    if document["version"] != _VERSION:
        raise ArchiveError(path, f"it is of version {document['version']}, and {_VERSION} is read")
    return {
        name: [_listed(path, name, *row) for row in rows]
        for name, rows in document["entries"].items()
    }


def _listed(path: Path, entry: str, name: str, size_bytes: int, sha256: str) -> Packed:
    if not (_ENTRY.fullmatch(entry) and travels(entry, name)):
        raise ArchiveError(path, f"{name!r} is not a file of an entry")
    if not (_DIGEST.fullmatch(sha256) and type(size_bytes) is int and size_bytes >= 0):
        raise ArchiveError(path, f"what it says of {name!r} makes no sense")
    return Packed(name=name, size_bytes=size_bytes, sha256=sha256)


def _entry(  # noqa: PLR0913, PLR0917 - one step of reading, and what it reads
    path: Path,
    archive: tarfile.TarFile,
    members: Iterator[tarfile.TarInfo],
    cache: CacheDir,
    name: str,
    files: Sequence[Packed],
) -> Imported:
    """Read one entry. Its files take their places when all are as they should be, the twin last."""
    names = [each.name for each in files]
    if names[:1] != [f"{name}.h5"] or len(set(names)) < len(names):
        raise ArchiveError(path, f"the entry {name!r} does not begin with its twin, or repeats it")
    with ExitStack() as published:  # which ends in reverse order
        is_new = [
            _file(path, archive, next(members, None), cache, each, published) for each in files
        ]
    return Imported(name=name, is_new=is_new[0], size_bytes=files[0].size_bytes)


def _file(  # noqa: PLR0913, PLR0917 - the same
    path: Path,
    archive: tarfile.TarFile,
    member: tarfile.TarInfo | None,
    cache: CacheDir,
    packed: Packed,
    published: ExitStack,
) -> bool:
    """Read one file to beside its place, and say whether it was not there."""
    if member is None or (member.name, member.size) != (packed.name, packed.size_bytes):
        raise ArchiveError(
            path,
            f"{packed.name!r} is missing, out of order, or not as long as the archive's list says",
        )
    content = _opened(path, archive, member)
    place = cache.root / packed.name
    if is_there(place):
        return False
    partial = published.enter_context(replacing(place, needed_bytes=packed.size_bytes))
    digest = hashlib.sha256()
    with cache_faults(cache.root), open(partial, "wb", opener=system.opener) as file:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != packed.sha256:
        raise ArchiveError(path, f"{packed.name!r} does not match its digest")
    return True


def _opened(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    """Return the content of a plain file in the archive; nothing else is let in."""
    content = archive.extractfile(member) if member.isreg() and not member.issparse() else None
    if content is None:
        raise ArchiveError(path, f"{member.name!r} is not a plain file")
    return content


@contextmanager
def _malformed(path: Path) -> Iterator[None]:
    """Turn what a tar that makes no sense raises into one error.

    Raises:
        ArchiveError: the block raised an error of that kind.
    """
    try:
        yield
    except (tarfile.TarError, EOFError, *_MALFORMED) as error:
        raise ArchiveError(path, f"{type(error).__name__}: {error}") from error
