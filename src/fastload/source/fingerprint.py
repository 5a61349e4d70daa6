"""The identity of a model's content: one digest over every byte that a stock loader would read."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from fastload.errors import UnsupportedSourceError
from fastload.source.detect import (
    FileStat,
    Fingerprint,
    ModelSource,
    SourceKind,
    detect,
    place_of,
)

_SCHEME: Final = b"fastload source 1"
_BLOCK_BYTES: Final = 2**20
#: Below this a thread costs more than it saves.
_BIG_FILE_BYTES: Final = 8 * 2**20
#: A page that was written through a memory map is written again without a trace until the system
#: has written it back, by default after 35 seconds. The ticks of clocks, up to two seconds, are
#: below that.
WRITE_BACK_NS: Final = 60_000_000_000
_ATTEMPTS: Final = 2


def fingerprint(source: ModelSource) -> Fingerprint:
    """Read every file of *source* once and return the identity of its content.

    A copy of a model has the same digest; any edited byte, and any added, removed or renamed file
    changes it. Path, times and suffix are not part of it. Several big files are read two at a time.
    One file in the page cache takes 0.75 s per GB (1,300 MB/s, measured on an x86 core with SHA
    instructions).

    Args:
        source: what `detect` returned.

    Returns:
        The digest, with the stats that the files had when they were read.

    Raises:
        UnsupportedSourceError: a file cannot be read, or files kept changing while they were read.
    """
    for _ in range(_ATTEMPTS):
        started_ns = time.time_ns()
        digest = _digest(source)
        now = detect(source.path)
        if digest is not None and now.files == source.files and now.kind is source.kind:
            settled = all(_is_settled(file, started_ns) for file in source.files)
            return Fingerprint(digest=digest, files=source.files, settled=settled)
        source = now
    raise UnsupportedSourceError(f"'{source.path}' is being written to")


def content_digest(kind: SourceKind, content: bytes) -> str:
    """Return the digest that a file of *kind* with this content has.

    Example:
        >>> content_digest(SourceKind.KERAS_HDF5, b"")[:8]
        'ed88e61f'
    """
    return contents_digest(kind, {"": content})


def contents_digest(kind: SourceKind, files: Mapping[str, bytes]) -> str:
    """Return the digest of a model of *kind* with these files, by name."""
    return _combined(
        kind,
        (
            (
                FileStat(
                    name=name, size=len(files[name]), mtime_ns=0, ctime_ns=0, inode=0, device=0
                ),
                hashlib.sha256(files[name]).digest(),
            )
            for name in sorted(files)
        ),
    )


def _digest(source: ModelSource) -> str | None:
    """Hash kind, names, sizes and contents; every variable part is preceded by its length.

    Returns:
        None if a file changed meanwhile.
    """
    contents = _content_digests(source)
    known = [content for content in contents if content is not None]
    if len(known) < len(contents):
        return None
    return _combined(source.kind, zip(source.files, known, strict=True))


def _combined(kind: SourceKind, contents: Iterable[tuple[FileStat, bytes]]) -> str:
    whole = hashlib.sha256(_SCHEME + kind.value.encode() + b"\0")
    for file, content in contents:
        name = os.fsencode(file.name)
        whole.update(len(name).to_bytes(8, "little") + name)
        whole.update(file.size.to_bytes(8, "little") + content)
    return whole.hexdigest()


def _content_digests(source: ModelSource) -> Sequence[bytes | None]:
    """Hash each file; big ones in two threads, as hashing releases the GIL."""
    paths = [place_of(source.path, file.name) for file in source.files]
    big = [file for file in source.files if file.size >= _BIG_FILE_BYTES]
    try:
        if len(big) <= 1:
            return [_hash_file(path, file) for path, file in zip(paths, source.files, strict=True)]
        # Most models are one big file, and this import takes longer than a small model's digest.
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max_workers=2) as pool:
            return list(pool.map(_hash_file, paths, source.files))
    except OSError as error:
        raise UnsupportedSourceError(f"'{source.path}' cannot be read: {error}") from error


def _hash_file(path: Path, expected: FileStat) -> bytes | None:
    """Hash the file at *path*; None if it is, or becomes, another than *expected*."""
    digest = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK_BYTES))
    with path.open("rb", buffering=0) as file:
        # Of the open file: another one may have been at its path just now.
        before = os.fstat(file.fileno())
        while count := file.readinto(block):
            digest.update(block[:count])
        after = os.fstat(file.fileno())
    is_same = all(FileStat.of(expected.name, each) == expected for each in (before, after))
    return digest.digest() if is_same else None


def _is_settled(file: FileStat, read_ns: int) -> bool:
    """Say whether an edit after *read_ns* must change a time of *file*.

    The change time comes from the file system's own clock: if it is ahead of ours, the clocks
    disagree and it proves nothing. A modification time far ahead is harmless: it was set explicitly
    (as archivers do), and an edit resets it.
    """
    changed_long_ago = read_ns - file.ctime_ns > WRITE_BACK_NS
    modified_at_other_time = abs(read_ns - file.mtime_ns) > WRITE_BACK_NS
    return changed_long_ago and modified_at_other_time
