"""Batch nodes are played as the page says, and sums are of what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.request import Request, urlopen
from xml.etree import ElementTree as ET

import pytest

from benchmarks import batch_node, bucket, fleet, fleet_chart, fleet_page
from benchmarks.batch_node import KINDS, LOCAL_HIT, STOCK, Prepared, Task, medians
from benchmarks.batch_task import digest
from benchmarks.measure import BenchmarkError
from benchmarks.own_process import told_by
from tests.small_models import SavedModel

ROOT = Path(__file__).parents[1]
TASK = Task(
    unpack_s=1.0,
    import_s=2.0,
    prediction_model_load_time_s=4.0,
    prediction_time_s=0.5,
    whole_s=10.0,
    peak_gb=0.5,
)
HIT = replace(TASK, prediction_model_load_time_s=0.5, whole_s=5.0)
LAYER = KINDS[2]
TERMS = fleet.Terms(price=2.0, node_start_s=7.0, mb_per_s=10.0, tasks=(3600,), work_s=(0.0, 9.0))


def figures() -> dict[str, object]:
    kinds = {
        STOCK.name: {"has_layer": False, **vars_of(TASK)},
        LAYER.name: {"has_layer": True, **vars_of(HIT)},
    }
    model = {"archive_bytes": 20_000_000, "layer_bytes": 10_000_000, "kinds": kinds}
    return {"machine": {"commit": "abc", "date": "today"}, "models": {"tiny": model}}


def vars_of(task: Task) -> dict[str, float]:
    return {name: getattr(task, name) for name in Task.__slots__}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the peak is the system's, as Unix tells it")
def test_a_round_over_a_small_model_has_every_kind(
    saved_model: SavedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fresh processes and homes, outcomes as stated, one table, and figures that `fleet` reads."""
    path = saved_model.path
    monkeypatch.setattr(batch_node, "models", lambda _: {"small": path})
    monkeypatch.setattr(batch_node, "check_byte_code", lambda: None)
    page, kept = tmp_path / "page.md", tmp_path / "figures.json"
    markers = (batch_node.MARKERS, fleet.MARKERS)
    page.write_text("".join(f"{each.begin}\n{each.end}\n" for each in markers))

    batch_node.main(["--rounds=1", f"--page={page}", f"--json={kept}"])
    fleet.main([str(kept), "--price=1", "--node-start-s=1", f"--page={page}"])

    (told,) = json.loads(kept.read_text())["models"].values()
    assert list(told["kinds"]) == [kind.name for kind in KINDS if not kind.has_cache]
    assert all(0 < each["import_s"] < each["whole_s"] for each in told["kinds"].values())
    assert told["layer_bytes"] > 0
    outcomes = {kind.name: kind.outcome for kind in KINDS}
    assert all(f"| {name} | 1 | {what} |" in page.read_text() for name, what in outcomes.items())
    assert page.read_text().count(f"| {LAYER.name} | 60 |") == 1


def test_a_task_that_the_layer_did_not_serve_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer that is not trusted makes a miss, which is no figure of a layer's."""
    (tmp_path / "empty").mkdir()
    subprocess.run(
        ["tar", "-C", tmp_path / "empty", "-cf", tmp_path / "model.tar", "."], check=True
    )
    told = {"digest": "d", "outcome": "miss", "place": ""}
    monkeypatch.setattr(batch_node, "told_by", lambda *_: {**told})

    with pytest.raises(BenchmarkError, match="image layer ended as a miss, by the cache"):
        batch_node.run(Prepared(source=tmp_path, folder=tmp_path, digest="d"), LAYER)


def test_a_predictor_is_compared_with_the_signature_and_all_others_with_stock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kind that computes something else stops the run."""
    computes = {"load_predictor": "signature"}
    outputs = {kind: computes.get(kind.way, "predict") for kind in KINDS}
    monkeypatch.setattr(batch_node, "run", lambda _, kind: (TASK, outputs[kind]))
    prepared = Prepared(source=tmp_path, folder=tmp_path, digest="signature")

    assert batch_node.measure(prepared, 2) == {kind: [TASK, TASK] for kind in KINDS}
    outputs[LAYER] = "something else"
    with pytest.raises(BenchmarkError, match="fastload, image layer predicted other bytes"):
        batch_node.measure(prepared, 2)
    outputs |= {LAYER: "predict", KINDS[3]: "predict"}
    with pytest.raises(BenchmarkError, match="predictor, image layer predicted other bytes"):
        batch_node.measure(prepared, 2)


def test_ratios_are_of_medians_and_of_the_same_run() -> None:
    """4 s of stock against 0.5 s, which is half of a local hit's second."""
    local = replace(HIT, prediction_model_load_time_s=1.0)
    slow = replace(HIT, prediction_model_load_time_s=99.0, whole_s=0.1)

    _, row, _ = batch_node.rows({STOCK: [TASK], LAYER: [HIT, HIT, slow], LOCAL_HIT: [local]})

    assert row[:5] == (LAYER.name, "3", "hit", "2.00", "0.500")
    assert row[-3:] == ("8.0", "2.0", "0.50")
    assert medians([TASK, HIT]).whole_s == 7.5


def test_outputs_are_the_same_in_any_order_and_by_any_name() -> None:
    """Keras gives lists, signatures give dicts; bytes and shapes count."""
    numpy = pytest.importorskip("numpy")
    one, two = numpy.zeros(2, "float32"), numpy.ones(2, "float32")

    assert digest([one, two]) == digest({"b": one, "a": two})
    assert len({digest([one, two]), digest([one, one]), digest(one), digest(one[None])}) == 4


def test_a_fleet_is_paid_from_start_to_end() -> None:
    """Stock: 7 to start, 2 to fetch, 1 to unpack, 10 to run. The layer takes 1 more to fetch."""
    (model,) = figures()["models"].values()  # type: ignore[attr-defined]

    assert list(fleet.rows(model, TERMS)) == [
        (STOCK.name, "0", "20.0", "100%", "20.0", "40.00"),
        (LAYER.name, "0", "16.0", "80%", "16.0", "32.00"),
        (STOCK.name, "9", "29.0", "100%", "29.0", "58.00"),
        (LAYER.name, "9", "25.0", "86%", "25.0", "50.00"),
    ]


def test_a_fleet_is_drawn_as_it_is_computed() -> None:
    """A million tasks: hours at the end of each line, and what of stock's hours it saves."""
    drawn = fleet_chart.chart(figures(), TERMS)
    root = ET.fromstring(drawn)
    texts = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    ends = [
        float(each.attrib["y2"])
        for each in root.iter("{http://www.w3.org/2000/svg}line")
        if "stroke" in each.attrib
    ]

    assert {"stock 5,556 h", "layer 4,444 h", "layer 20.0%", "1,000,000"} <= set(texts)
    stock, layer, saved = (230 - each for each in ends)
    assert layer / stock == pytest.approx(0.8, abs=0.01)
    assert saved == pytest.approx(230 * 1111 / 1200, abs=1)


def test_the_chart_of_the_page_is_of_the_figures_on_it() -> None:
    """Both are read: who measures again has to draw again."""
    page = (ROOT / "docs/fleet.md").read_text("utf-8")
    found = fleet_page.figures_in(page)
    terms = fleet.Terms(price=0.1, node_start_s=30.0, mb_per_s=125.0)

    assert (ROOT / "docs/fleet.svg").read_text("utf-8") == fleet_chart.chart(found, terms)
    assert list(found["models"]) == ["ResNet50", "DeepCell"]
    kinds = found["models"]["DeepCell"]["kinds"]
    assert {name for name, kind in kinds.items() if kind["has_layer"]} == {
        "fastload, image layer",
        "fastload predictor, image layer",
    }
    with pytest.raises(ValueError, match="no figures"):
        fleet_page.figures_in("# A page")


def test_words_at_the_ends_of_lines_lie_apart() -> None:
    assert list(fleet_chart._apart([10.0, 11.0, 80.0])) == [10.0, 25.0, 80.0]
    assert [fleet_chart._step(most) for most in (10_236, 1_241, 0.4)] == [3000.0, 400.0, 0.1]


def test_a_fleet_states_what_it_assumes() -> None:
    """Price, start and bandwidth are arguments, so the page has to say them."""
    text = fleet.written(figures(), TERMS)

    assert "commit abc" in text
    assert "costs 2 an hour" in text
    assert "ready 7 s after" in text
    assert "at 10 MB/s" in text


def test_a_process_has_the_variables_that_it_is_given(tmp_path: Path) -> None:
    """And the one cache that it is told of, or the one that the variables lead to."""
    (tmp_path / "tells.py").write_text(
        "import json, os\n"
        "print(json.dumps({n: os.environ.get(n) for n in ('HOME', 'FASTLOAD_CACHE_DIR')}))\n"
    )
    variables = {"HOME": "here", "PYTHONPATH": str(tmp_path)}

    assert told_by("tells", [], None, variables) == {"HOME": "here", "FASTLOAD_CACHE_DIR": None}
    assert told_by("tells", [], Path("c"), variables)["FASTLOAD_CACHE_DIR"] == "c"


def test_a_bucket_lists_and_sends_parts_at_the_pace_of_its_line(tmp_path: Path) -> None:
    """What s3fs asks of it, and no faster: a second for a megabyte at 8 Mbit/s."""
    folder = tmp_path / "bucket" / "of" / "entry"
    folder.mkdir(parents=True)
    content = bytes(range(256)) * 4000
    (folder / "h5&.x").write_bytes(content)
    with bucket.served(tmp_path, mbit=8) as address:
        listed = urlopen(f"{address}/bucket?list-type=2&prefix=of/entry/&delimiter=/").read()
        none = urlopen(f"{address}/bucket?list-type=2&prefix=of/other/").read()
        begun = time.monotonic()
        asked = Request(f"{address}/bucket/of/entry/h5%26.x", headers={"Range": "bytes=256-511"})
        part = urlopen(asked).read()
        whole = urlopen(f"{address}/bucket/of/entry/h5%26.x").read()
        took_s = time.monotonic() - begun

    assert b"<Key>of/entry/h5&amp;.x</Key><Size>1024000</Size>" in listed
    assert b"<Key>" not in none
    assert part == content[256:512]
    assert whole == content
    assert took_s > 0.9
