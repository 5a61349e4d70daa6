"""The file in memory behaves as any file, and knows what was written to it."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from fastload.twin.hdf5_layout import SparseFile

SPANS = st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=5000))
WRITES = st.lists(SPANS, max_size=8)


def written(writes: list[tuple[int, bytes]], file: io.RawIOBase | io.BytesIO) -> bytes:
    """Carry out *writes* and return all of the file."""
    for offset, data in writes:
        file.seek(offset)
        assert file.write(data) == len(data)
        assert file.tell() == offset + len(data)
    buffer = bytearray(file.seek(0, io.SEEK_END))
    file.seek(0)
    file.readinto(buffer)
    return bytes(buffer)


@given(writes=WRITES)
def test_it_reads_as_a_file_of_python_does(writes: list[tuple[int, bytes]]) -> None:
    """Overlaps, holes and page borders included."""
    assert written(writes, SparseFile()) == written(writes, io.BytesIO())


@given(writes=WRITES)
def test_its_pieces_are_what_was_written_and_nothing_else(
    writes: list[tuple[int, bytes]],
) -> None:
    """A hole is never given as zeros: weights lie there."""
    file, expected = SparseFile(), set()
    content = written(writes, file)
    for offset, data in writes:
        expected |= set(range(offset, offset + len(data)))

    pieces = list(file.pieces())

    assert {at for start, piece in pieces for at in range(start, start + len(piece))} == expected
    assert all(content[start : start + len(piece)] == piece for start, piece in pieces)


def test_holes_take_no_memory() -> None:
    """A file of a terabyte is as light as what is in it."""
    file = SparseFile()
    file.truncate(2**40)
    file.seek(-2, io.SEEK_END)
    file.write(b"ab")

    assert file.size == 2**40
    assert list(file.pieces()) == [(2**40 - 2, b"ab")]
