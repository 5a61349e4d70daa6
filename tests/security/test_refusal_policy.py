"""Whatever a model file was ever used to do at a load, fastload does no more of it than stock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.security.attacks import ATTACKS, KERAS2, KERAS3, Attack
from tests.security.refusals import BEGIN, END, PAGE, Record, measured, tables, versions

pytest.importorskip("keras")
pytest.importorskip("tf_keras")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Records = Callable[[str], "list[Record]"]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """Gives what came of the attacks on a Keras, which are made once."""
    found: dict[str, list[Record]] = {}

    def of(package: str) -> list[Record]:
        if package not in found:
            found[package] = measured(package, tmp_path_factory.mktemp(package))
        return found[package]

    return of


def results_of(attack: Attack, records: Records) -> list[dict[str, Any]]:
    found = [each for each in records(attack.package) if each["name"] == attack.name]
    assert [each["suffix"] for each in found] == list(attack.suffixes)
    return [each["results"] for each in found]


every_attack = pytest.mark.parametrize(
    "attack", ATTACKS, ids=lambda attack: f"{attack.package}-{attack.name}"
)


@every_attack
def test_fastload_does_no_more_than_stock(attack: Attack, records: Records) -> None:
    for results in results_of(attack, records):
        model = set(results["stock"]["fired"])
        objects = set(results.get("stock objects", results["stock"])["fired"])

        assert set(results["load_model"]["fired"]) <= model
        assert set(results["warm"]["fired"]) <= model
        # Where a file has no function, the model is made, as Keras makes it.
        assert set(results["load_predictor"]["fired"]) <= model | objects
        assert set(results.get("load_saved_model", {}).get("fired", ())) <= objects
        assert results["explain"]["fired"] == results["info"]["fired"] == []


@every_attack
def test_who_loads_sees_what_stock_does(attack: Attack, records: Records) -> None:
    for results in results_of(attack, records):
        assert results["load_model"]["raised"] == results["stock"]["raised"]
        if "stock objects" in results:
            assert results["load_saved_model"]["raised"] == results["stock objects"]["raised"]


@pytest.mark.parametrize("package", [KERAS3, KERAS2])
def test_a_conversion_takes_no_more_memory_than_a_small_model(
    package: str, records: Records
) -> None:
    """What stock takes it for, a twin is not made of."""
    assert not [
        each["name"] for each in records(package) if "memory" in each["results"]["warm"]["fired"]
    ]


def test_keras_3_runs_and_reads_nothing(records: Records) -> None:
    """The newest Keras is what the others are measured by."""
    fired = {
        each for row in records(KERAS3) for run in row["results"].values() for each in run["fired"]
    }

    assert fired <= {"memory"}


def test_the_page_says_so(records: Records) -> None:
    """`python -m tests.security.refusals` writes it."""
    text = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    if versions() not in text:
        pytest.skip("the page was written for other versions")

    assert text == tables({each: records(each) for each in (KERAS3, KERAS2)}).strip()
