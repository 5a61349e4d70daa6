"""A memo is believed only while nothing about the source changed."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.cache.directory import CacheDir
from fastload.cache.memo import Memo, known_refusals, orphan_memos, recall, remember
from fastload.source.detect import FileStat, Fingerprint

SOURCE = Path("/models/resnet")
CONVERTER = "fastload 0.1.0, keras3"
FIELDS = ("size", "mtime_ns", "ctime_ns", "inode", "device")

numbers = st.integers(0, 2**63)
names = (st.text(min_size=1) | st.binary(min_size=1).map(os.fsdecode)).filter(
    lambda name: "\0" not in name
)
stats = st.builds(
    FileStat,
    name=names,
    size=numbers,
    mtime_ns=st.integers(-(2**63), 2**63),
    ctime_ns=numbers,
    inode=numbers,
    device=numbers,
)
file_sets = st.lists(stats, min_size=1, max_size=5, unique_by=lambda file: file.name).map(tuple)


def stat_of(name: str) -> FileStat:
    return FileStat(name=name, size=1, mtime_ns=2, ctime_ns=3, inode=4, device=5)


FILES = (stat_of("saved_model.pb"), stat_of("variables/variables.index"))


def is_known(cache: CacheDir, files: tuple[FileStat, ...]) -> bool:
    """Say whether the content of *files* is known without reading them."""
    memo = recall(cache, SOURCE, files, converter=CONVERTER)
    return memo is not None and memo.is_current


def fingerprint(files: tuple[FileStat, ...] = FILES, *, settled: bool = True) -> Fingerprint:
    return Fingerprint(digest="ab" * 32, files=files, settled=settled)


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> CacheDir:
    """One folder for all examples that hypothesis makes."""
    cache = CacheDir(root=tmp_path_factory.mktemp("memo") / "cache")
    cache.ensure()
    return cache


@given(files=file_sets, data=st.data())
def test_the_same_stats_in_any_order_are_recalled(
    shared_cache: CacheDir, files: tuple[FileStat, ...], data: st.DataObject
) -> None:
    """Any names and numbers survive the way through the file, bytes that are no text included."""
    shuffled = data.draw(st.permutations(files))
    remember(shared_cache, SOURCE, fingerprint(files), converter=CONVERTER)

    assert recall(shared_cache, SOURCE, shuffled, converter=CONVERTER) == Memo(digest="ab" * 32)


@given(files=file_sets, data=st.data())
def test_any_changed_field_of_any_file_is_forgotten(
    shared_cache: CacheDir, files: tuple[FileStat, ...], data: st.DataObject
) -> None:
    """A single number of a single file that differs is enough."""
    remember(shared_cache, SOURCE, fingerprint(files), converter=CONVERTER)
    index = data.draw(st.integers(0, len(files) - 1))
    field = data.draw(st.sampled_from(FIELDS))
    value = data.draw(numbers.filter(lambda number: number != getattr(files[index], field)))
    changed = (*files[:index], replace(files[index], **{field: value}), *files[index + 1 :])

    assert not is_known(shared_cache, changed)


@pytest.mark.parametrize(
    "files",
    [(), FILES[:1], (*FILES, stat_of("assets/words")), (FILES[0], stat_of("variables/other"))],
    ids=["all gone", "removed", "added", "renamed"],
)
def test_another_set_of_names_is_forgotten(cache: CacheDir, files: tuple[FileStat, ...]) -> None:
    """A file that is added, removed or renamed makes another source."""
    remember(cache, SOURCE, fingerprint(), converter=CONVERTER)

    assert not is_known(cache, files)


def test_a_source_that_changed_just_now_is_not_known(cache: CacheDir) -> None:
    """Its stat could stay the same through another edit."""
    remember(cache, SOURCE, fingerprint(settled=False), converter=CONVERTER)

    assert not is_known(cache, FILES)


def test_a_refusal_is_of_the_content_whatever_the_stats(cache: CacheDir) -> None:
    """A touched model, or one that was saved just now, is hashed, and not converted again."""
    refusal = ("FL203", "a layer has no config")
    remember(cache, SOURCE, fingerprint(settled=False), converter=CONVERTER, refusal=refusal)
    touched = (replace(FILES[0], mtime_ns=7), FILES[1])
    remember(cache, SOURCE, fingerprint(touched), converter=CONVERTER)
    kept = recall(cache, SOURCE, touched, converter=CONVERTER)
    remember(cache, SOURCE, replace(fingerprint(touched), digest="cd" * 32), converter=CONVERTER)

    assert kept == Memo(digest="ab" * 32, refusal=refusal)
    assert recall(cache, SOURCE, touched, converter=CONVERTER) == Memo(digest="cd" * 32)


def test_what_is_remembered_already_is_not_written_again(cache: CacheDir) -> None:
    """Loads of a model that was saved just now hash it each time."""
    remember(cache, SOURCE, fingerprint(settled=False), converter=CONVERTER)
    (memo,) = cache.memo_dir.iterdir()
    before = written_at(memo)
    remember(cache, SOURCE, fingerprint(settled=False), converter=CONVERTER)

    assert written_at(memo) == before


def written_at(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def test_another_path_with_the_same_stats_is_not_recalled(cache: CacheDir) -> None:
    """A memo that was copied over that of another path is not believed."""
    remember(cache, SOURCE, fingerprint(), converter=CONVERTER)
    (memo,) = cache.memo_dir.iterdir()
    other = Path("/models/other")
    remember(cache, other, fingerprint(), converter=CONVERTER)
    (copy,) = set(cache.memo_dir.iterdir()) - {memo}
    memo.replace(copy)

    assert recall(cache, SOURCE, FILES, converter=CONVERTER) is None
    assert recall(cache, other, FILES, converter=CONVERTER) is None


def test_a_refusal_is_recalled_for_the_same_converter_only(cache: CacheDir) -> None:
    """Another version of fastload, or another Keras, may do better."""
    refusal = ("FL203", "a layer has no config")
    remember(cache, SOURCE, fingerprint(), converter=CONVERTER, refusal=refusal)

    assert recall(cache, SOURCE, FILES, converter=CONVERTER) == Memo(
        digest="ab" * 32, refusal=refusal
    )
    assert recall(cache, SOURCE, FILES, converter="fastload 0.2.0") == Memo(digest="ab" * 32)


@given(damage=st.binary(max_size=64) | st.sampled_from([b"[" * 100_000, b"[]", b"{}", b"null"]))
def test_a_damaged_memo_is_no_memo(shared_cache: CacheDir, damage: bytes) -> None:
    """Any bytes in the place of a memo only cost a reading of the model."""
    remember(shared_cache, SOURCE, fingerprint(), converter=CONVERTER)
    (memo,) = shared_cache.memo_dir.iterdir()
    memo.chmod(0o600)
    memo.write_bytes(damage)

    assert recall(shared_cache, SOURCE, FILES, converter=CONVERTER) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("version", 1), ("digest", 7), ("path", "/else"), ("files", "x"), ("digest", None)],
        *[("settled", 1), ("volumes", {"5": "another"})],
    ],
)
def test_a_memo_of_another_make_is_no_memo(cache: CacheDir, field: str, value: object) -> None:
    """Every field is looked at."""
    remember(cache, SOURCE, fingerprint(), converter=CONVERTER)
    (memo,) = cache.memo_dir.iterdir()
    memo.chmod(0o600)
    memo.write_text(json.dumps({**json.loads(memo.read_text()), field: value}))

    assert not is_known(cache, FILES)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such permissions")
def test_a_memo_in_an_open_folder_is_not_believed(cache: CacheDir) -> None:
    """Others could point a path at weights of their own."""
    remember(cache, SOURCE, fingerprint(), converter=CONVERTER)
    cache.root.chmod(0o777)

    assert recall(cache, SOURCE, FILES, converter=CONVERTER) is None


def test_a_memo_that_cannot_be_written_is_logged_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A load does not fail for the sake of the next one."""
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.INFO, "fastload"):
        remember(CacheDir(root=tmp_path / "file"), SOURCE, fingerprint(), converter=CONVERTER)

    assert "the next load of /models/resnet will read the whole model" in caplog.text


def test_memos_of_models_that_are_gone_are_orphans(cache: CacheDir, tmp_path: Path) -> None:
    """A memo lives as long as there is something at its path."""
    model = tmp_path / "model.keras"
    model.write_bytes(b"")
    remember(cache, model, fingerprint(), converter=CONVERTER)
    while_there = orphan_memos(cache)
    model.unlink()

    assert while_there == ()
    assert orphan_memos(cache) == tuple(cache.memo_dir.iterdir())


def test_refusals_of_several_converters_stay(cache: CacheDir) -> None:
    """Those of `load_model` and of `load_predictor`, of one Keras and of another; up to eight."""
    kept = {f"{number}/keras3/keras": ("FL203", f"reason {number}") for number in range(10)}
    for converter, refusal in kept.items():
        remember(cache, SOURCE, fingerprint(), converter=converter, refusal=refusal)
    remember(cache, SOURCE, fingerprint(), converter=CONVERTER)

    found = known_refusals(cache)
    assert [(converter, (code, reason)) for _, converter, code, reason in found] == [*kept.items()][
        2:
    ]
    assert {digest for digest, *_ in found} == {"ab" * 32}
    remember(cache, SOURCE, replace(fingerprint(), digest="cd" * 32), converter=CONVERTER)
    assert known_refusals(cache) == ()


def test_a_memo_with_one_refusal_is_believed(cache: CacheDir) -> None:
    """As they were written before."""
    remember(cache, SOURCE, fingerprint(), converter=CONVERTER)
    (memo,) = cache.memo_dir.iterdir()
    document = json.loads(memo.read_bytes())
    del document["refusals"]
    document["refusal"] = ["FL203", "a layer has no config", CONVERTER]
    memo.chmod(0o600)
    memo.write_text(json.dumps(document))

    found = recall(cache, SOURCE, FILES, converter=CONVERTER)
    assert found is not None
    assert found.refusal == ("FL203", "a layer has no config")
