"""Weights to lend: in files, and in memory that tells what is done with it."""

from __future__ import annotations

import ctypes
import gc
import mmap
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fastload.lazy_weights import lender
from fastload.lazy_weights.budget import Budget
from fastload.lazy_weights.lending_plan import LazyWeight, layer_of
from fastload.lazy_weights.places import NeedOrder, Place, Shelf
from fastload.twin.format import WeightRef

PAGE = mmap.PAGESIZE


def ref(name: str, nbytes: int, offset: int = 0, dtype: str = "uint8") -> WeightRef:
    """Return where a vector of *nbytes* bytes is."""
    shape = (nbytes // max(np.dtype(dtype if dtype != "string" else "u1").itemsize, 1),)
    return WeightRef(name=name, dtype=dtype, shape=shape, offset=offset, nbytes=nbytes, sha256="")


def weight(name: str, nbytes: int = PAGE, offset: int = 0) -> LazyWeight:
    """Return a weight of *nbytes* bytes at *offset*."""
    return LazyWeight(ref=ref(name, nbytes, offset), layer=layer_of(name))


def random_file(path: Path, nbytes: int) -> bytes:
    """Write a file of random bytes and return them."""
    content = np.random.default_rng(1).bytes(nbytes)
    path.write_bytes(content)
    return content


@dataclass(eq=False, kw_only=True)
class FakePiece:
    """Memory that tells what is done with it.

    Attributes:
        memory: what it is.
        pages: which made it.
        is_ready: whether it was read.
    """

    memory: Any
    pages: FakePages
    is_ready: bool = False
    can_be_watched = False

    def read(self) -> None:
        self.pages.check()
        self.pages.gate.wait(10)
        self.pages.reads += 1
        self.is_ready = True

    def drop_pages(self) -> None:
        raise NotImplementedError

    def is_touched(self) -> bool:
        return True

    def owner(self) -> Any:
        return (ctypes.c_ubyte * len(self.memory)).from_buffer(self.memory)

    def was_written(self) -> bool:
        return any(self.memory)

    def close(self) -> None:
        self.pages.open.remove(self)


def _open_gate() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate


@dataclass(eq=False, kw_only=True)
class FakePages:
    """Pages of no file.

    Attributes:
        error: raised by whoever reads.
        gate: whoever reads waits until it is open.
        reads: how many pieces were read.
        open: pieces that are in memory.
        advised: names of weights that the system was told of.
    """

    error: BaseException | None = None
    gate: threading.Event = field(default_factory=_open_gate)
    reads: int = 0
    open: list[FakePiece] = field(default_factory=list)
    advised: list[str] = field(default_factory=list)

    def piece(self, weight: LazyWeight) -> FakePiece:
        piece = FakePiece(memory=bytearray(weight.nbytes), pages=self)
        self.open.append(piece)
        return piece

    def advise(self, weight: LazyWeight) -> None:
        self.advised.append(weight.name)

    def content(self, weight: LazyWeight) -> bytes:
        self.check()
        return bytes(weight.ref.nbytes)

    def check(self) -> None:
        """Raise the error, if there is one: a new one, whose frames nobody keeps."""
        if self.error is not None:
            raise type(self.error)(*self.error.args)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(len(piece.memory) for piece in list(self.open))


def shelf_of(pages: Mapping[str, int] | Iterable[str]) -> Shelf:
    """Return a shelf of weights, each of so many pages, or of one."""
    sizes = pages if isinstance(pages, Mapping) else dict.fromkeys(pages, 1)
    shelf = Shelf(pages=FakePages(), order=NeedOrder(sizes))
    for name, count in sizes.items():
        shelf.places[name] = Place(weight=weight(name, count * PAGE), shelf=shelf)
    return shelf


def here(budget: Budget) -> set[str]:
    """Return the names of the weights that are in memory."""
    return {place.weight.name for place in budget._here}


def check_sums(budget: Budget, *shelves: Shelf, kept: int = 0) -> None:
    """Check that what the budget has written down is what there is, and no more than it may be."""
    gc.collect()
    with budget.changed:
        there = sum(place.weight.nbytes for place in budget._here)
        assert budget.used == there + kept
        assert sum(shelf.pages.nbytes for shelf in shelves) == there
        assert budget.used <= budget.high_water <= budget.limit
        assert all(place.piece is not None for place in budget._here)


@contextmanager
def in_use(array: np.ndarray) -> Iterator[None]:
    """Have a thread look at all of an array, again and again, while the block runs."""
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            array.sum()

    user = threading.Thread(target=look, daemon=True)
    user.start()
    try:
        yield
    finally:
        stop.set()
        user.join()


def end_readers() -> None:
    """End the threads that read ahead; each starts again when it is needed."""
    for reader in list(lender._read_aheads.values()):
        thread = reader._thread
        while thread is not None and thread.is_alive():
            reader._wakes.put(False)
            thread.join(0.1)
