"""Models in TensorFlow's own memory (`ram://`), told by their content like other bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from fastload import system
from fastload.errors import UnsupportedSourceError
from fastload.runtime.core.memory_files import files_in_memory
from fastload.source.detect import HDF5_SIGNATURE, ZIP_SIGNATURE, ModelSource, SourceKind, detect
from fastload.source.fingerprint import contents_digest
from fastload.source.held import Held

#: What stock reads of a SavedModel without assets; the last has no effect.
_PARTS: Final = re.compile(r"saved_model\.pb|keras_metadata\.pb|variables/.+|fingerprint\.pb")


class InMemory(Held):
    """A model at an address of `ram://`.

    Attributes:
        given: the address.
    """

    def __init__(self, address: str) -> None:
        self.given, self._source = address, None

    @property
    def name(self) -> str:
        """The address, by which TensorFlow knows it."""
        return str(self.given)

    @cached_property
    def files(self) -> Mapping[str, bytes]:
        """Its files by name, read once.

        Raises:
            UnsupportedSourceError: there is none.
        """
        return files_in_memory(self.name)

    @cached_property
    def content(self) -> bytes:
        """All of its bytes, names included.

        Raises:
            UnsupportedSourceError: there is none.
        """
        return b"\0".join(name.encode() + b"\0" + self.files[name] for name in sorted(self.files))

    @cached_property
    def kind(self) -> SourceKind:
        """What it is.

        Raises:
            UnsupportedSourceError: it is no model that fastload reads.
        """
        if "saved_model.pb" in self.files and all(map(_PARTS.fullmatch, self.files)):
            return SourceKind.SAVED_MODEL
        first = self.files.get("", b"")
        if first.startswith(ZIP_SIGNATURE):
            return SourceKind.KERAS_ARCHIVE
        if first.startswith(HDF5_SIGNATURE):
            return SourceKind.KERAS_HDF5
        raise UnsupportedSourceError(f"{self.name!r} is not a model that can be read from memory")

    @property
    def source(self) -> ModelSource:
        """What a load takes for the model; it is hashed at the first call.

        Raises:
            UnsupportedSourceError: it is none that fastload reads.
        """
        if self._source is None:
            path = Path(self.name)
            self._source = ModelSource(
                path=path,
                kind=self.kind,
                suffix=path.suffix.lower(),
                files=(),
                digest=contents_digest(self.kind, self.files),
                is_url=True,
            )
        return self._source

    @contextmanager
    def on_disk(self) -> Iterator[ModelSource]:
        """Have the files in a folder for as long as the block runs.

        Raises:
            OSError: it cannot be written.
        """
        with TemporaryDirectory(prefix="fastload-") as folder:
            place = Path(folder, f"model{self.source.suffix}")
            for name, content in self.files.items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                system.write_bytes(place / name, content)
            yield detect(place)

    def leave(self) -> None:
        """Do nothing: nobody holds it open."""
