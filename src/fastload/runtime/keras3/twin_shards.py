"""Keras 3's own store of weights in shards, over a twin.

Which of the files it has open when it looks for a variable, and what it finds there, is Keras's own
code, which several releases changed. It reads our views for files, and the map from the twin.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from fastload.runtime.core.transplant import methods_over
from fastload.runtime.core.zero_copy import MappedArray
from fastload.twin.format import SHARD_MAP, SHARDS
from fastload.twin.reader import Twin
from fastload.twin.view import TwinGroup


def shard_store(saving_lib: ModuleType, twin: Twin, guards: Mapping[str, Any]) -> type[Any]:
    """Return a subclass of Keras's `ShardedH5IOStore` that reads *twin* for the files at its path.

    Args:
        saving_lib: Keras's module.
        twin: of such weights.
        guards: what stands for the functions with which Keras opens groups and datasets.
    """
    stock, tree = saving_lib.ShardedH5IOStore, saving_lib.H5IOStore
    names = {
        **guards,
        "h5py": SimpleNamespace(File=lambda path, **_: _Shard.of(twin, path)),
        "open": lambda *_, **__: io.StringIO(twin.document(SHARD_MAP).decode()),
    }
    # Between the two: what Keras's class of shards asks of its base is over the twin as well.
    base = type("TwinTree", (tree,), methods_over(saving_lib, tree, names))
    over_twin: Any = type("TwinShards", (stock, base), methods_over(saving_lib, stock, names))

    class MappedShards(over_twin):  # type: ignore[misc]
        """Variables by path, from the twin."""

        def __getitem__(self, name: str) -> Any:
            """Return a variable; older versions check and copy nothing."""
            found = super().__getitem__(name)
            return MappedArray.of(found) if type(found) is np.ndarray else found

    return MappedShards


class _Shard(TwinGroup):
    """One of the files, as h5py would show it open.

    Attributes:
        filename: as it was asked for.
    """

    __slots__ = ("filename",)
    filename: str

    @classmethod
    def of(cls, twin: Twin, path: Any) -> _Shard:
        """Return the shard that is called like the file at *path*.

        Raises:
            KeyError: Keras looks for a file that no one was asked for.
        """
        inner = twin.root[f"{SHARDS}/{Path(path).name}"]
        shard = cls(inner.contents, inner.path)
        object.__setattr__(shard, "filename", str(path))
        return shard

    def resolve(self, path: str | bytes) -> str:
        """Return a path from the root of the twin; Keras's is from that of the file."""
        text = path.decode() if isinstance(path, bytes) else path
        return super().resolve(text.lstrip("/"))
