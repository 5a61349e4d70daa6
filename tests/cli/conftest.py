"""A cache of twins that the real writer made, and the command line run in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import fastload
from fastload.cache.directory import CacheDir
from fastload.cache.entry import CacheEntry, entry_name
from fastload.cache.memo import remember
from fastload.cli.main import commands
from fastload.source.detect import Fingerprint, detect
from fastload.twin.format import FORMAT_VERSION, Manifest, WeightSpec
from fastload.twin.writer import write_twin

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
KERNEL = np.arange(6000, dtype=np.float32).reshape(60, 100)
ARRAYS = {
    "model_weights/dense/kernel:0": KERNEL,
    "model_weights/dense/bias:0": np.ones(100, np.float16),
    "model_weights/dense/step": np.array(0x0123_4567_89AB_CDEF, np.int64),
}

Cli = Callable[..., Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins:
    """Puts twins into a cache."""

    cache: CacheDir

    def add(
        self, digest: str, *, generation: str = "keras3", unused_s: float = 0.0, **manifest: Any
    ) -> CacheEntry:
        """Write the twin of a content that is told by its *digest*."""
        self.cache.ensure()
        name = entry_name(digest, generation, FORMAT_VERSION)
        entry = CacheEntry(cache=self.cache, name=name)
        about = Manifest(
            source_digest=digest,
            generation=generation,
            **{"source_kind": "keras_hdf5", **manifest},
        )
        specs = [
            WeightSpec(name=key, dtype=value.dtype.name, shape=value.shape)
            for key, value in ARRAYS.items()
        ]
        write_twin(entry.path, about, specs, ARRAYS.items())
        written_s = entry.path.stat().st_mtime - unused_s
        os.utime(entry.path, (written_s, written_s))
        return entry

    def add_for(self, model: Path, digest: str, **options: Any) -> CacheEntry:
        """Write the twin of a model file, which is made, and remember whose it is."""
        model.write_bytes(HDF5_SIGNATURE + digest.encode())
        entry = self.add(digest, **options)
        source = detect(model)
        content = Fingerprint(digest=digest, files=source.files, settled=True)
        remember(self.cache, source.path, content, converter="any")
        return entry


@pytest.fixture
def twins(cache_root: Path) -> Twins:
    """The cache of this test, which is not made before a twin is added."""
    return Twins(cache=CacheDir(root=cache_root))


@pytest.fixture
def cli(cache_root: Path) -> Iterator[Cli]:
    """Run the command line in this process."""

    def run(*words: object, **options: Any) -> Result:
        return CliRunner().invoke(commands, [str(word) for word in words], **options)

    yield run
    fastload.uninstall()  # `doctor` installs the hooks


def document_of(result: Result) -> Any:
    """Return the one JSON document that a command printed."""
    return json.loads(result.stdout)


def damage(entry: CacheEntry, data: bytes = KERNEL.tobytes()) -> None:
    """Flip a bit of the twin, in the middle of *data*."""
    content = bytearray(entry.path.read_bytes())
    content[content.index(data) + len(data) // 2] ^= 1
    entry.path.write_bytes(content)
