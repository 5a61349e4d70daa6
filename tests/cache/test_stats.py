"""Counting loads never fails a load, and never loses more than the line that was cut."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastload.cache import stats
from fastload.cache.directory import CacheDir
from fastload.cache.stats import Statistics, Tally
from fastload.errors import CacheUnwritableError
from fastload.report import LoadReport, Outcome

from .conftest import StartPython

APPEND_MANY = """
import sys
from pathlib import Path
from fastload.cache import stats
from fastload.cache.directory import CacheDir
from fastload.report import LoadReport, Outcome
report = LoadReport(path="/m/" + "x" * 3000, outcome=Outcome.HIT, seconds=0.5)
for _ in range(200):
    stats.append(CacheDir(root=Path(sys.argv[1])), report)
"""

HIT = LoadReport(
    path="/m/a", outcome=Outcome.HIT, seconds=1.0, stock_seconds=10.0, reason="it draws numbers"
)
MISS = LoadReport(path="/m/a", outcome=Outcome.MISS, seconds=4.0, stock_seconds=10.0)
BYPASS = LoadReport(
    path="/m/b", outcome=Outcome.BYPASS, seconds=9.0, reason="a Lambda layer", code="FL203"
)


def test_loads_are_added_up_by_path_and_reason(cache: CacheDir) -> None:
    """Seconds are saved where it is known what stock takes, and not by stock itself."""
    for report in (HIT, HIT, MISS, BYPASS):
        stats.append(cache, report)
    summed = stats.read(cache)

    assert summed.total == Tally(hits=2, misses=1, bypasses=1, seconds=15.0, seconds_saved=24.0)
    assert summed.total.loads == 4
    assert summed.by_path["/m/a"] == Tally(hits=2, misses=1, seconds=6.0, seconds_saved=24.0)
    assert summed.by_path["/m/b"] == Tally(bypasses=1, seconds=9.0)
    assert summed.by_reason == {"a Lambda layer": 1}


def test_what_was_never_timed_is_estimated_by_the_first_load(cache: CacheDir) -> None:
    """A hit of a twin that was there before the statistics is worth nothing that is known."""
    hit = dataclasses.replace(HIT, stock_seconds=None)
    miss = dataclasses.replace(MISS, stock_seconds=None)
    unknown = dataclasses.replace(hit, path="/m/c")
    for report in (miss, hit, hit, HIT, unknown):
        stats.append(cache, report)
    summed = stats.read(cache)

    assert summed.total == Tally(
        hits=4, misses=1, seconds=8.0, seconds_saved=9.0, seconds_estimated=6.0, hits_unknown=1
    )
    assert summed.by_path["/m/c"].hits_unknown == 1


def test_one_model_counts_once_from_every_folder(
    cache: CacheDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths are made absolute, addresses are not."""
    monkeypatch.chdir(tmp_path)
    for path in ("model", str(tmp_path / "model"), "gs://bucket/model"):
        stats.append(cache, LoadReport(path=path, outcome=Outcome.HIT, seconds=1.0))

    assert set(stats.read(cache).by_path) == {str(tmp_path / "model"), "gs://bucket/model"}


def test_no_folder_has_no_loads(tmp_path: Path) -> None:
    """No cache is an empty cache."""
    assert stats.read(CacheDir(root=tmp_path / "none")) == Statistics()


def test_the_first_load_makes_the_folder(tmp_path: Path) -> None:
    """A machine where every load is a bypass has statistics too."""
    cache = CacheDir(root=tmp_path / "new")
    stats.append(cache, BYPASS)

    assert stats.read(cache).total.bypasses == 1
    assert cache.is_ours()


@given(path=st.text(max_size=2000), reason=st.text(max_size=2000))
def test_a_line_is_whole_and_short_whatever_it_holds(path: str, reason: str) -> None:
    """Long, strange and undecodable texts still make one readable line below 4 KiB."""
    report = LoadReport(path="/" + path, outcome=Outcome.BYPASS, seconds=1.0, reason=reason)
    line = stats._encode(report)
    parsed = stats._parse(line.strip(b"\n"))

    assert len(line) <= stats.MAX_LINE_BYTES
    assert line.count(b"\n") == 1
    assert parsed is not None
    assert parsed.reason is not None
    assert reason.startswith(parsed.reason)


@given(cut=st.integers(0, 60))
def test_a_line_that_was_cut_spoils_no_other(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    """After a crash in the middle of a line the next load is counted."""
    cache = CacheDir(root=tmp_path_factory.mktemp("stats") / "cache")
    stats.append(cache, HIT)
    (log,) = cache.stats_dir.iterdir()
    with log.open("ab") as file:
        file.write(log.read_bytes()[:cut])
    stats.append(cache, MISS)
    summed = stats.read(cache)

    assert (summed.total.hits, summed.total.misses) == (1, 1)
    assert summed.damaged_lines == (cut > 1)


@pytest.mark.parametrize("line", [b"[]", b"null", b"{}", b"\xff", b'{"time_s": []}', b"[" * 10**5])
def test_foreign_lines_are_counted_as_damaged(cache: CacheDir, line: bytes) -> None:
    """No content of the log is an error."""
    (cache.stats_dir / "loads.jsonl").write_bytes(line)

    assert stats.read(cache) == Statistics(damaged_lines=1)


def test_lines_of_many_processes_do_not_mix(cache: CacheDir, start_python: StartPython) -> None:
    """Four processes at once lose no load."""
    workers = [start_python(APPEND_MANY, cache.root) for _ in range(4)]
    for worker in workers:
        worker.communicate()

    assert stats.read(cache).total == Tally(hits=800, seconds=400.0, hits_unknown=800)
    assert stats.read(cache).damaged_lines == 0


def test_a_log_that_cannot_be_written_fails_no_load(tmp_path: Path) -> None:
    """A load is worth more than its count."""
    (tmp_path / "file").write_text("mine")
    stats.append(CacheDir(root=tmp_path / "file"), HIT)

    assert (tmp_path / "file").read_text() == "mine"


def test_a_log_that_is_a_link_is_not_followed(cache: CacheDir, tmp_path: Path) -> None:
    """Nothing is appended to a file outside the cache."""
    (tmp_path / "notes").write_text("mine")
    (cache.stats_dir / "loads.jsonl").symlink_to(tmp_path / "notes")
    stats.append(cache, HIT)

    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize(("loads", "full_logs"), [(1, 0), (2, 1), (5, 2), (20, stats.KEPT_LOGS)])
def test_a_full_log_is_set_aside_and_the_newest_are_kept(
    cache: CacheDir, monkeypatch: pytest.MonkeyPatch, loads: int, full_logs: int
) -> None:
    """Rotation starts a new log; only logs beyond the kept ones are lost."""
    monkeypatch.setattr(stats, "MAX_LOG_BYTES", len(stats._encode(HIT)) + 10)
    for _ in range(loads):
        stats.append(cache, HIT)

    assert len(list(cache.stats_dir.glob("loads.*-*.jsonl"))) == full_logs
    assert stats.read(cache).total.hits == min(loads, 2 * full_logs + loads % 2)


def test_the_loads_of_one_run_can_be_added_up_alone(cache: CacheDir) -> None:
    """`fastload run --stats` asks for its own, whatever else loads at the same time."""
    stats.append(cache, HIT, run="a")
    stats.append(cache, HIT, run="b")
    stats.append(cache, HIT)

    assert stats.read(cache, run="a").total.hits == 1
    assert stats.read(cache).total.hits == 3


def test_resetting_forgets_all_loads(cache: CacheDir) -> None:
    """After a reset nothing is on record."""
    stats.append(cache, HIT)
    stats.reset(cache)

    assert stats.read(cache) == Statistics()


def test_a_folder_of_others_is_not_reset(cache: CacheDir) -> None:
    """Without the tag nothing is removed."""
    stats.append(cache, HIT)
    (cache.root / "CACHEDIR.TAG").unlink()

    with pytest.raises(CacheUnwritableError, match=r"no CACHEDIR\.TAG"):
        stats.reset(cache)
    assert stats.read(cache).total.hits == 1


def test_what_came_from_a_store_is_counted(cache: CacheDir) -> None:
    """A fetch is a hit that took longer, which one wants to know of."""
    stats.append(cache, dataclasses.replace(HIT, store="s3://bucket/twins"))
    stats.append(cache, HIT)

    assert (stats.read(cache).total.hits, stats.read(cache).total.fetched) == (2, 1)
