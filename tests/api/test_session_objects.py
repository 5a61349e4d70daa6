"""SavedModels that TensorFlow 1 wrote, through `load_saved_model`: what stock's loader returns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastload
from tests.conftest import RunPython
from tests.contract import saved_objects
from tests.session_models import SESSION_MODELS, SIGNATURES, X, save_session_model

tf = pytest.importorskip("tensorflow")

pytestmark = [
    # TensorFlow's own words on its old interfaces.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def loaded(path: str, outcome: str, **options: Any) -> Any:
    ours = fastload.load_saved_model(path, strict=True, **options)
    report = fastload.last_load()
    assert report is not None
    assert (report.outcome.value, report.reason) == (outcome, None)
    return ours


def results(root: Any, name: str) -> list[Any]:
    found = []
    for signature in SIGNATURES[name]:
        for each in SESSION_MODELS[name].inputs:
            tensors = {key: tf.constant(value) for key, value in each.items()}
            found.append(
                saved_objects.told(tf, lambda s=signature, t=tensors: root.signatures[s](**t))
            )
    return found


def variables(root: Any) -> list[Any]:
    return [
        (type(v), v.name, v.dtype, v.shape.as_list(), v.trainable, v.device, told_value(v))
        for v in root.variables
    ]


def told_value(variable: Any) -> Any:
    return saved_objects.told(tf, variable.read_value)


def shown(function: Any) -> Any:
    """What a function of TensorFlow says of itself; nodes without their numbers."""
    return (
        function.__class__,
        str(function.structured_input_signature),
        {
            k: (v.dtype, v.shape.as_list())
            for k, v in function.structured_outputs.items()
            if v is not None
        },
        [(t.dtype, t.shape.as_list()) for t in function.inputs],
        [v.name for v in function.variables],
        [v.name for v in function.graph.get_collection("variables") if hasattr(v, "numpy")],
        len(function.captured_inputs),
        function._arg_keywords,
        function._num_positional_args,
        operations(function.graph),
    )


def operations(graph: Any) -> list[Any]:
    """The operations of a graph, without those that nothing needs.

    Stock leaves some where it has cut a loop open, and behind tensors that are fed.
    """
    needed: dict[str, Any] = {}
    waiting = [t.op for t in (*graph.inputs, *graph.outputs)] + list(graph.control_outputs)
    while waiting:
        operation = waiting.pop()
        if operation.name not in needed:
            needed[operation.name] = operation.type, operation.device
            waiting += [each.op for each in operation.inputs] + list(operation.control_inputs)
    return sorted(needed.items())


@pytest.mark.parametrize("name", sorted(SESSION_MODELS))
def test_it_is_what_stock_returns(name: str, tmp_path: Path, cache_root: Path) -> None:
    path = save_session_model(name, tmp_path / "model")
    stock = tf.saved_model.load(path)
    expected = results(stock, name)

    for outcome in ("miss", "hit", "hit"):
        ours = loaded(path, outcome)

        assert ours.__class__ is stock.__class__
        assert variables(ours) == variables(stock)
        assert results(ours, name) == expected
        assert sorted(ours.signatures) == sorted(stock.signatures)
        assert type(ours.signatures) is type(stock.signatures)
        for signature in SIGNATURES[name]:
            assert shown(ours.signatures[signature]) == shown(stock.signatures[signature])
        assert vars(ours).keys() == vars(stock).keys()
        assert ours.tensorflow_version == stock.tensorflow_version
        assert [str(each.asset_path) for each in ours.asset_paths] == [
            str(each.asset_path) for each in stock.asset_paths
        ]


@pytest.mark.parametrize("name", sorted(SESSION_MODELS))
def test_the_whole_graph_comes_when_it_is_asked_for(
    name: str, tmp_path: Path, cache_root: Path
) -> None:
    """Over the same variables and tables, also after their values have changed."""
    path = save_session_model(name, tmp_path / "model")
    stock = tf.saved_model.load(path)
    loaded(path, "miss")
    ours = loaded(path, "hit")
    for root in (stock, ours):
        for variable in root.variables:
            if variable.dtype.is_floating:
                variable.assign_add(tf.ones_like(variable))
    signature = SIGNATURES[name][0]
    before = results(ours, name)

    assert [(o.name, o.type, o.device) for o in ours.graph.get_operations()] == [
        (o.name, o.type, o.device) for o in stock.graph.get_operations()
    ]
    assert ours.graph.get_all_collection_keys() == stock.graph.get_all_collection_keys()
    assert results(ours, name) == before == results(stock, name)
    feeds = [each.name for each in stock.signatures[signature].inputs[: len(inputs_of(name))]]
    fetches = fetched(stock, signature)
    pruned = [root.prune(feeds, fetches) for root in (stock, ours)]
    values = [tf.constant(SESSION_MODELS[name].inputs[0][key]) for key in inputs_of(name)]
    first, second = (saved_objects.told(tf, lambda f=f: f(*values)) for f in pruned)
    assert first == second


def inputs_of(name: str) -> list[str]:
    return sorted(SESSION_MODELS[name].inputs[0])


def fetched(root: Any, signature: str) -> list[str]:
    return [each.name for each in root.signatures[signature].outputs[:1]]


def test_only_what_a_signature_needs_is_imported(tmp_path: Path, cache_root: Path) -> None:
    path = save_session_model("two signatures", tmp_path / "model")
    loaded(path, "miss")
    ours = loaded(path, "hit")

    ours.signatures["second"](x=tf.constant(X))

    names = {each.name for each in ours.signatures["second"].graph.get_operations()}
    assert "second/y" in names
    assert "first/y" not in names


def test_gradients_reach_the_variables(tmp_path: Path, cache_root: Path) -> None:
    path = save_session_model("dense with resources", tmp_path / "model")
    loaded(path, "miss")

    def gradient(root: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(root.signatures["serving_default"](x=tf.constant(X))["y"])
        (found,) = tape.gradient(loss, [root.variables[0]])
        root.variables[0].assign_sub(found)
        return found.numpy().tolist(), results(root, "dense with resources")

    assert gradient(loaded(path, "hit")) == gradient(tf.saved_model.load(path))


@pytest.mark.parametrize("name", ["dense with resources", "vocabulary", "loop with resources"])
def test_it_is_saved_again(name: str, tmp_path: Path, cache_root: Path) -> None:
    path = save_session_model(name, tmp_path / "model")
    expected = results(tf.saved_model.load(path), name)
    loaded(path, "miss")
    ours = loaded(path, "hit")

    tf.saved_model.save(ours, str(tmp_path / "again"), signatures=dict(ours.signatures.items()))
    again = tf.saved_model.load(str(tmp_path / "again"))

    assert results(again, name) == expected


def test_it_is_restored_anew(tmp_path: Path, cache_root: Path) -> None:
    """`restore`, which stock's loader leaves at the root, reads another checkpoint."""
    path = save_session_model("dense with resources", tmp_path / "model")
    loaded(path, "miss")
    ours = loaded(path, "hit")
    expected = ours.variables[0].numpy()
    ours.variables[0].assign(np.zeros_like(expected))

    ours.restore(str(tmp_path / "model" / "variables" / "variables"))

    assert (ours.variables[0].numpy() == expected).all()


def test_each_load_has_tables_of_its_own(tmp_path: Path, cache_root: Path) -> None:
    path = save_session_model("vocabulary", tmp_path / "model")
    first, second = loaded(path, "miss"), loaded(path, "hit")
    words = {"words": tf.constant(["dog", "cow"])}

    assert first.graph is not second.graph
    for root in (first, second):
        assert root.signatures["serving_default"](**words)["ids"].numpy().tolist() == [1, -1]


TAGS = [["train"], ["serve"], {"serve"}, "serve", ("serve", "gpu"), None, ["other"]]


@pytest.mark.parametrize("tags", TAGS, ids=str)
def test_tags_choose_the_graph(tags: Any, tmp_path: Path, cache_root: Path) -> None:
    path = save_session_model(
        "dense", tmp_path / "model", tags=(("train",), ("serve",), ("serve", "gpu"))
    )

    def outcome(load: Callable[..., Any]) -> Any:
        return saved_objects.told(tf, lambda: results(load(path, tags=tags), "dense"))

    expected = outcome(tf.saved_model.load)
    assert outcome(fastload.load_saved_model) == expected
    assert outcome(fastload.load_saved_model) == expected
    report = fastload.last_load()
    assert report is not None
    assert report.outcome.value == ("bypass" if isinstance(expected, tuple) else "hit")


WARNINGS = """
import logging, sys
import tensorflow as tf
import fastload

class Keep(logging.Handler):
    def emit(self, record):
        print("warned:", record.getMessage())

tf.get_logger().addHandler(Keep(logging.WARNING))
load = fastload.load_saved_model if sys.argv[2] == "ours" else tf.saved_model.load
for _ in range(2):
    load(sys.argv[1])
print("again")
load(sys.argv[1])
"""


@pytest.mark.slow
def test_warnings_of_variables_without_object_are_those_of_stock(
    tmp_path: Path, cache_root: Path, run_python: RunPython
) -> None:
    path = save_session_model("dense", tmp_path / "model")
    loaded(path, "miss")

    stock = run_python(WARNINGS, path, "stock")
    ours = run_python(WARNINGS, path, "ours", FASTLOAD_CACHE_DIR=str(cache_root))

    assert "reference variable" in stock
    assert ours == stock
