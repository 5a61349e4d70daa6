"""System calls that fail: each call of Python's that touches a folder, one at a time."""

from __future__ import annotations

import fcntl
import io
import mmap
import os
import pathlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_BY_PATH = (
    *("stat", "lstat", "statvfs", "scandir", "listdir", "mkdir", "open", "chmod", "utime"),
    *("unlink", "remove", "rename", "replace"),
)
_BY_DESCRIPTOR = ("fstat", "fsync", "read", "write", "ftruncate")


@dataclass
class FaultyCalls:
    """Counts the calls that touch a folder, and has one of them fail.

    Attributes:
        root: the folder.
        fail_at: the number of the call that fails, from 1; 0 for none.
        errno: the error that it fails with.
        calls: what was called so far.
    """

    root: Path
    fail_at: int = 0
    errno: int = 0
    calls: list[str] = field(default_factory=list)
    _descriptors: set[int] = field(default_factory=set)

    def touch(self, what: str, path: Any) -> None:
        """Count a call of *what* on *path*, a path or a descriptor; raise where it is to fail."""
        if not self._is_inside(path):
            return
        self.calls.append(f"{what} {path}")
        if len(self.calls) == self.fail_at:
            raise OSError(self.errno, os.strerror(self.errno), os.fspath(self.root))

    def _is_inside(self, path: Any) -> bool:
        if isinstance(path, int):
            return path in self._descriptors
        name = os.path.normpath(os.fsdecode(path))
        return name == str(self.root) or name.startswith(f"{self.root}{os.sep}")

    def opened(self, path: Any, descriptor: int) -> None:
        """Have calls on *descriptor* count where *path* is in the folder."""
        if self._is_inside(path):
            self._descriptors.add(descriptor)
        else:  # the number of one that was closed
            self._descriptors.discard(descriptor)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Put the counting calls in the place of Python's."""
        for name in (*_BY_PATH, *_BY_DESCRIPTOR):
            patch.setattr(os, name, self._counting(f"os.{name}", getattr(os, name)))
        # What `pathlib` of Python 3.10 calls.
        accessor = getattr(pathlib, "_NormalAccessor", None)
        for name in _BY_PATH:
            if name in vars(accessor or object):
                patch.setattr(accessor, name, staticmethod(getattr(os, name)))
        patch.setattr(os, "access", self._access(os.access))
        patch.setattr(fcntl, "flock", self._counting("flock", fcntl.flock))
        patch.setattr(io, "open", self._open(io.open))
        if hasattr(accessor, "open"):
            patch.setattr(accessor, "open", staticmethod(io.open))
        patch.setattr(mmap, "mmap", _mapping(self))

    def _counting(self, what: str, stock: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any = ".", *arguments: Any, **options: Any) -> Any:
            self.touch(what, path)
            result = stock(path, *arguments, **options)
            if what == "os.open":
                self.opened(path, result)
            return result

        return call

    def _access(self, stock: Callable[..., bool]) -> Callable[..., bool]:
        def access(path: Any, *arguments: Any, **options: Any) -> bool:
            try:
                self.touch("os.access", path)
            except OSError:
                return False
            return stock(path, *arguments, **options)

        return access

    def _open(self, stock: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
            if isinstance(path, int) or not self._is_inside(path):
                file = stock(path, mode, buffering, *rest, **more)
                self._descriptors.discard(file.fileno())  # the number of one that was closed
                return file
            self.touch("open", path)
            raw = _File(self, path, mode.replace("b", "").replace("t", ""))
            if buffering == 0:
                return raw
            buffered = io.BufferedReader(raw) if mode.startswith("r") else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *rest, **more)

        return call


class _File(io.FileIO):
    """A file whose reads and writes count."""

    def __init__(self, calls: FaultyCalls, path: Any, mode: str) -> None:
        super().__init__(path, mode)
        self._calls = calls
        calls.opened(path, self.fileno())

    def readinto(self, buffer: Any, /) -> int:
        self._calls.touch("read", self.fileno())
        return super().readinto(buffer)

    def read(self, size: int | None = -1, /) -> bytes:
        self._calls.touch("read", self.fileno())
        return super().read(-1 if size is None else size)

    def readall(self) -> bytes:
        self._calls.touch("read", self.fileno())
        return super().readall()

    def write(self, data: Any, /) -> int:
        self._calls.touch("write", self.fileno())
        return super().write(data)

    def truncate(self, size: int | None = None, /) -> int:
        self._calls.touch("truncate", self.fileno())
        return super().truncate(size)


def _mapping(calls: FaultyCalls) -> type[mmap.mmap]:
    class Mapping(mmap.mmap):
        def __new__(cls, descriptor: int, *arguments: Any, **options: Any) -> Any:
            calls.touch("mmap", descriptor)
            return super().__new__(cls, descriptor, *arguments, **options)

    return Mapping
