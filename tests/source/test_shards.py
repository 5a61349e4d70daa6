"""The map of weights in shards, as it may be and as nobody should believe it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastload.errors import BypassError, UnsafeSourceError, UnsupportedSourceError
from fastload.source.detect import SourceKind, detect
from fastload.source.fingerprint import fingerprint
from fastload.source.shards import shard_names

_NAME = "a.weights.json"


def _map(*shards: object) -> bytes:
    return json.dumps({"weight_map": {f"/{n}": each for n, each in enumerate(shards)}}).encode()


def test_all_that_keras_opens_is_part_of_the_source(tmp_path: Path) -> None:
    """The map, each file that it lists, once, and the first; nothing else that lies there."""
    content = _map("a_00001.weights.h5", ["a_00001.weights.h5", "b.h5"])
    (tmp_path / _NAME).write_bytes(content)
    for name in ("a_00000.weights.h5", "a_00001.weights.h5", "b.h5", "c.h5"):
        (tmp_path / name).write_bytes(name.encode())
    source = detect(tmp_path / _NAME)
    assert source.kind is SourceKind.KERAS_SHARDS
    names = [file.name for file in source.files]
    assert names == ["", "../a_00000.weights.h5", "../a_00001.weights.h5", "../b.h5"]
    before = fingerprint(source).digest
    (tmp_path / "c.h5").write_bytes(b"another")
    assert fingerprint(detect(tmp_path / _NAME)).digest == before
    (tmp_path / "b.h5").write_bytes(b"another")
    assert fingerprint(detect(tmp_path / _NAME)).digest != before


@pytest.mark.parametrize("shard", ["../b.h5", "/etc/b.h5", "c\\b.h5", "..", ".", "", "b\0.h5"])
def test_shards_lie_beside_the_map(shard: str) -> None:
    """Keras refuses some of these, and no file that it writes has any."""
    with pytest.raises(UnsafeSourceError, match="does not lie beside"):
        shard_names(_NAME, _map("b.h5", shard))


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"weight_map": 1}',
        b"[" * 100_000,
        _map(1),
        _map(None),
        _map([]),
        _map(["b.h5", 1]),
        _map({"b.h5": "b.h5"}),
        '{"weight_map": {"/é": "b.h5"}}'.encode(),
        _map([f"{number}.h5" for number in range(10_001)]),
    ],
    ids=lambda content: str(content[:30]),
)
def test_other_documents_are_refused(content: bytes) -> None:
    """Whatever Keras makes of them, no twin is made."""
    with pytest.raises(UnsupportedSourceError):
        shard_names(_NAME, content)


def test_a_map_is_no_bomb(tmp_path: Path) -> None:
    """One that is far too long is not read."""
    with (tmp_path / _NAME).open("wb") as file:
        file.write(b"{")
        file.truncate(2**40)
    with pytest.raises(BypassError, match="is longer than"):
        detect(tmp_path / _NAME)


def test_missing_shards_are_stocks(tmp_path: Path) -> None:
    """Whether one is missing is looked up at each load."""
    (tmp_path / _NAME).write_bytes(_map("b.h5"))
    (tmp_path / "b.h5").touch()
    with pytest.raises(UnsupportedSourceError, match="No such file"):
        detect(tmp_path / _NAME)
