"""What predictors need from a SavedModel that TensorFlow 1 wrote: its graph and its variables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from fastload.convert.conversion import Section
from fastload.errors import UnconvertibleModelError
from fastload.runtime.core.tensorflow import Checkpoint, parse_saved_model
from fastload.runtime.functions.flat_function import NotFlatError
from fastload.runtime.saved_model.session_graph import (
    Variable,
    feeds,
    pruned,
    served_signatures,
    signature_of_graph,
    variables_of,
)
from fastload.twin.format import SESSION_GRAPH, SESSION_VARIABLES, SIGNATURES, WeightSpec

#: The tag of the graph for serving.
SERVING: Final = "serve"


def serving_graph(saved_model: Any) -> Any:
    """Return the `MetaGraphDef` that `load_predictor` uses.

    Raises:
        UnconvertibleModelError: there are several, and not exactly one has the serving tag alone.
    """
    graphs = saved_model.meta_graphs
    if len(graphs) > 1:
        graphs = [each for each in graphs if list(each.meta_info_def.tags) == [SERVING]]
    if len(graphs) != 1:
        raise UnconvertibleModelError("the SavedModel has several meta-graphs")
    return graphs[0]


def serving_tags(folder: Path) -> list[str] | None:
    """Return the tags for loading the SavedModel at *folder*; None if it has one graph."""
    try:
        saved_model = parse_saved_model((folder / "saved_model.pb").read_bytes())
        return [SERVING] if len(saved_model.meta_graphs) > 1 else None
    except (OSError, UnconvertibleModelError):  # the stock loader will raise its own error
        return None


def session_section(folder: Path, meta_graph: Any) -> Section:
    """Return the section for predictors.

    Args:
        folder: the SavedModel.
        meta_graph: its `MetaGraphDef`.

    Raises:
        UnconvertibleModelError: it has no signatures, or lacks a variable in the checkpoint.
    """
    small, signatures = _small(meta_graph)
    variables = variables_of(small.graph_def.node)
    weights = _weights(folder, variables)
    names = {node: weights[variable.key].name for node, variable in variables.items()}
    return Section(
        documents={
            SESSION_GRAPH: small.SerializeToString(deterministic=True),
            SESSION_VARIABLES: json.dumps(names).encode(),
            SIGNATURES: json.dumps(signatures).encode(),
        },
        weights=weights,
    )


def _small(meta_graph: Any) -> tuple[Any, dict[str, Any]]:
    """Return the part of the graph that signatures need, and their inputs and outputs."""
    needed: set[str] = set()
    described = {}
    small = type(meta_graph)()
    for name, definition in sorted(served_signatures(meta_graph).items()):
        try:
            described[name] = signature_of_graph(name, definition).to_json()
            given = [info.name for info in feeds(definition).values()]
            fetched = [info.name for info in definition.outputs.values()]
            needed |= {node.name for node in pruned(meta_graph.graph_def, fetched, given)}
        except NotFlatError as error:
            raise UnconvertibleModelError(f"the signature {name!r}: {error}") from error
        small.signature_def[name].CopyFrom(definition)
    if not described:
        raise UnconvertibleModelError("the SavedModel has no signatures")
    small.graph_def.CopyFrom(meta_graph.graph_def)
    del small.graph_def.node[:]
    small.graph_def.node.extend(n for n in meta_graph.graph_def.node if n.name in needed)
    return small, described


def _weights(folder: Path, variables: dict[str, Variable]) -> dict[str, WeightSpec]:
    keys = sorted({variable.key for variable in variables.values()})
    if not keys:
        return {}
    checkpoint = Checkpoint(folder / "variables" / "variables")
    if missing := [key for key in keys if key not in checkpoint]:
        raise UnconvertibleModelError(f"the checkpoint has no variable {missing[0]!r}")
    return {
        key: WeightSpec(
            name=f"variables/{key}", dtype=checkpoint.dtype(key), shape=checkpoint.shape(key)
        )
        for key in keys
    }
