"""The digests of a twin's weights, which are added when all else of the file is there.

No load waits for them: they are what `verify` compares with. A twin without them is never
published.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Final

from fastload import system
from fastload.twin.format import WeightRef
from fastload.twin.index import Index, parse_index, read_header

#: Stands for a digest that is not there yet, and is as long as one.
NO_DIGEST: Final = "0" * 64
_BLOCK_BYTES: Final = 2**20


def add_digests(path: Path) -> None:
    """Hash the weights of the twin at *path*, and write their digests to its index.

    Args:
        path: a file that `write_without_digests` wrote. Other files are left as they are. If this
            raises, the file is no twin any more.

    Raises:
        TwinCorruptError: it is no twin.
        OSError: it cannot be read or written.
    """
    with open(path, "r+b", buffering=0, opener=system.opener) as file:
        header = read_header(path, file)
        file.seek(header.index_offset)
        index = parse_index(path, header, file.read(header.index_nbytes))
        if all(ref.sha256 != NO_DIGEST for ref in index.weights):
            return
        weights = tuple(replace(ref, sha256=_digest(file, ref)) for ref in index.weights)
        content = Index(
            manifest=index.manifest, weights=weights, documents=index.documents
        ).to_bytes()
        assert len(content) == header.index_nbytes  # noqa: S101 - digests are of one length
        write_at(file, header.index_offset, content)
        header = replace(header, index_sha256=hashlib.sha256(content).digest())
        write_at(file, 0, header.to_bytes())


def _digest(file: io.FileIO, ref: WeightRef) -> str:
    """Return the digest of the stored bytes of a weight, in hexadecimal."""
    digest, rest = hashlib.sha256(), ref.nbytes
    file.seek(ref.offset)
    while rest:
        block = file.read(min(rest, _BLOCK_BYTES))
        if not block:
            raise OSError(f"{file.name!r} has lost what was written to it")
        digest.update(block)
        rest -= len(block)
    return digest.hexdigest()


def write_at(file: io.FileIO, offset: int, data: bytes | bytearray) -> None:
    """Write all of *data* at *offset*; one system call may take less."""
    file.seek(offset)
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
