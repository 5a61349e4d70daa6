"""Twins that somebody made to do harm: whole by their digests, and nonsense inside."""

from __future__ import annotations

import hashlib
import json
import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastload.errors import TwinCorruptError, TwinVersionError
from fastload.twin.format import USER_BLOCK_BYTES, Header
from fastload.twin.reader import Twin
from tests.tried import one_try

NONSENSE = [None, True, -1, 2**31, 2**63, 2**64, 10**30, 1.5, "", "x" * 300, "../../x", [], {}]


def mutated(value: Any, draw: random.Random) -> Any:
    """Return JSON in which one part is something else."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(sorted(value))
        return {**value, key: mutated(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.9:
        place = draw.randrange(len(value))
        return [*value[:place], mutated(value[place], draw), *value[place + 1 :]]
    if isinstance(value, int) and draw.random() < 0.5:
        return value + draw.choice([-64, -1, 1, 64, 4096])
    return draw.choice(NONSENSE)


def with_index(content: bytes, index: Any) -> bytes:
    """Return a twin with another index, and the digests that belong to it."""
    header = Header.from_bytes(content[:USER_BLOCK_BYTES])
    data = json.dumps(index).encode()
    offset = len(content) + -len(content) % 64
    made = replace(
        header,
        index_offset=offset,
        index_nbytes=len(data),
        file_nbytes=offset + len(data),
        index_sha256=hashlib.sha256(data).digest(),
    )
    body = content[USER_BLOCK_BYTES:].ljust(offset - USER_BLOCK_BYTES, b"\0")
    return made.to_bytes() + body + data


def read_all(path: Path) -> None:
    """Read whatever the twin says that it holds."""
    twin = Twin.open(path)
    for name in twin.refs:
        array = twin.array(name)
        if array.nbytes:
            array.tobytes()
    twin.verify()
    for name in list(twin.manifest.documents)[:50]:
        twin.manifest.documents[name]
    twin.root.visititems(lambda name, item: None) if hasattr(twin.root, "visititems") else None


@pytest.mark.parametrize("seed", range(60))
def test_a_hostile_index_is_refused_or_harmless(
    sample_path: Path, tmp_path: Path, seed: int
) -> None:
    """Nothing outside of the file is read, and only the twin's own errors are raised."""
    content, draw = sample_path.read_bytes(), random.Random(seed)
    header = Header.from_bytes(content[:USER_BLOCK_BYTES])
    index = json.loads(content[header.index_offset :][: header.index_nbytes])
    path = tmp_path / "twin.h5"
    for _ in range(10):
        changed = mutated(index, draw)
        path.write_bytes(with_index(content, changed))
        with one_try("hostile twin"), suppress(TwinCorruptError, TwinVersionError):
            read_all(path)
