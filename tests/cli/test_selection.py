"""A twin is meant by its name, by the beginning of it, or by the path of its model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.cache.directory import CacheDir
from fastload.cache.entry import entry_name
from fastload.cli.selection import selected
from fastload.errors import EntryNotFoundError, UnsupportedSourceError
from fastload.twin.format import FORMAT_VERSION

from .conftest import Twins

DIGESTS = [f"{number:064x}" for number in range(40)]
NAMES = [entry_name(digest, "keras3", FORMAT_VERSION) for digest in DIGESTS]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> CacheDir:
    """A cache of 40 twins, of which names are all that counts."""
    cache = CacheDir(root=tmp_path_factory.mktemp("many") / "cache")
    cache.ensure()
    for name in NAMES:
        (cache.root / f"{name}.h5").touch()
    return cache


@given(name=st.sampled_from(NAMES), digits=st.integers(1, 32))
def test_a_prefix_means_an_entry_if_it_is_the_only_one(
    many: CacheDir, name: str, digits: int
) -> None:
    """More digits make it one; which digits are enough depends on the others."""
    prefix = name[:digits]
    if sum(other.startswith(prefix) for other in NAMES) == 1:
        assert [twin.name for twin in selected(many, [prefix])] == [name]
    else:
        with pytest.raises(EntryNotFoundError, match=f"begin with '{prefix}'.*give more digits"):
            selected(many, [prefix])


def test_an_entry_that_is_meant_twice_is_selected_once(many: CacheDir) -> None:
    """In the order of the words."""
    words = [NAMES[1], NAMES[0], NAMES[1]]
    assert [twin.name for twin in selected(many, words)] == [NAMES[1], NAMES[0]]


@pytest.mark.parametrize("word", ["0" * 32, "not-a-name", "/no/such/model", "f" * 33, "../absent"])
def test_what_means_nothing_is_an_error(many: CacheDir, word: str) -> None:
    """The message repeats it."""
    with pytest.raises(EntryNotFoundError) as caught:
        selected(many, [word])
    assert repr(word) in str(caught.value)
    assert caught.value.code == "FL401"


def test_a_model_means_its_twins_for_both_keras(twins: Twins, tmp_path: Path) -> None:
    """Its content is hashed where it is not remembered."""
    model = tmp_path / "model.h5"
    pair = {
        twins.add_for(model, "a" * 64, generation=generation).name
        for generation in ("keras2", "keras3")
    }
    assert {twin.name for twin in selected(twins.cache, [str(model)])} == pair


def test_a_copied_model_means_the_twin_of_its_content(twins: Twins, tmp_path: Path) -> None:
    """No memo knows the copy."""
    from fastload.source.detect import detect
    from fastload.source.fingerprint import fingerprint

    model = tmp_path / "model.h5"
    model.write_bytes(b"\x89HDF\r\n\x1a\n" + b"content")
    entry = twins.add(fingerprint(detect(model)).digest)
    copy = Path(shutil.copy(model, tmp_path / "copy.h5"))

    assert [twin.name for twin in selected(twins.cache, [str(copy)])] == [entry.name]


def test_a_model_that_is_gone_is_remembered(twins: Twins, tmp_path: Path) -> None:
    """Its twin can still be removed by its path."""
    model = tmp_path / "model.h5"
    entry = twins.add_for(model, "a" * 64)
    model.unlink()

    assert [twin.name for twin in selected(twins.cache, [str(model)])] == [entry.name]


def test_a_path_that_is_no_model_says_why(many: CacheDir, tmp_path: Path) -> None:
    """The reason comes from where sources are told apart."""
    (tmp_path / "text").write_text("hello")
    with pytest.raises(UnsupportedSourceError, match="is neither HDF5 nor zip"):
        selected(many, [str(tmp_path / "text")])


def test_asking_an_absent_cache_makes_none(twins: Twins, tmp_path: Path) -> None:
    """Nor is the model read."""
    (tmp_path / "model.h5").write_bytes(b"anything")
    with pytest.raises(EntryNotFoundError, match="has no twin in the cache folder"):
        selected(twins.cache, [str(tmp_path / "model.h5")])
    assert not twins.cache.root.exists()
