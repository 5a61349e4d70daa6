"""Packages that bring Keras 2 models: fetched from the package index, their models unpacked."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

_FETCH_TIMEOUT_S: Final = 600
_SAVED_MODEL: Final = "saved_model.pb"
_FILES: Final = (".h5", ".hdf5", ".keras")
_ARCHIVES: Final = (".zip", ".tar.gz")
#: Only data is taken out of a wheel, so that one platform's serves all.
_ANY_LINUX: Final = tuple(
    f"--platform={each}" for each in ("any", "manylinux2014_x86_64", "manylinux2010_x86_64")
)


class FetchError(Exception):
    """A package is neither in the work folder nor to be had; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A distribution with models.

    Attributes:
        name: the distribution.
        version: which one.
        python: the Python that its wheel is for; empty for a source archive.
        folder: where in it the models are; an archive in there is unpacked too.
        sources: modules that define custom layers, by paths in it.
    """

    name: str
    version: str
    folder: str
    python: str = "3.11"
    sources: tuple[str, ...] = ()

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.name}=={self.version}"


PACKAGES: Final = (
    Package(name="sleepecg", version="0.5.6", folder="sleepecg/classifiers"),
    Package(
        name="basic-pitch",
        version="0.4.0",
        folder="basic_pitch/saved_models/icassp_2022/nmp",
    ),
    Package(name="medaka", version="1.4.4", python="3.8", folder="medaka/data"),
    Package(
        name="deeplc",
        version="2.2.38",
        folder="deeplc/mods",
        sources=("deeplc/deeplc.py",),
    ),
    Package(name="dgaintel", version="2.3", python="", folder="dgaintel"),
    Package(name="ethnicolr", version="0.9.6", folder="ethnicolr/models"),
    Package(name="fer", version="22.5.1", folder="fer/data"),
    Package(
        name="imspy",
        version="0.2.26",
        folder="imspy/algorithm/pretrained",
        sources=(
            "imspy/algorithm/ccs/predictors.py",
            "imspy/algorithm/ionization/predictors.py",
            "imspy/algorithm/rt/predictors.py",
        ),
    ),
    Package(name="ionmob", version="0.2.2", folder="ionmob/pretrained_models"),
    Package(
        name="mmsplice",
        version="2.4.0",
        folder="mmsplice/models",
        sources=("mmsplice/layers.py",),
    ),
    Package(name="seeker", version="1.0.3", folder="seeker/models"),
    Package(name="shakkala", version="1.7", folder="shakkala/model"),
    Package(name="spliceai", version="1.3.1", folder="spliceai/models"),
)


def unpacked(package: Package, work: Path) -> Path:
    """Return the folder with the models and sources of *package*, fetching it first if need be.

    Raises:
        FetchError: it cannot be had.
    """
    folder = work / "packages" / f"{package.name}-{package.version}"
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        _extract(_fetched(package, work / "downloads"), package, partial)
        _open_archives(partial / package.folder)
        partial.replace(folder)
    return folder


def models(package: Package, folder: Path) -> list[Path]:
    """Return the models in the unpacked *folder*: files, and folders with a SavedModel."""
    return sorted(_found(folder / package.folder))


def _found(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.name == _SAVED_MODEL:
            yield path.parent
        elif path.suffix in _FILES and path.is_file():
            yield path


def _fetched(package: Package, downloads: Path) -> Path:
    downloads.mkdir(parents=True, exist_ok=True)
    pattern = f"{package.name.replace('-', '_')}-{package.version}[-.]*"
    if not list(downloads.glob(pattern)):
        _download(package, downloads)
    return next(downloads.glob(pattern))


def _download(package: Package, downloads: Path) -> None:
    kind = (
        ("--only-binary=:all:", f"--python-version={package.python}", *_ANY_LINUX)
        if package.python
        else ("--no-binary=:all:",)
    )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *kind]
    command += ["--dest", str(downloads), package.requirement]
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip()[-500:]
        raise FetchError(f"{package.requirement} could not be fetched; pip said: {said}") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise FetchError(f"{package.requirement} could not be fetched: {error}") from None


def _extract(archive: Path, package: Package, target: Path) -> None:
    """Unpack the models and sources of *package*, without the folders above the package's own."""
    for name, content in _members(archive.name, archive.read_bytes()):
        inner = _within_package(name, package)
        if inner is not None:
            path = target / inner
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _within_package(name: str, package: Package) -> PurePosixPath | None:
    parts = PurePosixPath(name).parts
    # A source archive has one folder at its top, and a wheel may have `NAME.data/data`.
    for start in range(len(parts)):
        inner = PurePosixPath(*parts[start:])
        if str(inner) in package.sources or PurePosixPath(package.folder) in inner.parents:
            return inner
    return None


def _open_archives(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.name.endswith(_ARCHIVES):
            target = path.with_name(path.name.partition(".")[0])
            for name, content in _members(path.name, path.read_bytes()):
                # One folder is at the top of each, and beside it a note in some.
                inner = target.joinpath(*PurePosixPath(name).parts[1:] or [name])
                inner.parent.mkdir(parents=True, exist_ok=True)
                inner.write_bytes(content)


def _members(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the files in an archive."""
    if name.endswith(".tar.gz"):
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                if (file := archive.extractfile(member)) is not None:
                    yield member.name, file.read()
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield info.filename, archive.read(info)
