"""Whole processes are measured as the page says, and what differs does not count."""

from __future__ import annotations

import json
import sys
from array import array
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import cold, floor
from benchmarks import floor_process as ledger
from benchmarks.cases import CASES, GIVEN, Generation, select
from benchmarks.cold_measure import Cached, Cost, check_outputs, difference
from benchmarks.measure import BenchmarkError
from benchmarks.networks import GIVEN as MADE_BY
from benchmarks.page_cache import cached_share, files_of, forget
from benchmarks.ways import NETWORKS, WAYS, networks, ways_of

COST = Cost(network="tiny", way="stock", cached="everything", wall_s=8.0, cpu_s=9.0, peak_mib=700.0)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, forgets pages")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for both runs: the tiny network is made once."""
    pytest.importorskip("keras", minversion="3", reason="the tiny network is a Keras 3 model")
    return tmp_path_factory.mktemp("work")


def floats(*values: float) -> bytes:
    return array("f", values).tobytes()


@pytest.mark.slow
@linux_only
def test_a_run_over_the_tiny_network_writes_a_row_for_each_way(tmp_path: Path, work: Path) -> None:
    """Fresh processes, equal predictions, raw lines kept, one table."""
    *parts, _ = cold.PARTS
    page = tmp_path / "page.md"
    places = [f"{each.markers.begin}\n{each.markers.end}\n" for each in parts]
    page.write_text("".join(places))
    options = ["--parts", "processes", "disk", "--models=tiny", "--rounds=1"]
    folders = [f"--work={work}", f"--results={tmp_path / 'raw'}"]

    status = cold.main([*options, "--tensorflow-only", f"--page={page}", *folders])

    (raw,) = (tmp_path / "raw").glob("*-cold.jsonl")
    costs = [Cost(**json.loads(line)) for line in raw.read_text().splitlines()]
    ways = [each.way for each in costs]
    assert status == 0
    assert ways[0] == "Keras 3 `load_model`, `.keras`"
    assert "`fastload.load_predictor`, `.keras`" in ways
    assert Counter(each.cached for each in costs) == dict.fromkeys(Cached, len(costs) // 3)
    assert all(each.cpu_s > 0 for each in costs)
    assert all(page.read_text().count(f"| {way} | 1 | ") == 2 for way in ways)


@pytest.mark.slow
@linux_only
def test_a_floor_of_the_tiny_network_has_every_stage(work: Path) -> None:
    """Whatever a load really does, its time is in a row, and the rows are the whole process."""
    found = floor.floor_of(NETWORKS["tiny"], 1, work)

    assert set(floor.STAGES) <= found.seconds.keys()
    assert all(found.seconds[stage] >= 0 for stage in floor.STAGES)
    assert found.resident[ledger.LINKING] > 2**20
    assert found.memory[ledger.PEAK] >= found.memory[ledger.TENSORFLOW_MEMORY] > 2**20
    assert found.memory[ledger.TWIN_MEMORY] > 0
    assert f"| {ledger.TWIN} | " in floor.time_table([found])
    assert f"| {ledger.PEAK} | " in floor.memory_table([found])


def test_what_runs_inside_of_a_row_counts_for_its_own_row_alone() -> None:
    """A gauge that a test moves: 1 before, 2 outside, 4 inside, 8 outside again."""
    now = 0.0
    book = ledger.Ledger(lambda: now)
    now += 1
    book.enter("outside")
    now += 2
    book.enter("inside")
    now += 4
    book.leave()
    now += 8
    book.leave()

    assert book.rows == {ledger.PROGRAM: 1, "outside": 10, "inside": 4}


@pytest.mark.parametrize(
    ("module", "is_native", "row"),
    [
        ("tensorflow.python.framework.ops", False, ledger.MODULES),
        ("tensorflow.python._pywrap_tfe", True, ledger.LINKING),
        ("numpy.linalg", True, ledger.NUMPY),
        ("json.decoder", False, ledger.STANDARD),
        ("fastload.api.load_model", False, ledger.OURS),
        ("google.protobuf", False, ledger.OTHERS),
    ],
)
def test_a_module_belongs_to_the_row_of_its_package(module: str, is_native: bool, row: str) -> None:
    """Of TensorFlow, what is linked is told apart from what is run."""
    assert ledger.row_of(module, is_native=is_native) == row


def test_ratios_refer_to_the_first_way() -> None:
    """8 s of stock against a median of 2 s is four times faster."""
    ours = [replace(COST, way="ours", wall_s=seconds) for seconds in (1.0, 2.0, 9.0)]

    stock_row, row = cold.rows([COST, *ours])

    assert stock_row[2:4] == ("8.000", "1.0")
    assert row == ("ours", "3", "2.000", "4.0", "9.00", "700")


def test_ratios_refer_to_the_same_state_of_the_page_cache() -> None:
    """Stock takes longer, too, where all comes from disk."""
    states = {Cached.NO_MODEL: 10.0, Cached.NOTHING: 30.0}
    stock = [replace(COST, cached=each.value, wall_s=wall) for each, wall in states.items()]
    ours = [replace(each, way="ours", wall_s=5.0) for each in stock]

    stock_row, row = cold.disk_rows([*stock, *ours])

    assert stock_row == ("stock", "1", "10.000", "1.0", "30.000", "1.0")
    assert row == ("ours", "1", "5.000", "2.0", "5.000", "6.0")


def test_ways_that_run_one_function_must_predict_the_same_bytes() -> None:
    """Even where they are within the tolerance of each other."""
    stock, hdf5, *_ = WAYS
    assert stock.computes == hdf5.computes
    outputs = [(stock, floats(1, 2)), (hdf5, floats(1, 2 + 1e-6))]

    with pytest.raises(BenchmarkError, match="HDF5 predicted other bytes than tf_keras"):
        check_outputs("tiny", outputs)


def test_other_ways_must_be_near() -> None:
    """Another runtime sums up in another order; a converted network that is wrong is refused."""
    stock, *_, lite = WAYS
    check_outputs("tiny", [(stock, floats(1, 2)), (lite, floats(1, 2.0001))])

    with pytest.raises(BenchmarkError, match="LiteRT is off by"):
        check_outputs("tiny", [(stock, floats(1, 2)), (lite, floats(1, 2.001))])


def test_predictions_of_other_lengths_are_infinitely_far() -> None:
    """A prediction that lacks values is no approximation."""
    assert difference(floats(1, 2), floats(1)) == float("inf")


def test_a_network_with_a_savedmodel_alone_has_the_ways_of_that() -> None:
    """No archive of the sleep staging GRU is published."""
    found = ways_of(NETWORKS["sleepecg"])
    assert {way.kind for way, _ in found} == {"savedmodel", "onnx", "tflite"}
    assert {case.generation for case in NETWORKS["sleepecg"].cases} == {Generation.KERAS2}


def test_programs_are_what_python_can_run() -> None:
    """A place that was not filled in would only show on the day of a measurement."""
    for network in NETWORKS.values():
        for way, case in ways_of(network):
            compile(way.text(case), way.name, "exec")


def test_an_unknown_network_is_refused_with_the_names_of_the_known_ones() -> None:
    """A typing error must not run nothing and succeed."""
    with pytest.raises(ValueError, match="no network is called 'resnet5'; there are resnet50, "):
        networks(["resnet5"])


def test_a_network_that_is_not_made_here_is_measured_by_name_only() -> None:
    """`python -m benchmarks` without names must not fail for want of it."""
    assert not set(GIVEN) & set(CASES)
    assert not set(GIVEN) & set(select("*"))
    assert [case.name for case in select("panopticnet")] == ["panopticnet"]
    assert {case.network for case in GIVEN} == set(MADE_BY)


@linux_only
def test_a_file_that_was_forgotten_is_not_in_the_page_cache(tmp_path: Path) -> None:
    """Once in a folder and once by name: each file counts once."""
    file = tmp_path / "file"
    file.write_bytes(bytes(2**20))
    (tmp_path / "empty").touch()
    assert cached_share([tmp_path, file]) == 1.0
    assert set(files_of([tmp_path, file])) == {file, tmp_path / "empty"}

    forget([tmp_path])

    if cached_share([tmp_path]) == 1.0:
        pytest.skip("this file system has its files in memory")
    assert cached_share([tmp_path]) == 0.0
