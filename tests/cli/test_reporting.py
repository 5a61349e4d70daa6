"""`explain` and `stats`: what loads would do, and what they did."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastload import system
from fastload.cache import stats
from fastload.report import LoadReport, Outcome

from .conftest import HDF5_SIGNATURE, Cli, Twins, document_of

TALLY = {
    "hits": 1,
    "misses": 0,
    "bypasses": 1,
    "loads": 2,
    "seconds": 5.0,
    "seconds_saved": 3.0,
    "seconds_estimated": 0.0,
    "hits_unknown": 0,
    "fetched": 0,
}


def record_two_loads(twins: Twins) -> None:
    """Leave a hit that saved three seconds, and a bypass."""
    hit = LoadReport(path="/m/a", outcome=Outcome.HIT, seconds=1.0, stock_seconds=4.0)
    reason = "the model is subclassed"
    bypass = LoadReport(path="/m/b", outcome=Outcome.BYPASS, seconds=4.0, reason=reason)
    for report in (hit, bypass):
        stats.append(twins.cache, report)


def test_stats_adds_up_loads_and_twins(cli: Cli, twins: Twins) -> None:
    """With the reasons for bypasses."""
    entry = twins.add("a" * 64)
    record_two_loads(twins)
    told = document_of(cli("stats", "--json"))

    assert TALLY.items() <= told.items()
    assert told["twins"] == 1
    assert told["size_bytes"] == entry.path.stat().st_size
    assert told["reasons"] == {"the model is subclassed": 1}
    assert "models" not in told


def test_stats_can_be_told_by_model(cli: Cli, twins: Twins) -> None:
    """In JSON and as a table."""
    record_two_loads(twins)
    models = document_of(cli("stats", "--by-model", "--json"))["models"]
    row = next(line for line in cli("stats", "--by-model").stdout.splitlines() if "/m/a" in line)

    assert models["/m/a"]["seconds_saved"] == 3.0
    assert models["/m/b"]["bypasses"] == 1
    assert row.split() == ["/m/a", "1", "0", "0", "3", "seconds"]


def test_what_is_saved_is_never_zero_for_want_of_a_measurement(cli: Cli, twins: Twins) -> None:
    """A dash, or what first loads say."""
    hit = LoadReport(path="/m/a", outcome=Outcome.HIT, seconds=1.0)
    stats.append(twins.cache, hit)
    assert "Saved           -\n" in cli("stats").stdout
    assert "without 1 hit: run `fastload warm --verify`" in cli("stats").stdout

    stats.append(twins.cache, LoadReport(path="/m/a", outcome=Outcome.MISS, seconds=3.5))
    told = cli("stats").stdout
    assert "Saved           about 2.500 seconds, estimated from first loads" in told
    assert "without" not in told


def test_a_table_in_a_pipe_does_not_wrap(cli: Cli, twins: Twins) -> None:
    path = "/" + "long/" * 60 + "model"
    stats.append(twins.cache, LoadReport(path=path, outcome=Outcome.HIT, seconds=1.0))

    assert any(path in line for line in cli("stats", "--by-model").stdout.splitlines())


def test_stats_are_shown_once_more_before_they_are_forgotten(cli: Cli, twins: Twins) -> None:
    """The next call begins at zero."""
    record_two_loads(twins)

    assert "Loads           2 since 2" in cli("stats", "-z").stdout
    assert "Loads           0 so far" in cli("stats").stdout


def test_stats_of_an_absent_cache_are_zero(cli: Cli, cache_root: Path) -> None:
    """Asking makes no folder."""
    assert document_of(cli("stats", "--json"))["loads"] == 0
    assert not cache_root.exists()


def test_explain_answers_for_each_path(cli: Cli, tmp_path: Path) -> None:
    """That a model cannot be loaded from a twin is an answer, no failure."""
    model = tmp_path / "model.h5"
    model.write_bytes(HDF5_SIGNATURE)
    result = cli("explain", model, tmp_path / "nowhere", "--json")
    first, second = document_of(result)["models"]

    assert result.exit_code == 0
    assert (first["outcome"], first["kind"], first["code"]) == ("bypass", "keras_hdf5", "FL203")
    assert (second["outcome"], second["code"], second["twin"]) == ("bypass", "FL201", None)


def test_explain_in_words_gives_code_and_reason(cli: Cli, tmp_path: Path, cache_root: Path) -> None:
    """One line for each path, the twin's place below; and the cache is not touched."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"")
    words = ("--function", "load_saved_model", model, "gs://bucket/model")
    lines = cli("explain", *words).stdout.splitlines()

    assert lines[0] == (
        f"{model}: load_saved_model: miss: it has no twin yet; the first load writes it"
    )
    assert lines[1].strip().endswith(".h5")
    assert lines[2].startswith(
        "gs://bucket/model: load_saved_model: bypass [FL201]: 'gs://bucket/model' is a remote path"
    )
    assert not cache_root.exists()


@pytest.mark.parametrize("place", ["below a file", "read-only", "of another program"])
def test_explain_tells_that_the_cache_cannot_be_made(
    place: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load goes to stock, so there is no first load that writes a twin; nothing is made."""
    model, folder = tmp_path / "model", tmp_path / "folder"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"")
    folder.mkdir()
    (folder / "notes").touch()
    chosen = {"below a file": folder / "notes" / "cache", "read-only": folder / "in" / "cache"}
    if place == "read-only":  # which modes do not make it for root
        monkeypatch.setattr(system, "may_write", lambda path: path != folder)
    monkeypatch.setenv("FASTLOAD_CACHE_DIR", str(chosen.get(place, folder)))
    (told,) = document_of(cli("explain", "--function", "load_saved_model", model, "--json"))[
        "models"
    ]

    assert (told["outcome"], told["code"], told["twin"]) == ("bypass", "FL101", None)
    assert [path.name for path in folder.iterdir()] == ["notes"]
