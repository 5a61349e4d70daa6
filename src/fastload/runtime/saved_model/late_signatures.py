"""The signatures of a SavedModel beside the Keras model that was made of its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastload.runtime.core.tensorflow import parse_saved_model
from fastload.runtime.saved_model.object_paths import captured, paths
from fastload.runtime.saved_model.objects import TwinLoader, load_partial_over, sources_of
from fastload.twin.format import SAVED_OBJECTS
from fastload.twin.reader import Twin

_BELOW: Final = "root.signatures."


def load_signatures(twin: Twin, folder: str, variables: Mapping[int, Any]) -> Mapping[str, Any]:
    """Let TensorFlow load the signatures, over variables that exist and hold what they hold.

    Args:
        twin: a twin with a function section.
        folder: the SavedModel's folder, where its assets are.
        variables: of the live model, by node id in the SavedModel's object graph.
    """
    saved_model = parse_saved_model(twin.document(SAVED_OBJECTS))
    meta_graph = saved_model.meta_graphs[0]
    filters, constants = _needed(meta_graph.object_graph_def, variables)
    sources = sources_of(twin, meta_graph)
    # The model may have been trained since.
    sources.bound.update(map(str, variables))
    kind = type("Signatures", (_SignatureLoader,), {"constants": constants})
    found = load_partial_over(saved_model, sources, kind)(folder, filters)["root.signatures"]
    return dict(found.items())


class _SignatureLoader(TwinLoader):
    """Makes signatures alone, beside a model that is there."""

    constants: set[int]

    def _retrieve_all_filtered_nodes(self) -> set[int]:
        return (super()._retrieve_all_filtered_nodes() or set()) | self.constants

    def _setup_function_captures(self, name: str, nodes: Any) -> None:
        # The functions of single layers capture what is not loaded here.
        captured_nodes = self._proto.concrete_functions[name].bound_inputs
        if all(nodes[node] is not None for node in captured_nodes):
            super()._setup_function_captures(name, nodes)

    def _restore_checkpoint(self) -> None:
        """Give weights to variables that the model lacks; the model's own keep theirs."""
        self.sources.bind(self._nodes.__getitem__)


def _needed(graph: Any, variables: Mapping[int, Any]) -> tuple[dict[str, Any], set[int]]:
    """Return what `load_partial` shall load (None) and what is there, by path from the root.

    And the nodes that no path leads to: constants, in files that TensorFlow 2.8 wrote.
    """
    found = paths(graph)
    filters: dict[str, Any] = {"root.signatures": None}
    needed = captured(graph, [n for n, path in found.items() if path.startswith(_BELOW)])
    for node in needed & found.keys():
        filters[found[node]] = (variables[node], setattr) if node in variables else None
    return filters, needed - found.keys()
