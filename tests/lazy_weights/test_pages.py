"""Pieces of files: their content, and whether somebody wrote into them."""

from __future__ import annotations

import ctypes
import gc
import mmap
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fastload.lazy_weights import pages as pages_module
from fastload.lazy_weights.lender import array_over
from fastload.lazy_weights.pages import MappedPages, Pages, ReadPages, pages_of, was_written
from tests.lazy_weights.weights import PAGE, random_file, weight

FILE_NBYTES = 5 * PAGE + 777
#: Offsets and lengths: whole pages, parts of some, across borders, up to the end of the file.
EXTENTS = [(0, PAGE), (64, 100), (PAGE - 64, 200), (3 * PAGE, 2 * PAGE + 777), (5 * PAGE, 777)]
KINDS = [MappedPages, ReadPages]

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file whose length is no multiple of anything."""
    return tmp_path / "weights"


def bytes_of(pages: Pages, offset: int, nbytes: int) -> bytes:
    found = weight("w", nbytes, offset)
    piece = pages.piece(found)
    piece.read()
    assert piece.is_ready
    content = array_over(piece.owner(), found).tobytes()
    gc.collect()
    piece.close()
    return content


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("offset", "nbytes"), EXTENTS)
def test_a_piece_has_the_bytes_of_its_weight(
    path: Path, kind: Callable[[Path], Pages], offset: int, nbytes: int
) -> None:
    """Wherever it begins and ends."""
    content, pages = random_file(path, FILE_NBYTES), kind(path)

    assert bytes_of(pages, offset, nbytes) == content[offset : offset + nbytes]
    assert pages.content(weight("w", nbytes, offset)) == content[offset : offset + nbytes]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_gone_is_read_all_the_same(
    path: Path, kind: Callable[[Path], Pages]
) -> None:
    """A twin may be removed from the cache while a model uses it."""
    content, pages = random_file(path, FILE_NBYTES), kind(path)
    path.unlink()

    assert bytes_of(pages, 64, PAGE) == content[64 : 64 + PAGE]


@pytest.mark.parametrize("kind", KINDS)
def test_reading_gets_a_piece_ready(path: Path, kind: Callable[[Path], Pages]) -> None:
    """The system is told besides; it may do nothing."""
    content, pages = random_file(path, FILE_NBYTES), kind(path)
    found = weight("w", 2 * PAGE)
    piece = pages.piece(found)
    pages.advise(found)
    piece.read()

    assert piece.is_ready
    assert bytes(piece.owner()) == content[: 2 * PAGE]


def test_a_file_that_ends_early_is_an_error(path: Path) -> None:
    """A cut file must not become zeros."""
    random_file(path, PAGE)
    piece = ReadPages(path).piece(weight("w", 2 * PAGE))
    with pytest.raises(OSError, match="the file ended within 'w'"):
        piece.read()
    with pytest.raises(OSError, match="the file ended within 'w'"):
        MappedPages(path).content(weight("w", 2 * PAGE))


def test_what_cannot_be_mapped_is_an_error(path: Path) -> None:
    """It says which weight, and what the system says."""
    random_file(path, PAGE)
    with pytest.raises(MemoryError, match=r"'w' could not be mapped: .+"):
        MappedPages(path).piece(weight("w", 2**60))


@on_linux
def test_a_written_page_is_noticed(path: Path) -> None:
    """Reading leaves no trace; writing one byte does, and the file keeps its own."""
    content = random_file(path, FILE_NBYTES)
    piece = MappedPages(path).piece(weight("w", FILE_NBYTES))
    before = piece.was_written()
    owner = piece.owner()
    assert bytes(owner[:FILE_NBYTES]) == content
    after_reading = piece.was_written()
    owner[3 * PAGE + 5] ^= 1

    assert (before, after_reading, piece.was_written()) == (False, False, True)
    assert path.read_bytes() == content
    assert not was_written(ctypes.addressof(owner), PAGE)
    assert was_written(ctypes.addressof(owner) + 3 * PAGE + 100, 1)


@on_linux
def test_a_piece_that_is_used_touches_its_pages(path: Path) -> None:
    """They are dropped to see whether they come again; the bytes are the same then."""
    content = random_file(path, FILE_NBYTES)
    piece = MappedPages(path).piece(weight("w", FILE_NBYTES))
    piece.read()
    owner = piece.owner()
    before = piece.is_touched()
    piece.drop_pages()
    dropped = piece.is_touched()
    assert owner[PAGE] == content[PAGE]

    assert piece.can_be_watched
    assert (before, dropped, piece.is_touched()) == (True, False, True)
    assert bytes(owner[:FILE_NBYTES]) == content


@on_linux
def test_what_was_written_is_not_watched(path: Path) -> None:
    """Its pages must not be dropped: nothing else has what is in them."""
    random_file(path, FILE_NBYTES)
    piece = MappedPages(path).piece(weight("w", FILE_NBYTES))
    piece.owner()[0] ^= 1

    assert not piece.can_be_watched


def test_memory_of_its_own_is_not_watched(path: Path) -> None:
    """It cannot be dropped."""
    random_file(path, PAGE)
    piece = ReadPages(path).piece(weight("w"))

    assert not piece.can_be_watched
    assert piece.is_touched()


@on_linux
def test_a_piece_is_bounded_by_its_own_mapping(path: Path) -> None:
    """The kernel brings in pages around the one that is touched, but none beyond."""
    random_file(path, 64 * PAGE)
    piece = MappedPages(path).piece(weight("w", PAGE, 8 * PAGE))
    owner = piece.owner()
    assert owner[0] == owner[0]
    start = ctypes.addressof(owner)
    resident, is_here = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line.startswith(f"{start:x}-"):
            is_here = True
        elif is_here and line.startswith("Rss:"):
            resident, is_here = int(line.split()[1]) * 1024, False

    assert resident == PAGE


def test_where_nobody_tells_nothing_was_written(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such file in /proc."""
    monkeypatch.setattr(pages_module, "_PAGEMAP", tmp_path / "none")
    random_file(path, PAGE)
    piece = MappedPages(path).piece(weight("w"))
    piece.owner()[0] ^= 1

    assert not piece.was_written()
    assert not piece.can_be_watched


def test_pages_are_read_where_they_cannot_be_mapped(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No C library, or a caller who does not want it."""
    random_file(path, PAGE)

    assert isinstance(pages_of(path), MappedPages)
    assert isinstance(pages_of(path, mapped=False), ReadPages)
    monkeypatch.setattr(pages_module, "_libc", lambda: None)
    assert isinstance(pages_of(path), ReadPages)


@pytest.mark.parametrize("kind", KINDS)
def test_two_pieces_of_one_page_are_two(path: Path, kind: Callable[[Path], Pages]) -> None:
    """Weights that share a page are brought and dropped by themselves."""
    content, pages = random_file(path, PAGE), kind(path)
    first, second = (pages.piece(weight("w", 64, offset)) for offset in (0, 64))
    first.read()
    second.read()
    first.close()

    assert bytes(second.owner())[64:128] == content[64:128]


def test_memory_of_its_own_can_be_written(path: Path) -> None:
    """As a mapping can."""
    random_file(path, PAGE)
    found = weight("w")
    piece = ReadPages(path).piece(found)
    piece.read()
    array = array_over(piece.owner(), found)
    array[:] = 7

    assert np.all(np.frombuffer(piece.owner(), np.uint8) == 7)
    assert not piece.was_written()


def test_pages_are_those_of_the_system() -> None:
    """What a weight takes is counted in them."""
    assert weight("w", 1).nbytes == mmap.PAGESIZE
