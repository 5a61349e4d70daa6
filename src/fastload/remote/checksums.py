"""Checksums that stores keep of their objects, compared with what came of them."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any, Final

from fastload.remote.model_files import RemoteFile

_CHUNK_BYTES: Final = 2**20
#: The MD5 of an object that was sent to S3 at once, and of one that was sent in parts.
_ETAG: Final = re.compile(r'"?([0-9a-f]{32})(-(\d{1,5}))?"?', re.ASCII)
#: Parts that programs send: boto3, the command line of AWS, s3fs.
_PART_BYTES: Final = tuple(mebibytes * 2**20 for mebibytes in (8, 50, 5, 16, 64))


def agrees(file: RemoteFile, path: Path) -> bool:
    """Say whether a checksum of the store's says that the copy at *path* is right.

    It may be right all the same: an encrypted object of S3 has an `ETag` that is none.
    """
    if (known := file.state.get("md5Hash")) is not None:
        return bool(_md5(path).digest() == _decoded(known))
    match = _ETAG.fullmatch(file.state.get("ETag", ""))
    if match is None:
        return False
    if match[2] is None:
        return bool(_md5(path).hexdigest() == match[1])
    sizes = (size for size in _PART_BYTES if -(-file.size_bytes // size) == int(match[3]))
    return any(_md5_of_parts(path, size) == match[1] for size in sizes)


def _md5(path: Path) -> Any:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest


def _md5_of_parts(path: Path, part_bytes: int) -> str:
    whole = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(part_bytes):
            whole.update(hashlib.md5(part, usedforsecurity=False).digest())
    return whole.hexdigest()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
