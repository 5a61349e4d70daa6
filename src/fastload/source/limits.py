"""Limits of what a file may unpack to, for HDF5 and zip."""

from __future__ import annotations

from typing import Final

#: Anything up to this size is harmless to read, however little is stored.
BOMB_FLOOR_BYTES: Final = 64 * 2**20
#: HDF5 files hold zero-filled and compressed weights; real ones stay far below this ratio.
HDF5_EXPANSION: Final = 1000
#: Keras stores zip members uncompressed, and rejects a higher ratio itself.
ZIP_EXPANSION: Final = 100
#: Floor of the check of all datasets of a file together, each of which may look harmless.
HDF5_TOTAL_FLOOR_BYTES: Final = 4 * 2**30


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
