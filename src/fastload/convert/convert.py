"""From a source of any kind to a twin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastload.convert.conversion import Conversion
from fastload.convert.from_archive import converting_archive
from fastload.convert.from_hdf5 import converting_hdf5
from fastload.convert.from_saved_model import convert_saved_model
from fastload.source.detect import Fingerprint, ModelSource, SourceKind
from fastload.twin.writer import write_twin


def convert(
    path: Path, source: ModelSource, fingerprint: Fingerprint, generation: str, section: str
) -> int:
    """Write the twin of *source* to *path*, one tensor at a time.

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
    with _converting(source, fingerprint, generation, section) as conversion:
        return write_twin(path, conversion.manifest, conversion.specs, conversion.stream())


@contextmanager
def _converting(
    source: ModelSource, fingerprint: Fingerprint, generation: str, section: str
) -> Iterator[Conversion]:
    if source.kind is SourceKind.SAVED_MODEL:
        yield convert_saved_model(source, fingerprint, generation, section)
    elif source.kind is SourceKind.KERAS_HDF5:
        with converting_hdf5(source, fingerprint, generation) as conversion:
            yield conversion
    else:
        with converting_archive(source, fingerprint, generation) as conversion:
            yield conversion
