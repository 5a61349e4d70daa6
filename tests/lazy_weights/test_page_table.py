"""Pages of a file that somebody wrote into are told from those that nobody did."""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path
from typing import Any

import pytest

from fastload.lazy_weights.pages import has_pagemap, is_in_memory, was_written

PAGES = 64
SIZE = PAGES * mmap.PAGESIZE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture
def memory(tmp_path: Path) -> Any:
    """A file, mapped copy-on-write, as an array of bytes."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (SIZE // 256))
    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return (ctypes.c_ubyte * SIZE).from_buffer(pages)


def test_pages_that_nobody_touched_or_read_were_not_written(memory: Any) -> None:
    untouched = was_written(ctypes.addressof(memory), SIZE)
    assert sum(memory[:: mmap.PAGESIZE]) == 0

    assert (untouched, was_written(ctypes.addressof(memory), SIZE)) == (False, False)


@pytest.mark.parametrize("place", [0, 5 * mmap.PAGESIZE + 7, SIZE - 1])
def test_one_byte_written_is_found(memory: Any, place: int) -> None:
    """It has the same value as before: the page is a copy all the same."""
    memory[place] = memory[place]

    assert was_written(ctypes.addressof(memory), SIZE)


def test_only_the_pages_asked_about_are_looked_at(memory: Any) -> None:
    address = ctypes.addressof(memory)
    memory[mmap.PAGESIZE] = 1

    within = was_written(address + mmap.PAGESIZE + 100, 8)
    beside = [was_written(address, mmap.PAGESIZE), was_written(address + 2 * mmap.PAGESIZE, 1)]

    assert (within, beside) == (True, [False, False])


def test_pages_are_in_memory_once_they_are_touched(memory: Any) -> None:
    address = ctypes.addressof(memory)
    before = is_in_memory(address, SIZE)
    assert memory[0] == 0

    assert (has_pagemap(), before, is_in_memory(address, SIZE)) == (True, False, True)
