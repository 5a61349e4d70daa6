"""Models that a caller holds: open files of the disk, and bytes in memory, as stock loaders take.

An open file is as good as its path while the path leads to it; bytes are told by their content.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from fastload import system
from fastload.errors import UnsupportedSourceError
from fastload.source.detect import HDF5_SIGNATURE, ZIP_SIGNATURE, ModelSource, SourceKind, detect
from fastload.source.fingerprint import content_digest

#: What stands for a path, where a loader asks for its suffix.
_NAMES: Final = {
    SourceKind.KERAS_ARCHIVE: "model.keras",
    SourceKind.KERAS_HDF5: "model.h5",
}
_SIGNATURES: Final = {
    SourceKind.KERAS_ARCHIVE: ZIP_SIGNATURE,
    SourceKind.KERAS_HDF5: HDF5_SIGNATURE,
}
#: Files of an archive without assets: its configuration, its metadata and its weights.
_WITHOUT_ASSETS: Final = 3
_WEIGHTS: Final = "model.weights.h5"
#: What stands before the names of a file in an archive, with the lengths of these at its end.
_HEADER_BYTES: Final = 30
#: The end of an archive lists its files, with a checksum of each.
_TAIL_BYTES: Final = 2**16


class Held:
    """A model that a caller holds.

    Attributes:
        given: what it was given as.
    """

    __slots__ = ("_content", "_find", "_kind", "_source", "given")

    def __init__(
        self,
        given: Any,
        kind: SourceKind,
        find: Callable[[Held], ModelSource],
        content: bytes | None = None,
    ) -> None:
        self.given, self._kind, self._content = given, kind, content
        self._find = find
        self._source: ModelSource | None = None

    @property
    def kind(self) -> SourceKind:
        """What it is, if it is a model."""
        return self._kind

    @property
    def content(self) -> bytes | None:
        """Its bytes; None for an open file of the disk."""
        return self._content

    @property
    def name(self) -> str:
        """What stands for its path."""
        return _NAMES[self.kind]

    @property
    def source(self) -> ModelSource:
        """What a load takes for the model; bytes are hashed at the first call.

        Raises:
            UnsupportedSourceError: it is none that fastload reads.
        """
        if self._source is None:
            found = self._find(self)
            if found.kind is not self.kind:
                raise UnsupportedSourceError(
                    f"{self.given!r} is not the {self.kind.value} that it seems"
                )
            self._source = replace(found, suffix=Path(self.name).suffix)
        return self._source

    @property
    def key(self) -> str:
        """What tells its bytes from most others, at no cost: their number and the last of them."""
        content = self.content or b""
        tail = hashlib.sha256(memoryview(content)[-_TAIL_BYTES:]).hexdigest()
        return f"{len(content)}-{tail[:32]}"

    @contextmanager
    def on_disk(self) -> Iterator[ModelSource]:
        """Have the bytes in a file for as long as the block runs.

        Raises:
            OSError: it cannot be written.
        """
        with TemporaryDirectory(prefix="fastload-") as folder:
            path = Path(folder, self.name)
            system.write_bytes(path, self.content or b"")
            yield detect(path)

    def leave(self) -> None:
        """Leave an open archive where Keras's loader leaves it: behind what it read last."""
        if isinstance(self.given, io.IOBase):
            self.given.seek(_end_of_reading(self.given))


def held(given: Any) -> Held | None:
    """Return the model that a caller holds; None where *given* is nothing of the kind.

    Args:
        given: what a stock loader was given for a path.
    """
    h5py = sys.modules.get("h5py")
    if h5py is not None and isinstance(given, h5py.File):
        return _held_hdf5(given)
    if type(given) is io.BytesIO and not given.closed:
        return held_archive(given, given.getvalue())
    if type(given) is io.BufferedReader and type(given.raw) is io.FileIO:
        return Held(given, SourceKind.KERAS_ARCHIVE, _opened_archive)
    return None


def held_archive(given: Any, content: bytes) -> Held:
    """Return the archive whose bytes are *content*."""
    return Held(given, SourceKind.KERAS_ARCHIVE, _of_content, content)


def _held_hdf5(file: Any) -> Held:
    if not file or file.mode != "r":
        return Held(file, SourceKind.KERAS_HDF5, _written_to)
    if file.driver == "sec2":
        return Held(file, SourceKind.KERAS_HDF5, _opened_hdf5)
    return Held(file, SourceKind.KERAS_HDF5, _of_content, file.id.get_file_image())


def _of_content(held: Held) -> ModelSource:
    content = held.content or b""
    if not content.startswith(_SIGNATURES[held.kind]):
        raise UnsupportedSourceError(f"the bytes are not a {held.kind.value}")
    return ModelSource(
        path=Path(held.name),
        kind=held.kind,
        suffix="",
        files=(),
        digest=content_digest(held.kind, content),
    )


def _opened_archive(held: Held) -> ModelSource:
    return _at_path(held.given.fileno, held.given.name)


def _opened_hdf5(held: Held) -> ModelSource:
    return _at_path(held.given.id.get_vfd_handle, held.given.filename)


def _written_to(held: Held) -> ModelSource:
    raise UnsupportedSourceError(f"{held.given!r} is not open for reading alone")


def _at_path(descriptor: Callable[[], int], name: Any) -> ModelSource:
    """Return the open file that *name* is the path of.

    Raises:
        UnsupportedSourceError: the path leads to another file, or to none.
    """
    try:
        path = os.fsdecode(name)
        is_there = os.path.samestat(os.fstat(descriptor()), Path(path).stat())
    except (OSError, TypeError, ValueError):
        is_there = False
    if not is_there:
        raise UnsupportedSourceError(f"the open file is not the one at {name!r}")
    return detect(path)


def _end_of_reading(archive: Any) -> int:
    """Return where a reader of *archive* is after its weights or, if it has any, its assets."""
    with zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        last = infos[-1] if len(infos) > _WITHOUT_ASSETS else opened.getinfo(_WEIGHTS)
    archive.seek(last.header_offset)
    header = archive.read(_HEADER_BYTES)
    names = sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    return int(last.header_offset + _HEADER_BYTES + names + last.compress_size)
