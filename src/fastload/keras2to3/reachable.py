"""The operations that would run if a SavedModel were opened and called, and are not known to be
harmless.

A function of the library comes before an operation of the same name, as in TensorFlow's own lookup.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from fastload.runtime.saved_model.computing_operations import COMPUTING, RESTORING


def unknown_operations(meta_graph: Any) -> list[str]:
    """Return the operations outside `COMPUTING` that a session may run, by name.

    A session that loads a SavedModel restores its variables, initializes its tables and runs a
    signature: everything in the main graph but the node that saves.

    Args:
        meta_graph: a `MetaGraphDef`.
    """
    library = {each.signature.name: each for each in meta_graph.graph_def.library.function}
    saver = meta_graph.saver_def
    restores = saver.restore_op_name
    apart = {restores, saver.save_tensor_name.partition(":")[0]}
    nodes = [node for node in meta_graph.graph_def.node if node.name not in apart]
    restoring = [node for node in meta_graph.graph_def.node if node.name == restores]
    return sorted(
        _unknown(nodes, library, COMPUTING) | _unknown(restoring, library, COMPUTING | RESTORING)
    )


def _unknown(nodes: Iterable[Any], library: dict[str, Any], known: Collection[str]) -> set[str]:
    """Return operations outside *known* of *nodes*, and of all functions that they lead to."""
    found: set[str] = set()
    waiting, entered = list(nodes), set[str]()
    for node in waiting:  # grows while it is walked
        functions = [name for name in _functions_of(node) if name not in entered]
        waiting.extend(_bodies(functions, library))
        entered.update(functions)
        if node.op not in library and node.op not in known:
            found.add(node.op)
    return found


def _functions_of(node: Any) -> Iterator[str]:
    """Yield the functions that *node* may call: its operation, and its attributes."""
    yield node.op
    for value in node.attr.values():
        yield value.func.name
        yield from (each.name for each in value.list.func)


def _bodies(functions: Iterable[str], library: dict[str, Any]) -> Iterator[Any]:
    for name in functions:
        if name in library:
            yield from library[name].node_def
