"""What Keras's `.keras` loaders read, from a twin: an archive and a store of variables."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastload import system
from fastload.runtime.core.transplant import Overlay
from fastload.runtime.core.zero_copy import MappedArray
from fastload.twin.format import MIGRATION, STATE
from fastload.twin.reader import Twin
from fastload.twin.view import TwinGroup

if TYPE_CHECKING:
    from fastload.runtime.core.state_readers import StateReaders

WEIGHTS_MEMBER: Final = "model.weights.h5"


_ASSETS: Final = "assets/"
#: The asset of a layer of functions, which needs no file of it.
FUNCTIONS_ASSET: Final = "functions.pb"


def has_assets(twin: Twin) -> bool:
    """Say whether the archive that *twin* was made from holds more than a model and its weights."""
    return any(name.startswith(_ASSETS) for name in twin.manifest.documents)


class TwinArchive(zipfile.ZipFile):
    """A zip archive as far as the loaders use one. Keras 3.12 and later ask for its class.

    The weights member is listed but empty: the store reads the twin.
    """

    _twin: Twin

    def namelist(self) -> list[str]:
        """Return the names of the members, as many as the source archive had."""
        documents = (name for name in self._twin.manifest.documents if name != MIGRATION)
        return [*documents, WEIGHTS_MEMBER]

    def read(self, name: Any, *_: Any) -> bytes:
        """Return the content of member *name*."""
        return b"" if name == WEIGHTS_MEMBER else self._twin.document(name)

    def open(self, name: Any, *_: Any, **__: Any) -> Any:
        """Return member *name* as a file."""
        return io.BytesIO(self.read(name))

    def infolist(self) -> list[Any]:
        """Return an empty list: sizes were checked when the source was read."""
        return []

    def extractall(self, path: Any = None, *_: Any, **__: Any) -> None:
        """Write the assets to the folder *path*; their names were checked when the source was
        read.
        """
        for name in self._twin.manifest.documents:
            if name.startswith(_ASSETS):
                target = Path(path or ".", name)
                target.parent.mkdir(parents=True, exist_ok=True)
                system.write_bytes(target, self._twin.document(name))

    def close(self) -> None:
        """Do nothing: the twin outlives its views."""


class AssetFolder(str):
    """The path of a folder of assets that is nowhere but in a twin.

    Attributes:
        contents: of its files, by name.
    """

    __slots__ = ("contents",)
    contents: Mapping[str, bytes]


def asset_of(folder: str, name: str) -> bytes:
    """Return the content of the asset *name* in *folder*, which may be in a twin."""
    if isinstance(folder, AssetFolder):
        return folder.contents[name]
    return Path(folder, name).read_bytes()


def asset_store(stock: type[Any], twin: Twin) -> type[Any]:
    """Return what stands in for Keras's `DiskIOStore`, which extracts all assets into a folder.

    It does nothing of that where layers of functions are all that have any.
    """
    names = [name for name in twin.manifest.documents if name.startswith(_ASSETS)]
    if not all(name.endswith(f"/{FUNCTIONS_ASSET}") for name in names):
        return stock

    class TwinAssets(stock):  # type: ignore[misc]
        """Assets by path, from the twin."""

        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def get(self, path: str) -> AssetFolder | None:
            """Return the folder of the assets at *path*; None if there are none."""
            name = f"{_ASSETS}{path}/{FUNCTIONS_ASSET}"
            if name not in twin.manifest.documents:
                return None
            folder = AssetFolder(path)
            folder.contents = {FUNCTIONS_ASSET: twin.document(name)}
            return folder

        def has_path(self, path: str) -> bool:
            """Say whether there is anything below *path*."""
            return any(name.startswith(f"{_ASSETS}{path}/") for name in names)

        def close(self) -> None:
            """Do nothing: nothing was extracted."""

    return TwinAssets


def zip_module(twin: Twin) -> Any:
    """Return `zipfile` with a `ZipFile` that reads *twin*, whatever file it is given."""

    class ArchiveOfTwin(TwinArchive):
        def __init__(self, *_: Any, **__: Any) -> None:
            self._twin = twin

    return Overlay(zipfile, {"ZipFile": ArchiveOfTwin})


def twin_store(stock: type[Any], twin: Twin, readers: StateReaders) -> type[Any]:
    """Return a subclass of Keras's `H5IOStore` that reads *twin*, whatever file it is given.

    Those of *readers* that do more than to assign what they get are given arrays of their own.
    """
    whole = twin.root
    root: TwinGroup = whole.get(STATE, whole)

    class TwinStore(stock):  # type: ignore[misc]
        """Variables by path, from the twin.

        Each `get` returns an independent view.
        """

        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def get(self, path: str) -> Any:
            """Return the variables below *path* by name."""
            found = _variables(root, path)
            return found if readers.next_assigns() else OwnArrays(found)

        def has_path(self, path: str) -> bool:
            """Say whether *path* exists."""
            return path in root

        def __bool__(self) -> bool:
            return True

        def close(self) -> None:
            """Do nothing: the twin outlives its views."""

    return TwinStore


def _variables(root: TwinGroup, path: str) -> dict[str, np.ndarray[Any, Any]]:
    # Keras 2.13 wrote the second.
    for candidate in (path, path.replace("layers", "_layer_checkpoint_dependencies")):
        place = f"{candidate}/vars" if candidate else "vars"
        if place in root:
            return dict(_arrays(root[place]))
    return {}


class OwnArrays(Mapping[str, Any]):
    """Variables by name, for code that may do anything with them: each access gives a new copy.

    So it is in stock, where each reads the file.

    Args:
        variables: what may share memory with the twin.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables

    def __getitem__(self, name: str) -> Any:
        value = self._variables[name]
        return np.array(value) if isinstance(value, np.ndarray) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def _arrays(group: TwinGroup) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    for name, value in group.items():
        yield name, MappedArray.of(value) if isinstance(value, np.ndarray) else value
