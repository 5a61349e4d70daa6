"""What reading one HDF5 file may take: bounded by the size of the file and by its model.

HDF5 stores little for much: datasets that were never written, texts that are referred to many
times, chunks that exist in name only. Each is within its own limits; the budget is for all of them.
"""

from __future__ import annotations

from fastload.errors import UnconvertibleModelError, UnsafeSourceError
from fastload.source.hdf5_texts import HeaderReader
from fastload.source.limits import (
    BOMB_FLOOR_BYTES,
    HDF5_TOTAL_EXPANSION,
    MOST_STRINGS,
    is_bomb,
    most_chunks,
)


class Budget:
    """What is left for the objects of one HDF5 file.

    Args:
        file_bytes: size of the file.
        headers: reads the headers of its objects, where it has lists of texts.

    Attributes:
        file_bytes, headers: as given.
        most_objects: how many groups and datasets it may have, links to them included.
    """

    def __init__(self, file_bytes: int, headers: HeaderReader | None = None) -> None:
        self.file_bytes, self.headers, self.most_objects = file_bytes, headers, 0
        self._objects = self._value_bytes = 0
        self._text_bytes = file_bytes + BOMB_FLOOR_BYTES
        self._chunks = most_chunks(file_bytes)
        self._strings = MOST_STRINGS

    def take_objects(self, count: int) -> None:
        """Account for *count* further groups and datasets, before they are opened.

        Raises:
            UnconvertibleModelError: they are more than the file's model could use.
        """
        self._objects += count
        if self._objects > self.most_objects:
            raise UnconvertibleModelError(
                f"the HDF5 file has over {self.most_objects:,} groups and datasets,"
                " more than its model could use"
            )

    def take_text(self, count: int) -> None:
        """Account for *count* further bytes of names and attributes.

        Raises:
            UnsafeSourceError: they are more in total than the file stores.
        """
        self.require_text(count)
        self._text_bytes -= count

    def require_text(self, count: int) -> None:
        """Check that there may be *count* further bytes of names and attributes.

        Raises:
            UnsafeSourceError: they are more in total than the file stores.
        """
        if count > self._text_bytes:
            raise UnsafeSourceError(
                "names and attributes in the HDF5 file are longer than the file"
            )

    def take_values(self, count: int) -> None:
        """Account for *count* further bytes of weights, as the file declares them.

        Raises:
            UnsafeSourceError: they are far more in total than the file stores.
        """
        self._value_bytes += count
        if is_bomb(self._value_bytes, self.file_bytes, expansion=HDF5_TOTAL_EXPANSION):
            raise UnsafeSourceError(
                f"the datasets of the HDF5 file declare over {self._value_bytes:,} bytes"
                f" in a file of {self.file_bytes:,}"
            )

    def take_chunks(self, count: int) -> None:
        """Account for *count* further chunks, stored or not.

        Raises:
            UnsafeSourceError: they are far more in total than the file stores.
        """
        self._chunks -= count
        if self._chunks < 0:
            raise UnsafeSourceError("the datasets of the HDF5 file are cut into too many chunks")

    def take_strings(self, count: int) -> None:
        """Account for *count* further strings.

        Raises:
            UnconvertibleModelError: they are more than a Keras model has.
        """
        self._strings -= count
        if self._strings < 0:
            raise UnconvertibleModelError(f"the HDF5 file has over {MOST_STRINGS:,} strings")
