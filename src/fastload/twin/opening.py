"""Read header and index of a twin, and check both; neither maps the file nor imports numpy."""

from __future__ import annotations

import hashlib
import os
from io import FileIO
from pathlib import Path

from fastload.errors import TwinCorruptError, TwinVersionError
from fastload.twin.format import FORMAT_VERSION, USER_BLOCK_BYTES, Header
from fastload.twin.index import Index


def read_header(path: Path, file: FileIO) -> Header:
    """Read the header and check that the file is as long as it says.

    Args:
        path: the twin, for messages.
        file: the twin, open at its start.

    Raises:
        TwinCorruptError: it is not what was written.
        TwinVersionError: it has a format version that this fastload does not read.
    """
    try:
        header = Header.from_bytes(file.read(USER_BLOCK_BYTES))
    except ValueError as error:
        raise TwinCorruptError(path, str(error)) from None
    if header.format_version != FORMAT_VERSION:
        raise TwinVersionError(path, header.format_version, FORMAT_VERSION)
    size = os.fstat(file.fileno()).st_size
    if size != header.file_nbytes:
        raise TwinCorruptError(path, f"it has {size} bytes where {header.file_nbytes} were written")
    if header.index_offset + header.index_nbytes > size:
        raise TwinCorruptError(path, "its index lies outside of it")
    return header


def parse_index(path: Path, header: Header, data: bytes | memoryview) -> Index:
    """Check the bytes of an index against their digest and decode them.

    Args:
        path: the twin, for messages.
        header: its header.
        data: the bytes where the header says that the index is.

    Raises:
        TwinCorruptError: the bytes are not what was written.
    """
    if hashlib.sha256(data).digest() != header.index_sha256:
        raise TwinCorruptError(path, "its index does not match its digest")
    try:
        return Index.from_bytes(data)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise TwinCorruptError(path, f"its index is malformed: {error}") from error


def read_index(path: Path) -> Index:
    """Return what a twin says of itself; its weights and documents are neither read nor checked.

    Takes 1 ms for a network of 300 weights.

    Args:
        path: a file that `write_twin` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        TwinCorruptError: its header or index is not what was written.
        TwinVersionError: it has a format version that this fastload does not read.
    """
    with path.open("rb", buffering=0) as file:
        header = read_header(path, file)
        file.seek(header.index_offset)
        data = file.read(header.index_nbytes)
    return parse_index(path, header, data)


def read_document(path: Path, index: Index, name: str) -> bytes | None:
    """Return a document of the twin at *path*, or None if it has none of that name.

    Args:
        path: the twin.
        index: its index.
        name: as in `twin.documents`.

    Raises:
        TwinCorruptError: its bytes do not match their digest.
    """
    refs = {ref.name: ref for ref in index.documents}
    if name not in refs:
        return None
    with path.open("rb", buffering=0) as file:
        file.seek(refs[name].offset)
        content = file.read(refs[name].nbytes)
    if hashlib.sha256(content).hexdigest() != refs[name].sha256:
        raise TwinCorruptError(path, f"its document {name!r} does not match its digest")
    return content
