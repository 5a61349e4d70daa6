"""From a source of any kind to a twin."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from fastload.convert.conversion import Conversion
from fastload.convert.from_archive import converting_archive, converting_folder
from fastload.convert.from_hdf5 import converting_hdf5
from fastload.convert.from_weights import converting_shards, converting_weights
from fastload.errors import UnsupportedSourceError
from fastload.source.detect import Fingerprint, ModelSource, SourceKind
from fastload.twin.format import KERAS_SECTION, WEIGHTS_SECTION, Manifest
from fastload.twin.writer import write_without_digests


def require_convertible(
    source: ModelSource, fingerprint: Fingerprint, generation: str, section: str = KERAS_SECTION
) -> Manifest:
    """Check that a file can be converted: read all of it but its weights, without TensorFlow.

    Returns:
        The manifest that its twin would have.

    Raises:
        BypassError: it cannot be converted; the message says why.
    """
    try:
        with _converting_file(source, fingerprint, generation, section) as found:
            return found.manifest
    except RecursionError as error:
        reason = f"{str(source.path)!r} cannot be converted: {error}"
        raise UnsupportedSourceError(reason) from error


def _converting_file(
    source: ModelSource, fingerprint: Fingerprint, generation: str, section: str
) -> AbstractContextManager[Conversion]:
    if section == WEIGHTS_SECTION and source.kind is SourceKind.KERAS_HDF5:
        return converting_weights(source, fingerprint, generation)
    converting = {
        SourceKind.KERAS_HDF5: converting_hdf5,
        SourceKind.KERAS_ARCHIVE: converting_archive,
        SourceKind.KERAS_FOLDER: converting_folder,
        SourceKind.KERAS_SHARDS: converting_shards,
    }
    return converting[source.kind](source, fingerprint, generation)


def convert(
    path: Path, source: ModelSource, fingerprint: Fingerprint, generation: str, section: str
) -> int:
    """Write the twin of *source* to *path*, one tensor at a time, without digests of weights.

    Args:
        path: the file to write.
        source: what to convert.
        fingerprint: its fingerprint.
        generation: the Keras that the twin is for, `keras2` or `keras3`.
        section: what the twin must be able to serve; see `twin.format`.

    Returns:
        Size of the twin in bytes.

    Raises:
        BypassError: the source cannot be converted; the message says why.
    """
    with ExitStack() as files:
        if source.kind is SourceKind.SAVED_MODEL:
            # Imported here: files are converted without TensorFlow.
            from fastload.convert.from_saved_model import convert_saved_model

            found = convert_saved_model(source, fingerprint, generation, section)
        else:
            found = files.enter_context(_converting_file(source, fingerprint, generation, section))
        return write_without_digests(path, found.manifest, found.specs, found.stream())
