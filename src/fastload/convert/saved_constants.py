"""Values of the constants in a SavedModel's main graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastload.runtime.core.tensorflow import parse_saved_model, tensorflow
from fastload.source.saved_model_parts import read_functions


def constant_values(path: Path, names: Sequence[str]) -> list[Any]:
    """Return the values of the nodes *names* of the `saved_model.pb` at *path*, as arrays.

    Raises:
        UnconvertibleModelError: it is damaged.
    """
    meta_graph = parse_saved_model(read_functions(path, frozenset(names)).objects).meta_graphs[0]
    found = {node.name: node.attr["value"].tensor for node in meta_graph.graph_def.node}
    return [tensorflow().make_ndarray(found[name]) for name in names]
