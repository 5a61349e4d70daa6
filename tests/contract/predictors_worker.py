"""Compare predictors with the stock loaders' functions: `python predictors_worker.py REQUEST`.

REQUEST is a JSON file: `generation`, `folder`, `results`, `environment`, `only_stock`, `jobs`, each
an `id`, a `name` (in the catalogue), a `path` and a `format`. Each job leaves one JSON line: a
crash loses one job only.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contract import saved_objects
from zoo.catalogue import Kit, catalogue, kit


def run(request: dict[str, Any]) -> None:
    """Do every job of *request*."""
    os.environ.update(request["environment"])
    tools = kit(request["generation"], Path(request["folder"]), Path(request["folder"]))
    with Path(request["results"]).open("a", encoding="utf-8") as results:
        for job in request["jobs"]:
            told = {"id": job["id"], "stock": guarded(lambda job=job: _stock(tools, job))}
            if not request.get("only_stock"):
                told |= _ours(tools, job)
            print(json.dumps(told), file=results, flush=True)


def guarded(tell: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Return what *tell* returns, or the class of what it raises."""
    try:
        return tell()
    except Exception as error:
        return {"error": type(error).__name__}


def told_of(tell: Callable[[], Any]) -> str:
    """Return what *tell* returns as text, or the class of what it raises."""
    try:
        return repr(tell())
    except Exception as error:
        return type(error).__name__


def _stock(tools: Kit, job: dict[str, Any]) -> dict[str, str]:
    if Path(job["path"]).is_dir():
        signatures = tools.tf.saved_model.load(job["path"]).signatures
        found = saved_objects.signature_results(tools.tf, signatures)
        structure = told_of(lambda: _predicted(tools, _keras_model(tools, job)))
        return {"results": repr(_without_words(found)), "structure": structure}
    model = _keras_model(tools, job)
    return {
        "results": told_of(lambda: _called(tools, model)),
        "structure": told_of(lambda: _predicted(tools, model)),
    }


def _ours(tools: Kit, job: dict[str, Any]) -> dict[str, Any]:
    fastload = importlib.import_module("fastload")
    objects = catalogue()[job["name"]].custom
    fastload.register({name: getattr(tools.own, name) for name in objects})
    told: dict[str, Any] = {}
    for expected in ("miss", "hit"):
        told[expected] = guarded(lambda: _predictor(tools, job, fastload))
        if "error" not in told[expected]:  # otherwise the last report is of another load
            report = fastload.last_load()
            told[f"{expected} report"] = [report.outcome.value, report.code, report.reason]
    return told


def _predictor(tools: Kit, job: dict[str, Any], fastload: Any) -> dict[str, str]:
    package = tools.keras.__name__.partition(".")[0]
    ours = fastload.load_predictor(job["path"], keras=package)
    arguments = saved_objects.predictor_arguments(tools.tf, ours)
    if Path(job["path"]).is_dir():
        results = repr(_without_words(saved_objects.predictor_results(tools.tf, ours)))
    else:
        results = told_of(lambda: _plain(tools.tf, ours(arguments)))
    # After the results: a model may have a state.
    structure = told_of(lambda: _structure(tools.tf, ours.predict(arguments)))
    return {"results": results, "structure": structure}


def _keras_model(tools: Kit, job: dict[str, Any]) -> Any:
    names = catalogue()[job["name"]].custom
    objects = {name: getattr(tools.own, name) for name in names}
    return tools.keras.models.load_model(job["path"], custom_objects=objects, compile=False)


def _called(tools: Kit, model: Any) -> Any:
    """Return what the model gives in a graph that knows what a predictor's knows of shapes."""
    tf = tools.tf
    specs = [tf.TensorSpec(each.shape, each.dtype) for each in model.inputs]

    @tf.function(input_signature=specs, autograph=False)
    def call(*inputs: Any) -> Any:
        return model(_packed(tf, model, inputs), training=False)

    return _plain(tf, call(*_samples(tf, model)))


def _predicted(tools: Kit, model: Any) -> Any:
    tf = tools.tf
    inputs = _packed(tf, model, [each.numpy() for each in _samples(tf, model)])
    return _structure(tf, model.predict(inputs, verbose=0))


def _samples(tf: Any, model: Any) -> list[Any]:
    names = getattr(model, "input_names", None) or [each.name for each in model.inputs]
    specs = {
        name: (tf.as_dtype(tensor.dtype).name, tf.TensorShape(tensor.shape))
        for name, tensor in zip(names, model.inputs, strict=True)
    }
    arguments = saved_objects.arguments_of(tf, specs)
    return [arguments[name] for name in names]


def _packed(tf: Any, model: Any, tensors: Any) -> Any:
    try:
        structure = model.input
    except (AttributeError, ValueError):  # a sequential one; the second up to Keras 3.5
        return tensors[0]
    return tf.nest.pack_sequence_as(structure, tensors)


def _plain(tf: Any, nest: Any) -> Any:
    return saved_objects.told(tf, lambda: nest)


def _structure(tf: Any, nest: Any) -> Any:
    # Text keeps the order of a dict, which says nothing.
    if isinstance(nest, dict):
        return {key: _structure(tf, nest[key]) for key in sorted(nest)}
    return tf.nest.map_structure(lambda each: [str(each.dtype), list(each.shape)], nest)


def _without_words(results: dict[str, Any]) -> dict[str, Any]:
    """Return *results* with errors told by their class, for their words name functions, and sorted.

    Outputs come in the order of a map of protocol buffers, which is none.
    """
    return {name: _sorted(told) for name, told in sorted(results.items())}


def _sorted(told: Any) -> Any:
    if isinstance(told, tuple) and str(told[0]).endswith("Error"):
        return told[0]
    return dict(sorted(told.items())) if isinstance(told, dict) else told


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
