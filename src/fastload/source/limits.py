"""Limits of what a file may unpack to, for HDF5 and zip, and of the work that it may cause."""

from __future__ import annotations

from typing import Final

#: Anything up to this size is harmless to read, however little is stored.
BOMB_FLOOR_BYTES: Final = 64 * 2**20
#: HDF5 files hold zero-filled and compressed weights; real ones stay far below this ratio.
HDF5_EXPANSION: Final = 1000
#: All weights of a file together, which a conversion writes even where stock reads none of them.
HDF5_TOTAL_EXPANSION: Final = 20
#: Keras stores zip members uncompressed, and rejects a higher ratio itself.
ZIP_EXPANSION: Final = 100
#: Keras variables are numbers; each string is read by itself.
MOST_STRINGS: Final = 1024
#: Keras writes an asset or two for each layer with a vocabulary.
MOST_ASSETS: Final = 1024

_FEW_OBJECTS: Final = 2048
#: A layer, initializer or policy in a configuration, at most: a layer's group and weights, and the
#: optimizer's copies of those.
_OBJECTS_OF_A_CLASS: Final = 16
#: Converting an object takes about as long as reading so many bytes, which stock does as well.
_BYTES_OF_AN_OBJECT: Final = 2**16
#: A group with one small dataset takes more than this in an HDF5 file.
_BYTES_OF_A_SMALL_OBJECT: Final = 2**9
_MANY_OBJECTS: Final = 2**16
_FEW_CHUNKS: Final = 2**16
_BYTES_OF_A_CHUNK: Final = 256


def is_bomb(
    declared_bytes: int, stored_bytes: int, *, expansion: int, floor_bytes: int = BOMB_FLOOR_BYTES
) -> bool:
    """Say whether something unpacks to far more than is stored.

    Args:
        declared_bytes: size after unpacking, in bytes, as the file states it.
        stored_bytes: bytes that the file spends on it.
        expansion: the highest ratio of the two that is accepted.
        floor_bytes: sizes up to this many bytes are always accepted.

    Example:
        >>> is_bomb(2**40, 4096, expansion=1000)
        True
        >>> is_bomb(2**20, 0, expansion=1000)
        False
    """
    return declared_bytes > floor_bytes and declared_bytes > expansion * stored_bytes


def most_objects(file_bytes: int, config: bytes) -> int:
    """Return how many groups and datasets the HDF5 file of a model may have.

    Args:
        file_bytes: size of the file.
        config: the configuration of the model, as JSON.

    Example:
        >>> most_objects(2**20, b'{"class_name": "Dense"}')
        2080
    """
    described = config.count(b'"class_name"')
    return _FEW_OBJECTS + _OBJECTS_OF_A_CLASS * described + file_bytes // _BYTES_OF_AN_OBJECT


def most_objects_without_config(file_bytes: int) -> int:
    """Return how many groups and datasets a file of weights may have, which tells of no model.

    Example:
        >>> most_objects_without_config(2**20)
        4112
    """
    described = min(file_bytes // _BYTES_OF_A_SMALL_OBJECT, _MANY_OBJECTS)
    return _FEW_OBJECTS + described + file_bytes // _BYTES_OF_AN_OBJECT


def most_chunks(file_bytes: int) -> int:
    """Return into how many chunks the datasets of an HDF5 file of *file_bytes* may be cut.

    Example:
        >>> most_chunks(2**20)
        69632
    """
    return _FEW_CHUNKS + file_bytes // _BYTES_OF_A_CHUNK
