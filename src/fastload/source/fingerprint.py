"""The identity of a model's content: one digest over every byte that a stock loader would read."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from fastload import system
from fastload.errors import UnsupportedSourceError
from fastload.source.detect import (
    FileStat,
    Fingerprint,
    ModelSource,
    SourceKind,
    detect,
    place_of,
)

_SCHEME: Final = b"fastload source 2"
_BLOCK_BYTES: Final = 2**20
#: Each piece of a file has a digest of its own, so that threads share the work of a large file.
_PIECE_BYTES: Final = 8 * 2**20
#: Below this threads cost more than they save.
_MUCH_BYTES: Final = 16 * 2**20
#: More wait for the memory, or for the disk.
_MOST_THREADS: Final = 8
#: A page that was written through a memory map is written again without a trace until the system
#: has written it back, by default after 35 seconds. The ticks of clocks, up to two seconds, are
#: below that.
WRITE_BACK_NS: Final = 60_000_000_000
_ATTEMPTS: Final = 2
#: A path, the file that it should be, and where in it the piece begins.
_Piece: TypeAlias = "tuple[Path, FileStat, int]"


def fingerprint(source: ModelSource) -> Fingerprint:
    """Read every file of *source* once and return the identity of its content.

    A copy of a model has the same digest; any edited byte, and any added, removed or renamed file
    changes it. Path, times and suffix are not part of it. Large files are read in pieces, by as
    many threads as there are processors, up to eight. In the page cache a processor takes 0.5 to
    0.75 s per GB (x86 with SHA instructions).

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
        'afc83aec'
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
                _content_digest(memoryview(files[name])),
            )
            for name in sorted(files)
        ),
    )


def _content_digest(content: memoryview) -> bytes:
    pieces = [content[offset : offset + _PIECE_BYTES] for offset in _offsets(len(content))]
    return hashlib.sha256(b"".join(hashlib.sha256(piece).digest() for piece in pieces)).digest()


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
    """Hash each file, in pieces, with a thread for each processor: hashing releases the GIL."""
    pieces = [
        (place_of(source.path, file.name), file, offset)
        for file in source.files
        for offset in _offsets(file.size)
    ]
    try:
        digests = iter(_hash_pieces(pieces))
    except OSError as error:
        raise UnsupportedSourceError(f"'{source.path}' cannot be read: {error}") from error
    return [_joined([next(digests) for _ in _offsets(file.size)]) for file in source.files]


def _offsets(size: int) -> range:
    """Return where the pieces of a file begin; an empty file is one piece."""
    return range(0, size or 1, _PIECE_BYTES)


def _joined(pieces: Sequence[bytes | None]) -> bytes | None:
    """Return the digest of a file; None if one of its pieces has none."""
    known = [piece for piece in pieces if piece is not None]
    return hashlib.sha256(b"".join(known)).digest() if len(known) == len(pieces) else None


def _hash_pieces(pieces: Sequence[_Piece]) -> Sequence[bytes | None]:
    much = sum(file.size for _, file, offset in pieces if not offset) >= _MUCH_BYTES
    if much and not _is_linking():
        # While the interpreter ends, or where the system has no more threads: in this one.
        with suppress(RuntimeError):
            # Imported here: it takes longer than a small model's digest.
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(min(system.processors(), _MOST_THREADS)) as pool:
                return list(pool.map(_hash_piece, *zip(*pieces, strict=True)))
    return [_hash_piece(*piece) for piece in pieces]


def _is_linking() -> bool:
    """Say whether a thread links TensorFlow: no other thread begins before it has done that."""
    linking = sys.modules.get("fastload.imports.linking")
    return linking is not None and bool(linking.is_running())


def _hash_piece(path: Path, expected: FileStat, offset: int) -> bytes | None:
    """Hash what begins at *offset*; None if the file is, or becomes, another than *expected*."""
    digest = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK_BYTES))
    with path.open("rb", buffering=0) as file:
        # Of the open file: another one may have been at its path just now.
        before = os.fstat(file.fileno())
        file.seek(offset)
        rest = min(_PIECE_BYTES, expected.size - offset)
        while count := file.readinto(block[:rest]):
            digest.update(block[:count])
            rest -= count
        after = os.fstat(file.fileno())
    is_same = all(FileStat.of(expected.name, each) == expected for each in (before, after))
    return digest.digest() if is_same and not rest else None


def _is_settled(file: FileStat, read_ns: int) -> bool:
    """Say whether an edit after *read_ns* must change a time of *file*.

    The change time comes from the file system's own clock: if it is ahead of ours, the clocks
    disagree and it proves nothing. A modification time far ahead is harmless: it was set explicitly
    (as archivers do), and an edit resets it.
    """
    changed_long_ago = read_ns - file.ctime_ns > WRITE_BACK_NS
    modified_at_other_time = abs(read_ns - file.mtime_ns) > WRITE_BACK_NS
    return changed_long_ago and modified_at_other_time
