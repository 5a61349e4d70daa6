"""Graphs of TensorFlow 1 in a twin: what surrounds their nodes, and each node by number."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

from fastload.runtime.core.tensorflow import parse_saved_model
from fastload.twin.format import SESSION_FACTS, SESSION_MODEL, SESSION_NODES
from fastload.twin.reader import Twin


def session_documents(saved_model: Any, facts: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """Return the documents of a twin.

    Args:
        saved_model: a `SavedModel` message; its nodes are taken out.
        facts: `SessionFacts.to_json` of each graph.
    """
    nodes, described, start = bytearray(), [], 0
    for meta_graph, found in zip(saved_model.meta_graphs, facts, strict=True):
        parts = [_alone(meta_graph.graph_def, node) for node in meta_graph.graph_def.node]
        described.append({**found, "offsets": list(accumulate(map(len, parts), initial=start))})
        nodes += b"".join(parts)
        start = len(nodes)
        del meta_graph.graph_def.node[:]
    return {
        SESSION_MODEL: saved_model.SerializeToString(deterministic=True),
        SESSION_NODES: bytes(nodes),
        SESSION_FACTS: json.dumps(described).encode(),
    }


def _alone(graph: Any, node: Any) -> bytes:
    """Return a `GraphDef` with nothing but *node*: joined, such bytes are one `GraphDef`."""
    content: bytes = type(graph)(node=[node]).SerializeToString(deterministic=True)
    return content


class SessionGraph:
    """One graph in a twin.

    Args:
        meta_graph: its `MetaGraphDef` without nodes.
        facts: `SessionFacts` as JSON.
        content: returns the document with the nodes.
    """

    def __init__(
        self, meta_graph: Any, facts: Mapping[str, Any], content: Callable[[], bytes]
    ) -> None:
        self.meta_graph = meta_graph
        self.facts = facts
        self._content = content

    def __len__(self) -> int:
        return len(self.facts["offsets"]) - 1

    def graph_def(self, numbers: Iterable[int]) -> Any:
        """Return a `GraphDef` with some of the nodes, and the functions of all.

        Args:
            numbers: which nodes.
        """
        graph = type(self.meta_graph.graph_def)()
        graph.CopyFrom(self.meta_graph.graph_def)
        offsets, content = self.facts["offsets"], self._nodes
        graph.MergeFromString(b"".join(content[offsets[n] : offsets[n + 1]] for n in numbers))
        return graph

    @cached_property
    def _nodes(self) -> bytes:
        return self._content()


def session_model(twin: Twin) -> tuple[Any, list[SessionGraph]]:
    """Return the `SavedModel` without nodes of *twin*, and its graphs."""
    saved_model = parse_saved_model(twin.document(SESSION_MODEL))
    graphs = [
        SessionGraph(meta_graph, facts, lambda: twin.document(SESSION_NODES))
        for meta_graph, facts in zip(
            saved_model.meta_graphs, json.loads(twin.document(SESSION_FACTS)), strict=True
        )
    ]
    return saved_model, graphs
