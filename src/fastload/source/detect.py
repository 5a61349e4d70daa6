"""The kind and the files of a model on disk, by content: a few stats and one short read.

The values that all stages of `source` pass on are here too.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final

from fastload.errors import UnsafeSourceError, UnsupportedSourceError
from fastload.lean_dataclass import dataclass

HDF5_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
ZIP_SIGNATURE: Final = b"PK\x03\x04"
#: At least two letters: `C://models` is a Windows path.
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
#: TensorFlow takes what follows for an absolute path, as it stands.
_FILE_URL: Final = "file:///"
#: Addresses of this disk, of TensorFlow's memory, and of Keras's hub.
_SERVED_OTHERWISE: Final = ("file:", "ram:", "hf:")
SAVED_MODEL: Final = "saved_model.pb"
#: Read where there is no other.
SAVED_MODEL_TEXT: Final = "saved_model.pbtxt"
#: Read by stock loaders if it exists; `fingerprint.pb`, `debug` and `assets.extra` have no effect.
_OPTIONAL_FILES: Final = ("keras_metadata.pb",)
#: Of an unpacked Keras 3 model: Keras asks for the first to know one.
UNPACKED: Final = ("config.json", "metadata.json", "model.weights.h5")
_VARIABLES: Final = "variables"
#: An index and its shards, or the one file of the checkpoints before them.
_CHECKPOINT: Final = re.compile(r"variables(\.index|\.data-\d{5}-of-\d{5})?")
_ASSETS: Final = "assets"
#: Keras asks for it where weights are in shards.
SHARDS_SUFFIX: Final = ".weights.json"
#: Begins the names of shards, which are beside the file that is the source.
_BESIDE: Final = "../"
#: Stock loaders open the files that they know by name: what else lies there is not even counted.
_MOST_ENTRIES: Final = 10_000
_MOST_ASSET_BYTES: Final = 2**30
_OTHER_FOLDERS: Final = {
    "saved_model.cpb": "a SavedModel in chunked form",
    "_CHECKPOINT_METADATA": "an Orbax checkpoint",
}
#: In a folder of such checkpoints, which are called by their numbers.
_ORBAX_STEPS: Final = "[0-9]*/_CHECKPOINT_METADATA"


def detect(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> ModelSource:
    """Find the kind of the model at *path*, and stat each file that a stock loader reads.

    Suffixes are ignored. This runs on every load, so it reads only the first bytes of a file (50 to
    150 microseconds in total); the content is checked when it is converted. Symbolic links are
    followed.

    Args:
        path: a local file or folder, as the caller spelled it; also as a `file://` address.

    Raises:
        UnsupportedSourceError: it is not a local path, does not exist, cannot be read, or has a
            format that fastload does not convert.
        UnsafeSourceError: an asset lies outside of the model.
        UnconvertibleModelError: a `saved_model.pb` with assets beside it is damaged.

    Example:
        >>> detect("gs://b/m")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        fastload.errors.UnsupportedSourceError: [FL201] 'gs://b/m' is a remote path; copy it ...
    """
    spelled = local_path(path)
    try:
        status = os.stat(spelled)  # noqa: PTH116 - a `Path` drops what makes the system refuse it
        real = Path(os.path.realpath(spelled))
        kind = _folder_kind(real) if stat.S_ISDIR(status.st_mode) else _file_kind(real, status)
        if kind is SourceKind.KERAS_SHARDS:
            real = _where_it_is_named(spelled)
        files = tuple(_files(real, kind))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnsupportedSourceError(f"{spelled!r} cannot be read: {reason}") from error
    return ModelSource(
        path=real,
        kind=kind,
        suffix=Path(spelled).suffix.lower(),
        files=files,
        is_url=os.fsdecode(path) != spelled,
    )


def _where_it_is_named(spelled: str) -> Path:
    """Return an absolute path without following the file's own link: its shards are beside that."""
    given = Path(spelled)
    return Path(os.path.realpath(given.parent), given.name)


def local_path(path: object) -> str:
    """Return *path* as the text of a local path, without `file://`.

    Raises:
        UnsupportedSourceError: it is not a local path.

    Example:
        >>> local_path("file:///models/a.keras")
        '/models/a.keras'
    """
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise UnsupportedSourceError(f"a {type(path).__name__} object is not a path")
    spelled: str = without_scheme(os.fsdecode(path))
    if _URL.match(spelled):
        raise UnsupportedSourceError(f"{spelled!r} is a remote path; copy it to a local disk")
    return spelled


def is_address(path: object) -> bool:
    """Say whether *path* is an address, which is neither a path of this disk nor one of TensorFlow.

    Example:
        >>> is_address("s3://bucket/model.keras"), is_address("C:/model"), is_address("ram://model")
        (True, False, False)
    """
    is_text = isinstance(path, str) and _URL.match(path) is not None
    return is_text and not str(path).lower().startswith(_SERVED_OTHERWISE)


def without_scheme(path: Any) -> Any:
    """Return the local path that a `file://` address means; anything else as it is."""
    is_address = isinstance(path, str) and path.startswith(_FILE_URL)
    return path[len(_FILE_URL) - 1 :] if is_address else path


def _folder_kind(folder: Path) -> SourceKind:
    """Say which kind of model is in a folder."""
    if any((folder / name).exists() for name in (SAVED_MODEL, SAVED_MODEL_TEXT)):
        return SourceKind.SAVED_MODEL
    if (folder / UNPACKED[0]).exists():
        return SourceKind.KERAS_FOLDER
    for marker, what in _OTHER_FOLDERS.items():
        if (folder / marker).exists():
            raise UnsupportedSourceError(f"'{folder}' is {what}")
    if any(folder.glob(_ORBAX_STEPS)):
        raise UnsupportedSourceError(f"'{folder}' is a folder of Orbax checkpoints")
    raise UnsupportedSourceError(f"'{folder}' is a folder without {SAVED_MODEL}")


def is_unpacked(folder: Path) -> bool:
    """Say whether a folder has what stock Keras 3 needs of an unpacked archive."""
    config, _, weights = UNPACKED
    return (folder / config).exists() and (folder / weights).exists()


def _file_kind(path: Path, status: os.stat_result) -> SourceKind:
    """Return a file's kind by its signature."""
    # Before opening: a named pipe would wait for a writer.
    if not stat.S_ISREG(status.st_mode):
        raise UnsupportedSourceError(f"'{path}' is neither a file nor a folder")
    if status.st_size == 0:
        raise UnsupportedSourceError(f"'{path}' is empty")
    with path.open("rb", buffering=0) as file:
        start = file.read(len(ZIP_SIGNATURE))
        if start == ZIP_SIGNATURE:
            return SourceKind.KERAS_ARCHIVE
        if start.startswith(b"{"):
            return SourceKind.KERAS_SHARDS
        for offset in signature_offsets(status.st_size):
            file.seek(offset)
            if file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE:
                return SourceKind.KERAS_HDF5
    raise UnsupportedSourceError(f"'{path}' is neither HDF5 nor zip")


def signature_offsets(size_bytes: int) -> Iterator[int]:
    """Yield every offset at which HDF5 looks for its signature in a file of *size_bytes*.

    Example:
        >>> list(signature_offsets(3000))
        [0, 512, 1024, 2048]
    """
    offset = 0
    while offset < size_bytes:
        yield offset
        offset = offset * 2 or 512


def _files(path: Path, kind: SourceKind) -> Iterator[FileStat]:
    """Stat what a stock loader would read, sorted by name."""
    if kind is SourceKind.SAVED_MODEL:
        graph = SAVED_MODEL if (path / SAVED_MODEL).exists() else SAVED_MODEL_TEXT
        names = [graph, *_shard_names(path), *_asset_names(path, graph)]
        names += [name for name in _OPTIONAL_FILES if (path / name).exists()]
    elif kind is SourceKind.KERAS_FOLDER:
        names = [name for name in UNPACKED if (path / name).exists()]
        names += _all_asset_names(path)
    elif kind is SourceKind.KERAS_SHARDS:
        # Imported here: few weights are in shards.
        from fastload.source.shards import read_map, shard_names

        names = ["", *(_BESIDE + name for name in shard_names(path.name, read_map(path)))]
    else:
        names = [""]
    asset_bytes = 0
    for name in sorted(names):
        file = _stat_file(path, name)
        asset_bytes += file.size if name.startswith(_ASSETS) else 0
        if asset_bytes > _MOST_ASSET_BYTES:
            raise UnsupportedSourceError(f"'{path}' has assets of over {_MOST_ASSET_BYTES:,} bytes")
        yield file


def _all_asset_names(root: Path) -> Iterator[str]:
    """Yield the name of each file below the folder of assets; links to files are followed.

    Raises:
        UnsafeSourceError: a folder is a link, which some versions of Keras follow, and some refuse.
    """
    for count, path in enumerate(_below(root / _ASSETS)):
        if count >= _MOST_ENTRIES:
            raise UnsupportedSourceError(f"'{root / _ASSETS}' has over {count:,} files")
        yield path.relative_to(root).as_posix()


def _below(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        for name in folders:
            if Path(folder, name).is_symlink():
                raise UnsafeSourceError(f"'{Path(folder, name)}' is a link to a folder")
        yield from (Path(folder, name) for name in files)


def _shard_names(root: Path) -> Iterator[str]:
    """Yield the names of the checkpoint's files."""
    if not (root / _VARIABLES).is_dir():
        return
    with os.scandir(root / _VARIABLES) as entries:
        for count, entry in enumerate(entries):
            if count >= _MOST_ENTRIES:
                raise UnsupportedSourceError(f"'{root / _VARIABLES}' has over {count:,} entries")
            if _CHECKPOINT.fullmatch(entry.name):
                yield f"{_VARIABLES}/{entry.name}"


def _asset_names(root: Path, graph: str) -> Iterator[str]:
    """Yield the names of the assets that the file called *graph* lists and the folder has."""
    folder = root / _ASSETS
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        if next(entries, None) is None:
            return
    if graph == SAVED_MODEL_TEXT:  # which only TensorFlow reads
        raise UnsupportedSourceError(f"'{root}' is a SavedModel in text form, with assets")
    # Imported here: most SavedModels have no assets.
    from fastload.source.saved_model_parts import read_asset_names

    for name in read_asset_names(root / SAVED_MODEL):
        if not {"", ".", ".."}.isdisjoint(name.split("/")):
            raise UnsafeSourceError(f"the asset {name!r} lies outside of '{folder}'")
        if (folder / name).exists():
            yield f"{_ASSETS}/{name}"


def _stat_file(root: Path, name: str) -> FileStat:
    status = place_of(root, name).stat()
    if not stat.S_ISREG(status.st_mode):
        raise UnsupportedSourceError(f"{name!r} in '{root}' is not a regular file")
    return FileStat.of(name, status)


def place_of(root: Path, name: str) -> Path:
    """Return where a file of the source at *root* is, by the name that it has there.

    Example:
        >>> place_of(Path("/models/a.weights.json"), "../a_00000.weights.h5").as_posix()
        '/models/a_00000.weights.h5'
    """
    return root.parent / name[len(_BESIDE) :] if name.startswith(_BESIDE) else root / name


class SourceKind(str, Enum):
    """The kind of a source, by content."""

    SAVED_MODEL = "saved_model"  #: a folder with `saved_model.pb`, or `.pbtxt`
    KERAS_ARCHIVE = "keras_archive"  #: a zip with `config.json` and `model.weights.h5`
    KERAS_FOLDER = "keras_folder"  #: such an archive, unpacked: a folder with `config.json`
    KERAS_HDF5 = "keras_hdf5"  #: an HDF5 file with a `model_config` attribute, or of weights
    KERAS_SHARDS = "keras_shards"  #: a JSON file that maps weights to HDF5 files beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStat:
    """What identifies a file that was seen before, without reading it.

    Attributes:
        name: path relative to the source (`""` for a source that is one file); `place_of` says
            where that is.
        size, mtime_ns, ctime_ns, inode, device: as in `os.stat_result`.
    """

    name: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, name: str, status: os.stat_result) -> FileStat:
        """Return what *status* says of the file called *name*."""
        return cls(
            name=name,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
            inode=status.st_ino,
            device=status.st_dev,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model on disk.

    Attributes:
        path: absolute path, links resolved.
        kind: its kind, by content.
        suffix: the suffix of the path as the user spelled it (`.keras`), lower case; stock
            loaders look at it.
        files: every file that a stock loader would read, with its stat.
        digest: hex digest of its content, where a reference tells it: then nobody has looked at
            *path*, and no files are known.
        is_url: it was spelled as an address (`file://`), which some stock loaders do not open.
    """

    path: Path
    kind: SourceKind
    suffix: str
    files: tuple[FileStat, ...]
    digest: str | None = None
    is_url: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Identity of a source's content.

    Attributes:
        digest: hex SHA-256 over the kind and over name and content of every file.
        files: the stats of the files when they were read.
        settled: whether equal stats mean equal content; False if a file changed so recently that a
            later change may leave its stat as it is.
    """

    digest: str
    files: tuple[FileStat, ...]
    settled: bool
