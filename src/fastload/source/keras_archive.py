"""Guarded reading of `.keras` archives: configuration, assets, and the weights in place."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final, cast

from fastload import system
from fastload.errors import UnconvertibleModelError, UnsafeSourceError, UnsupportedSourceError
from fastload.lean_dataclass import dataclass
from fastload.source.hdf5 import HDF5Source, read_state
from fastload.source.limits import BOMB_FLOOR_BYTES, MOST_ASSETS, ZIP_EXPANSION

_CONFIG: Final = "config.json"
_METADATA: Final = "metadata.json"
_WEIGHTS: Final = "model.weights.h5"
_ASSETS: Final = "assets/"
_OTHER_WEIGHTS: Final = {"model.weights.npz": "as npz", "model.weights.json": "in shards"}
_MEMBERS: Final = frozenset({_CONFIG, _METADATA, _WEIGHTS})
_MOST_FOLDERS: Final = 256
#: With so many members, Keras opens no asset store.
_WITHOUT_ASSETS: Final = 3
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_ENCRYPTED_FLAGS: Final = 0x1 | 0x40
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: Everything but the weights is held in memory.
_MAX_DOCUMENT_BYTES: Final = 64 * 2**20
_BLOCK_BYTES: Final = 2**20
#: Local file header: all but the two lengths is repeated in the directory.
_LOCAL_HEADER: Final = struct.Struct("<26xHH")


@dataclass(frozen=True, slots=True, kw_only=True)
class KerasArchive:
    """What a `.keras` archive holds.

    Attributes:
        config: `config.json` as stored.
        metadata: `metadata.json` as stored; empty if there is none, as no loader reads it.
        assets: contents by path below `assets/` (`layers/text_vectorization/vocabulary.txt`).
        weights: the HDF5 file `model.weights.h5`.
    """

    config: bytes
    metadata: bytes
    assets: Mapping[str, bytes]
    weights: HDF5Source


@contextmanager
def read_keras_archive(path: str | os.PathLike[str]) -> Iterator[KerasArchive]:
    """Open a `.keras` archive, check every member, and read everything but the weights.

    Weights that are stored uncompressed, as Keras does, are read from the archive in place;
    compressed ones are unpacked into an unnamed temporary file first. Their checksum is verified
    in both cases.

    Args:
        path: path of the archive.

    Yields:
        The content; `weights.stream()` works until the context ends.

    Raises:
        UnsupportedSourceError: a zip archive that is not Keras's.
        UnsafeSourceError: a member escapes the archive, is a link, a bomb, encrypted or duplicate;
            or `read_state` rejects the weights.
        UnconvertibleModelError: it is damaged, or its weights are not one HDF5 file.
    """
    with ExitStack() as stack:
        with _translated():
            file = stack.enter_context(Path(path).open("rb"))
            archive = stack.enter_context(zipfile.ZipFile(file))
            members = _checked(archive.infolist())
            config, metadata, assets = _documents(archive, members)
            weights = _weights_file(archive, file, members[_WEIGHTS], stack)
        content = stack.enter_context(read_state(weights, config))
        yield KerasArchive(config=config, metadata=metadata, assets=assets, weights=content)


@contextmanager
def _translated() -> Iterator[None]:
    """Translate what zipfile raises for damaged archives into `UnconvertibleModelError`."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        OSError,
        EOFError,
        LookupError,
        RuntimeError,
        ValueError,
    ) as error:
        raise UnconvertibleModelError(f"the zip archive cannot be read: {error}") from error


def _checked(members: Sequence[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Check the members, and that they make up a Keras archive; return them by name."""
    by_name: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        _check_member(member)
        if member.filename in by_name:
            raise UnsafeSourceError(f"the zip archive has {member.filename!r} twice")
        by_name[member.filename] = member
    _check_sizes(members)
    if _CONFIG not in by_name:
        raise UnsupportedSourceError(f"the zip archive has no {_CONFIG}")
    for name, form in _OTHER_WEIGHTS.items():
        if name in by_name:
            raise UnconvertibleModelError(f"the zip archive keeps its weights {form}")
    if _WEIGHTS not in by_name:
        raise UnsupportedSourceError(f"the zip archive has no {_WEIGHTS}")
    _check_assets(by_name)
    return by_name


def _check_sizes(members: Sequence[zipfile.ZipInfo]) -> None:
    """Reject members that unpack to far more than they store, taken together."""
    swelling = [each for each in members if each.file_size > ZIP_EXPANSION * each.compress_size]
    declared = sum(each.file_size for each in swelling)
    if declared > BOMB_FLOOR_BYTES:
        stored = sum(each.compress_size for each in swelling)
        names = ", ".join(repr(each.orig_filename) for each in swelling[:3])
        raise UnsafeSourceError(
            f"{names} in the zip archive: {declared:,} bytes declared, but {stored:,} stored"
        )


def _check_assets(names: Collection[str]) -> None:
    """Reject members of which a twin would not keep what Keras sees.

    Keras opens an asset store where there are over three members, whatever they are called: it
    unpacks all of them, and has a layer load its assets where it finds a folder for it.
    """
    files = {name for name in names if not name.endswith("/")}
    others = [name for name in names if name not in _MEMBERS and not name.startswith(_ASSETS)]
    if others or (len(names) > _WITHOUT_ASSETS) != (len(files | _MEMBERS) > _WITHOUT_ASSETS):
        raise UnconvertibleModelError("the zip archive has members that Keras does not write")
    in_order = sorted(name for name in names if name.startswith(_ASSETS))
    for name, following in pairwise([*in_order, ""]):
        if name.endswith("/") and not following.startswith(name):
            raise UnconvertibleModelError(f"{name!r} in the zip archive is an empty folder")
        if name.count("/") > _MOST_FOLDERS or not files.isdisjoint(_folders(name)):
            raise UnconvertibleModelError(f"{name!r} in the zip archive lies in a file")


def _folders(name: str) -> Iterator[str]:
    """Yield the names under which a file would be in the way of the member *name*."""
    parts = name.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


def _asset_files(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(_ASSETS) and not name.endswith("/")]


def _check_member(member: zipfile.ZipInfo) -> None:
    """Reject a member that Keras would not write."""
    what = f"{member.orig_filename!r} in the zip archive"
    if not _is_plain_name(member.orig_filename):
        raise UnsafeSourceError(f"{what} is not a plain relative name")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise UnsafeSourceError(f"{what} is a symbolic link")
    if member.flag_bits & _ENCRYPTED_FLAGS:
        raise UnsafeSourceError(f"{what} is encrypted")
    if member.compress_type == zipfile.ZIP_STORED and member.file_size != member.compress_size:
        raise UnsafeSourceError(f"{what} states two sizes")
    if member.compress_type not in _METHODS:
        raise UnconvertibleModelError(f"{what} is compressed by method {member.compress_type}")


def _is_plain_name(name: str) -> bool:
    """Accept `a`, `a/b` and the folder `a/`, and nothing that leads elsewhere on any system."""
    parts = name.removesuffix("/").split("/")
    odd = any(part in {"", ".", ".."} for part in parts) or "\\" in name or "\0" in name
    return not odd and _DRIVE.match(name) is None


def _documents(
    archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]
) -> tuple[bytes, bytes, dict[str, bytes]]:
    """Read configuration, metadata and assets."""
    assets = _asset_files(members)
    if len(assets) > MOST_ASSETS:
        raise UnconvertibleModelError(f"the zip archive has {len(assets):,} assets")
    total = sum(members[name].file_size for name in [_CONFIG, *assets])
    total += members[_METADATA].file_size if _METADATA in members else 0
    if total > _MAX_DOCUMENT_BYTES:
        raise UnconvertibleModelError(f"the zip archive has {total:,} bytes beside its weights")
    metadata = archive.read(_METADATA) if _METADATA in members else b""
    contents = {name.removeprefix(_ASSETS): archive.read(name) for name in assets}
    return archive.read(_CONFIG), metadata, contents


def _weights_file(
    archive: zipfile.ZipFile, file: BinaryIO, member: zipfile.ZipInfo, stack: ExitStack
) -> BinaryIO:
    """Return the weights as an open file, after verifying their checksum in one pass."""
    with archive.open(member) as content:
        if member.compress_type != zipfile.ZIP_STORED:
            with system.above_standard_streams():
                unpacked = tempfile.TemporaryFile()  # noqa: SIM115  the caller's stack closes it
            stack.enter_context(unpacked)
            shutil.copyfileobj(content, unpacked, _BLOCK_BYTES)
            return cast(BinaryIO, unpacked)
        while content.read(_BLOCK_BYTES):
            pass
    file.seek(member.header_offset)
    name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    start = member.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
    return cast(BinaryIO, ByteRange(file, start, member.file_size))


class ByteRange(io.RawIOBase):
    """A read-only file that is a part of another one, which must stay open and unused otherwise.

    Args:
        file: the whole file, open for reading.
        start: offset of the part, in bytes.
        length: its size, in bytes.

    Example:
        >>> ByteRange(io.BytesIO(b"head weights tail"), 5, 7).read()
        b'weights'
    """

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._whole, self._start, self._length, self._position = file, start, length, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to *offset* bytes from the origin *whence* and return the new position."""
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}
        self._position = max(0, origins[whence] + offset)
        return self._position

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is not for 3.10
        """Fill *buffer* up to the end of the part and return the number of bytes read.

        A short read would be taken for a complete one by h5py, so there is none.

        Raises:
            OSError: the whole file ends inside the part.
        """
        wanted = memoryview(buffer).cast("B")[: max(0, self._length - self._position)]
        self._whole.seek(self._start + self._position)
        filled = 0
        while filled < len(wanted):
            count = self._whole.readinto(wanted[filled:])  # type: ignore[attr-defined]  # BinaryIO lacks it
            if not count:
                raise OSError(errno.EIO, "the file was cut short while it was read")
            filled += count
        self._position += filled
        return filled
