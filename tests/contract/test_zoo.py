"""The promise, model by model: the only way to tell that fastload is there is the speed.

Every model of the zoo is loaded by the stock loader and by fastload in each state of the cache, in
processes of their own, and described in full; the descriptions have to be equal. Where stock fails,
fastload fails in the same words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from contract.comparison import GROUPS, assert_same
from contract.runs import Findings, State, states_of
from zoo.catalogue import Artefact

# The first test waits for every worker, which loads the whole zoo.
pytestmark = pytest.mark.timeout(7200)


@pytest.mark.parametrize("group", GROUPS)
def test_model_is_the_one_that_stock_loads(
    artefact: Artefact, group: str, findings: Findings, require: Callable[[Artefact], None]
) -> None:
    """Loaded by fastload in any state, a model cannot be told from stock's."""
    require(artefact)
    for state in states_of(artefact):
        stock = findings.stock[artefact.id, state.stock_variant]
        ours = findings.ours[artefact.id, state.name]

        assert_same(stock["told"], ours["told"], GROUPS[group], f"{artefact.id}, {state.name}")


def test_load_is_served_from_the_twin(
    artefact: Artefact, findings: Findings, require: Callable[[Artefact], None]
) -> None:
    """What stock can load comes from the twin; some SavedModels cannot, and the report says why."""
    require(artefact)
    unserved = {}
    for state in states_of(artefact):
        stock = findings.stock[artefact.id, state.stock_variant]
        report = findings.ours[artefact.id, state.name].get("report")
        if stock["told"]["load"] is None and not _is_served(artefact, state, report):
            unserved[state.name] = report

    assert unserved == {}


def test_saved_object_is_the_one_that_stock_loads(
    artefact: Artefact, findings: Findings, require: Callable[[Artefact], None]
) -> None:
    """`load_saved_model` gives what `tf.saved_model.load` gives, from the twin."""
    require(artefact)
    if artefact.format != "tf":
        pytest.skip("no SavedModel")
    told = findings.objects[artefact.id]
    if told.get("died") == "in stock":
        pytest.skip("TensorFlow aborts the process on the sample inputs")

    assert "died" not in told
    for outcome in ("miss", "hit"):
        found, _, reason = told[f"{outcome} report"]
        assert told[outcome] == told["stock"]
        assert found == outcome or "load" in told["stock"], reason


def test_predictor_computes_what_stock_computes(
    artefact: Artefact, findings: Findings, require: Callable[[Artefact], None]
) -> None:
    """A predictor gives each function's results to the bit, in the structure of `predict`."""
    require(artefact)
    if artefact.id not in findings.predictors:
        pytest.skip("predictors need TensorFlow")
    told = findings.predictors[artefact.id]
    if told.get("died") == "in stock":
        pytest.skip("TensorFlow aborts the process on the sample inputs")

    assert "died" not in told
    stock = told["stock"]
    is_dense = artefact.name not in {"sparse_inputs", "ragged_inputs"}
    if artefact.format == "tf" and stock.get("results") == "{}":
        pytest.skip("it has no signatures; its model is compared in another format")
    for outcome in ("miss", "hit"):
        ours = told[outcome]
        if "error" in ours:
            assert ours["error"] in {stock.get("error"), stock.get("results"), "NoFunctionError"}
            assert stock.get("results", "Error").endswith("Error") or not is_dense
            continue
        found, code, _ = told[f"{outcome} report"]
        assert ours["results"] == stock["results"]
        if is_dense and not stock["structure"].endswith("Error"):
            assert ours["structure"] == stock["structure"]
        assert found == outcome or code in _LACKS


def test_twin_is_never_written_through_a_model(
    artefact: Artefact, findings: Findings, require: Callable[[Artefact], None]
) -> None:
    """Calling, training and saving a mapped model leaves every byte of its twin alone."""
    require(artefact)
    for state in states_of(artefact):
        told = findings.ours[artefact.id, state.name]
        before = told.get("report", {}).get("twin_before")

        assert before == told.get("twin_after"), f"{artefact.id}, {state.name}"


#: What may be lacking in a SavedModel's files, however well stock loads it from its functions: the
#: contents of a table or a loss (FL203), or a class (FL205).
_LACKS = frozenset({"FL203", "FL205"})
#: No file of the zoo is.
_DAMAGED = "damaged"


def _is_served(artefact: Artefact, state: State, report: dict[str, Any] | None) -> bool:
    return bool(report and report["outcome"] == state.outcome)
