"""Weights in shards: a JSON file that maps a model's variables to the HDF5 files beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fastload.errors import UnsafeSourceError, UnsupportedSourceError

#: A hundred bytes for each of half a million variables.
_MOST_BYTES: Final = 2**26
_MOST_SHARDS: Final = 10_000


def read_map(path: Path) -> bytes:
    """Return the content of the JSON file at *path*.

    Raises:
        UnsupportedSourceError: it is far too long.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise UnsupportedSourceError(f"'{path}' is longer than {_MOST_BYTES:,} bytes")
    return content


def shard_names(name: str, content: bytes) -> list[str]:
    """Return the names of the shards, sorted: those that the map lists, and the first.

    Keras opens that by its name before it looks at the map.

    Args:
        name: of the JSON file.
        content: what is in it.

    Raises:
        UnsafeSourceError: a shard lies elsewhere.
        UnsupportedSourceError: it is no such map.

    Example:
        >>> shard_names(
        ...     "a.weights.json", b'{"weight_map": {"/layers/d/vars": "a_00001.weights.h5"}}'
        ... )
        ['a_00000.weights.h5', 'a_00001.weights.h5']
    """
    listed = set(_listed(name, content))
    if len(listed) > _MOST_SHARDS:
        raise UnsupportedSourceError(f"{name!r} lists over {_MOST_SHARDS:,} shards")
    for each in listed:
        if each in {"", ".", ".."} or not {"/", "\\", "\0"}.isdisjoint(each):
            raise UnsafeSourceError(f"the shard {each!r} does not lie beside {name!r}")
    base = Path(name).stem.replace(".weights", "")
    return sorted({*listed, f"{base}_00000.weights.h5"})


def _listed(name: str, content: bytes) -> Iterator[str]:
    """Yield each name in the map."""
    found = _parsed(content)
    weight_map = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(weight_map, dict):
        raise UnsupportedSourceError(f"{name!r} maps no weights to shards")
    for shards in weight_map.values():
        names = shards if isinstance(shards, list) else [shards]
        if not names or not all(isinstance(each, str) for each in names):
            raise UnsupportedSourceError(f"{name!r} maps weights to something else than files")
        yield from names


def _parsed(content: bytes) -> Any:
    # Keras writes nothing else, and reads it in the encoding of the locale.
    if not content.isascii():
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
