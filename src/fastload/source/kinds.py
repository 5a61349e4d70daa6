"""The values that describe a source: kind, files, fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class SourceKind(str, Enum):
    """The kind of a source, by content."""

    SAVED_MODEL = "saved_model"  #: a folder with `saved_model.pb`
    KERAS_ARCHIVE = "keras_archive"  #: a zip with `config.json` and `model.weights.h5`
    KERAS_HDF5 = "keras_hdf5"  #: an HDF5 file with a `model_config` attribute


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStat:
    """What identifies a file that was seen before, without reading it.

    Attributes:
        name: path relative to the source (`""` for a source that is one file).
        size, mtime_ns, ctime_ns, inode, device: as in `os.stat_result`.
    """

    name: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model on disk.

    Attributes:
        path: absolute path, links resolved.
        kind: its kind, by content.
        suffix: the suffix of the path as the user spelled it (`.keras`), lower case; stock
            loaders look at it.
        files: every file that a stock loader would read, with its stat.
    """

    path: Path
    kind: SourceKind
    suffix: str
    files: tuple[FileStat, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Identity of a source's content.

    Attributes:
        digest: hex SHA-256 over the kind and over name and content of every file.
        files: the stats of the files when they were read; equal stats mean equal content.
        settled: False if a file changed so recently that a later change may leave its stat as it
            is; then it must not be remembered.
    """

    digest: str
    files: tuple[FileStat, ...]
    settled: bool
