"""What the cache tests share: an empty cache, an entry, workers in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry, entry_name

StartPython = Callable[..., "subprocess.Popen[str]"]

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may do this"
)


@pytest.fixture
def cache(tmp_path: Path) -> CacheDir:
    """A cache folder that is there, empty."""
    cache = CacheDir(root=tmp_path / "cache")
    cache.ensure()
    return cache


@pytest.fixture
def entry(cache: CacheDir) -> CacheEntry:
    """An entry without a twin."""
    return CacheEntry(cache=cache, name=entry_name("ab" * 32, "keras3", 1))


@pytest.fixture
def start_python() -> Iterator[StartPython]:
    """Start a fresh interpreter on a piece of code with arguments; all are ended with the test."""
    running: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        running.append(
            subprocess.Popen(
                command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        )
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("this system mounts no file system in memory")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount file systems")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
