"""Models at addresses (`s3://bucket/model.keras`): told by what their store says, or fetched.

An address stands for a path on the road of a load, as a reference does: it tells what model it is.
That is remembered as long as the store proves that nothing was written there; so a hit asks for the
names of the files alone. Where the files are needed, they are copied to a temporary folder, which
goes when the load is over.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from fastload.cache.addresses import recall_address, remember_address
from fastload.cache.directory import CacheDir
from fastload.errors import (
    BypassError,
    CacheError,
    ModelChangedError,
    ModelNotHereError,
    RemoteSourceError,
    UnsupportedSourceError,
)
from fastload.progress import Bar
from fastload.remote.checksums import agrees
from fastload.remote.filesystems import require_known
from fastload.remote.model_files import Address, RemoteFile
from fastload.settings import Settings, without_secret
from fastload.source.detect import (
    SHARDS_SUFFIX,
    Fingerprint,
    ModelSource,
    SourceKind,
    detect,
)
from fastload.source.fingerprint import fingerprint

_ATTEMPTS: Final = 2
_ASSETS: Final = "assets/"
#: Copies with assets, which what was loaded of them opens later.
_kept: Final[list[_Copy]] = []


class ModelAtAddress:
    """A model at an address, in the place of a path.

    Args:
        url: the address, as the caller gave it.
        settings: what the environment asks for.
        referred: what a reference tells of the model; None for whatever is there.
        remembers: whether what is found out is kept for later loads.
    """

    def __init__(
        self,
        url: str,
        settings: Settings,
        referred: ModelSource | None = None,
        *,
        remembers: bool = True,
    ) -> None:
        self.url, self._settings, self._remembers = url, settings, remembers
        self._shown = without_secret(url)
        self._referred = referred
        self._source = referred
        self._files: tuple[RemoteFile, ...] = ()
        self._copy: _Copy | None = None

    @property
    def is_referred(self) -> bool:
        """Whether it has to be the model that a reference means."""
        return self._referred is not None

    def known_source(self) -> ModelSource:
        """Return what a load takes for the model; it is fetched if nothing tells its content.

        Raises:
            RemoteSourceError: it cannot be had.
            BypassError: it is none that fastload reads.
        """
        if self._source is None:
            self._source = self._recalled() or self._told()
        return self._source

    def on_disk(self) -> tuple[ModelSource, Fingerprint]:
        """Return a copy of the model on this disk, and its content.

        Raises:
            RemoteSourceError: it cannot be had, or is another one than `known_source` told.
            ModelNotHereError: the same, where a reference means it.
            ModelChangedError: it is another one than the reference means.
            BypassError: it is none that fastload reads.
        """
        if self._copy is None:
            self._copy = self._fetched() if self._referred is None else self._still_there()
        source = detect(self._copy.path)
        if self._copy.content is None:
            # Nobody else writes to it, so its times say nothing.
            self._copy.content = replace(fingerprint(source), settled=True)
            self._compare(self._copy.content.digest)
            self._remember(source, self._copy.content)
        assert self._copy is not None  # noqa: S101 - or `_compare` has raised
        return source, self._copy.content

    def copied(self) -> Path:
        """Return the path of a copy, whatever it is a copy of.

        Raises:
            RemoteSourceError: it cannot be had.
            ModelNotHereError: the same, where a reference means it.
            ModelChangedError: it is another one than the reference means.
        """
        try:
            return self.on_disk()[0].path
        except RemoteSourceError:
            raise
        except BypassError:  # fastload does not read it; stock may
            if self._copy is None or self.is_referred:
                raise
            return self._copy.path

    def folder_of_assets(self) -> str | None:
        """Return a folder with the assets that a SavedModel opens when it is loaded, and later.

        It is there until the process ends. None where the model has none.

        Raises:
            BypassError: it cannot be had, or is not what it was.
        """
        if not any(each.name.startswith(_ASSETS) for each in self._files):
            return None
        source, _ = self.on_disk()
        self.keep_copy()
        return str(source.path)

    def keep_copy(self) -> None:
        """Have the copy stay until the process ends, if it has assets."""
        if self._copy is not None and (self._copy.path / _ASSETS).is_dir():
            _kept.append(self._copy)

    def let_go(self) -> None:
        """Remove the copy, unless it is kept."""
        copy, self._copy = self._copy, None
        if copy is not None and copy not in _kept:
            copy.remove()

    def _recalled(self) -> ModelSource | None:
        """Return what was there when the store said the same of it."""
        proof = self._proof()
        with suppress(CacheError):  # without a cache, nothing is remembered
            cache = CacheDir.locate(self._settings)
            told = None if proof is None else recall_address(cache, self.url, proof)
            return None if told is None else self._source_of(*told)
        return None

    def _proof(self) -> list[list[Any]] | None:
        address = self._address()
        self._files = address.files()
        return address.proof(self._files)

    def _address(self) -> Address:
        """Return the address, if something here speaks to it.

        Raises:
            UnsupportedSourceError: nothing does, or it is a file that others have to be beside;
                stock may.
        """
        if self.name.endswith(SHARDS_SUFFIX):
            raise UnsupportedSourceError(f"{self._shown!r} is a remote path of weights in shards")
        try:
            require_known(self.url)
        except (ImportError, ValueError) as error:
            raise UnsupportedSourceError(f"{self._shown!r} is a remote path: {error}") from error
        return Address(url=self.url, shown=self._shown, timeout_s=self._settings.remote_timeout_s)

    def _fetched(self) -> _Copy:
        """Copy the model; once more where it was written to meanwhile.

        Raises:
            RemoteSourceError: it cannot be had, or is written to all the time.
        """
        address = self._address()
        before = self._files or address.files()
        for _ in range(_ATTEMPTS):
            copy = _Copy(self.name)
            address.copy(before, copy.path, self._watch(before))
            self._files = address.files()
            if self._files == before:
                return copy
            copy.remove()
            before = self._files
        raise RemoteSourceError(self._shown, "it is being written to")

    def _still_there(self) -> _Copy:
        """Copy the model that a reference means.

        Raises:
            ModelNotHereError: it cannot be had.
        """
        try:
            return self._fetched()
        except BypassError as error:
            digest = str(self.known_source().digest)
            raise ModelNotHereError(self._shown, digest, error.explanation()) from error

    def _watch(self, files: tuple[RemoteFile, ...]) -> Any:
        total = sum(each.size_bytes for each in files)
        if not self._settings.progress:
            return lambda _: None
        bar = Bar("fetching a model", total)
        return lambda done: bar.shows(done, goes_on=done < total)

    def _compare(self, digest: str) -> None:
        if self._source is None or digest == self._source.digest:
            return
        self.let_go()
        if self.is_referred:
            raise ModelChangedError(self._shown)
        raise RemoteSourceError(self._shown, "it was written to while it was loaded")

    def _remember(self, source: ModelSource, content: Fingerprint) -> None:
        proof = self._address().proof(self._files)
        if proof is None or not self._remembers:
            return
        is_compared = all(agrees(each, source.path / each.name) for each in self._files)
        model = content.digest, source.kind.value
        with suppress(CacheError):
            cache = CacheDir.locate(self._settings)
            remember_address(cache, self.url, proof, model, is_compared=is_compared)

    def _told(self) -> ModelSource:
        """Return what a copy is, as a source whose files nobody needs: its content is known."""
        source, content = self.on_disk()
        return self._source_of(content.digest, source.kind.value)

    def _source_of(self, digest: str, kind: str) -> ModelSource:
        return ModelSource(
            path=Path(self._shown),
            kind=SourceKind(kind),
            suffix=PurePosixPath(self.name).suffix.lower(),
            files=(),
            digest=digest,
        )

    @property
    def name(self) -> str:
        """What the file or folder is called; Keras goes by its suffix."""
        path = self._shown.partition("::")[0].partition("://")[2].partition("?")[0]
        return PurePosixPath(path).name or "model"

    def __fspath__(self) -> str:
        return self.url

    def __str__(self) -> str:
        return self._shown


class _Copy:
    """A model in a temporary folder, which goes with this object, or with the process."""

    def __init__(self, name: str) -> None:
        folder = Path(tempfile.mkdtemp(prefix="fastload-"))
        self.path = folder / name
        self.content: Fingerprint | None = None
        self.remove = weakref.finalize(self, _remove, folder, os.getpid())


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # a fork has not made it
        shutil.rmtree(folder, ignore_errors=True)
