"""A part of a file reads like a file."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.source.keras_archive import ByteRange


class Trickle(io.BytesIO):
    """A file that returns three bytes at a time."""

    def readinto(self, buffer: memoryview) -> int:
        return super().readinto(memoryview(buffer)[:3])


@given(st.binary(), st.data())
def test_it_reads_what_the_same_slice_reads(content: bytes, data: st.DataObject) -> None:
    """Any part, any place, any amount."""
    start = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, len(content) - start))
    expected = io.BytesIO(content[start : start + length])
    part = ByteRange(Trickle(content), start, length)
    for _ in range(4):
        position = data.draw(st.integers(0, length + 5))
        amount = data.draw(st.integers(-1, length + 5))
        expected.seek(position)
        part.seek(position)

        assert expected.read(amount) == part.read(amount)
        assert min(position, length) <= part.tell()


def test_seeking_from_here_and_from_the_end_counts_within_the_part() -> None:
    """HDF5 asks for the size by seeking to the end."""
    part = ByteRange(io.BytesIO(b"0123456789"), 2, 5)

    assert part.seek(0, io.SEEK_END) == 5
    assert part.seek(-2, io.SEEK_CUR) == 3
    assert part.read() == b"56"


def test_a_file_cut_short_is_an_error() -> None:
    """Zeros in place of weights must never pass."""
    with pytest.raises(OSError, match="cut short"):
        ByteRange(io.BytesIO(b"0123"), 2, 5).read()
