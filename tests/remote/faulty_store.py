"""A store in this process that can be made to fail in any way, for the tests of stores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from fastload.remote import faults, fetching, filesystems

#: What a test has a store do in place of an operation: it gets its name, what it would do, and the
#: path, and returns what comes of it.
Fault = Callable[[str, Callable[[], Any], str], Any]
URL: Final = "faulty://bucket/twins"
TIMEOUT_S: Final = 1.0


def works(_name: str, does: Callable[[], Any], _path: str) -> Any:
    """Do what a store should do."""
    return does()


class Faulty(MemoryFileSystem):  # type: ignore[misc]
    """A store in memory, all of whose operations go through `fault`; `asked` lists them."""

    protocol = "faulty"
    store: dict[str, Any] = {}  # noqa: RUF012 - as fsspec has it: one store in a process
    pseudo_dirs = [""]  # noqa: RUF012
    fault: Fault = staticmethod(works)
    asked: list[tuple[str, str]] = []  # noqa: RUF012

    def _through(self, name: str, does: Callable[[], Any], path: str) -> Any:
        Faulty.asked.append((name, path))
        return Faulty.fault(name, does, path)

    def ls(self, path: str, detail: bool = True, **more: Any) -> Any:
        listed = super().ls
        return self._through("ls", lambda: listed(path, detail=detail, **more), path)

    def cat_file(self, path: str, start: int = 0, end: int | None = None, **more: Any) -> Any:
        content = super().cat_file
        return self._through("cat_file", lambda: content(path, start=start, end=end), path)

    def put_file(self, lpath: str, rpath: str, **more: Any) -> Any:
        put = super().put_file
        return self._through("put_file", lambda: put(lpath, rpath, **more), rpath)

    def mv(self, path1: str, path2: str, **more: Any) -> Any:
        move = super().mv
        return self._through("mv", lambda: move(path1, path2, **more), path2)

    @classmethod
    def objects(cls) -> dict[str, bytes]:
        """Return what is in the store, by path."""
        return {path: bytes(file.getvalue()) for path, file in cls.store.items()}


class Stall:
    """A store that answers no more, until the test is over."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def __call__(self, *_: object) -> Any:
        self.over.wait(60)
        raise ConnectionError("the test is over")


@pytest.fixture
def faulty(cache_root: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Faulty]]:
    """The store that loads of the test use. It is empty, works, and sends small parts."""
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    Faulty.store.clear()
    Faulty.asked.clear()
    Faulty.fault = staticmethod(works)
    monkeypatch.setenv("FASTLOAD_REMOTE", URL)
    monkeypatch.setenv("FASTLOAD_REMOTE_TIMEOUT", str(TIMEOUT_S))
    monkeypatch.setattr(fetching, "PART_BYTES", 2000)
    monkeypatch.setattr(filesystems, "_PAUSE_S", 0.0)
    yield Faulty
    Faulty.fault = staticmethod(works)


@pytest.fixture
def stall() -> Iterator[Stall]:
    made = Stall()
    yield made
    made.over.set()


@pytest.fixture(autouse=True)
def nothing_is_known_of_stores() -> Iterator[None]:
    """No store is known to be away, and nothing was told."""
    faults._away_until_s.clear()
    faults._told.clear()
    yield
    faults._away_until_s.clear()
    faults._told.clear()
