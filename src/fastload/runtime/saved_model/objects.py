"""TensorFlow's loader of objects, run over a twin: variables share its pages.

Everything that `tf.saved_model.load` leaves behind is made by TensorFlow's own code, object by
object; functions materialize on first access.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from fastload.errors import BypassError, RestoreError, TwinCorruptError, UnsupportedRuntimeError
from fastload.imports.collector import paused_collector
from fastload.runtime.core.blank_variables import assign
from fastload.runtime.core.bookkeeping import kernel_patches
from fastload.runtime.core.materialize import (
    materialized_on_access,
    once_materialized,
    taking_state,
)
from fastload.runtime.core.rebuild import Rebuild, available, rebuilding
from fastload.runtime.core.tensorflow import parse_saved_model
from fastload.runtime.core.transplant import Overlay, entry_over
from fastload.runtime.core.zero_copy import tensor_over
from fastload.runtime.requirements import OBJECTS
from fastload.runtime.saved_model.captures import PendingTensor, capture_of
from fastload.runtime.saved_model.concrete_functions import (
    FunctionLibrary,
    trackable_class,
    tracked_state,
)
from fastload.runtime.saved_model.deserialization import Deserialization
from fastload.runtime.saved_model.loader import no_debug_info
from fastload.runtime.saved_model.object_paths import functions_without_node
from fastload.twin.format import (
    FUNCTION_INDEX,
    FUNCTIONS,
    OTHER_STATE,
    SAVED_OBJECTS,
    SAVED_VARIABLES,
    SESSION_MODEL,
    SIGNATURE_NODES,
)
from fastload.twin.reader import Twin


def load_objects(twin: Twin, path: str, tags: Any) -> Any:
    """Return what `tf.saved_model.load` returns for the twin's source.

    Signatures and their variables are made now. Everything else materializes on first access to
    anything else, unless it has to exist from the beginning.

    Args:
        twin: a twin with a function section.
        path: the SavedModel's folder, where its assets are.
        tags: as in the stock loader.

    Raises:
        UnsupportedRuntimeError: TensorFlow lacks an operation of the model, or is not as expected.
    """
    saved_model = parse_saved_model(twin.document(SAVED_OBJECTS))
    meta_graph = saved_model.meta_graphs[0]
    require_operations(meta_graph.meta_info_def)
    signature_nodes = json.loads(twin.document(SIGNATURE_NODES))
    load = _Load(path, tags, saved_model, sources_of(twin, meta_graph), signature_nodes)
    root = meta_graph.object_graph_def.nodes[0]
    if not signature_nodes or load.is_revived_type(root):
        return load.partial(None)["root"]
    return load.pending_root(signature_nodes)


def load_partial_over(saved_model: Any, sources: Sources, kind: type) -> Callable[..., Any]:
    """Return TensorFlow's `load_partial`, run over a twin.

    Args:
        saved_model: the twin's `SavedModel` message.
        sources: what its loaders draw on.
        kind: what goes before TensorFlow's `Loader`; a `TwinLoader`.
    """
    stock = sources.stock
    parse = {"parse_saved_model_with_debug_info": lambda _: (saved_model, no_debug_info())}
    loader = type("Loader", (kind, stock.Loader), {"sources": sources})
    names = {"loader_impl": Overlay(stock.loader_impl, parse), "Loader": loader}
    return entry_over(stock, "load_partial", names)


class _Load:
    """One load: TensorFlow's loader, run once or twice over the same twin."""

    def __init__(
        self,
        path: str,
        tags: Any,
        saved_model: Any,
        sources: Sources,
        signature_nodes: Mapping[str, int],
    ) -> None:
        stock = sources.stock
        self._path, self._tags = path, tags
        kind = type("Objects", (_ObjectLoader,), {"node_ids": {"root": 0, **signature_nodes}})
        self._load_partial = load_partial_over(saved_model, sources, kind)
        self._new_root = functools.partial(stock.Loader._recreate_base_user_object, None)
        self._find_type = stock.revived_types.deserialize
        self._call = stock._call_attribute
        self._calls = any(
            child.local_name == "__call__"
            for child in saved_model.meta_graphs[0].object_graph_def.nodes[0].children
        )

    def is_revived_type(self, node: Any) -> bool:
        """Say whether *node* is made by a class that is registered with TensorFlow."""
        return node.WhichOneof("kind") != "user_object" or bool(self._find_type(node.user_object))

    def partial(self, filters: Mapping[str, Any] | Sequence[str] | None) -> dict[str, Any]:
        """Load the objects at these paths, but for those that are given; with None, load all."""
        with rebuilding(Rebuild(), available(kernel_patches)):
            found: dict[str, Any] = self._load_partial(self._path, filters, self._tags)
        return found

    def pending_root(self, signature_nodes: Mapping[str, int]) -> Any:
        """Return the root with its signatures; all else materializes on first access."""
        made = self.partial(list(signature_nodes))
        final = type(self._new_root()[0])

        trackable = trackable_class()

        def materialize(root: Any) -> None:
            del root.signatures
            there = {
                path: (node, _setter_of(node))
                for path, node in made.items()
                if isinstance(node, trackable)  # a constant is made anew
            }
            self.partial({"root": (root, setattr), **there})
            if self._calls:
                final.__call__ = self._call

        return materialized_on_access(
            final,
            materialize,
            {"signatures": made["root.signatures"]},
            becomes_callable=self._calls,
        )


def _setter_of(node: Any) -> Callable[[Any, str, Any], None]:
    """Return what gives *node* its children once more; signatures have theirs."""
    return setattr if not isinstance(node, Mapping) else lambda *_: None


def require_operations(meta_info: Any) -> None:
    """Check that each operation is there now; the stock loader would look all of them up.

    Raises:
        UnsupportedRuntimeError: TensorFlow lacks one.
    """
    registry = OBJECTS.part("op_def_registry")
    for operation in meta_info.stripped_op_list.op:
        if registry.get(operation.name) is None:
            raise UnsupportedRuntimeError(f"TensorFlow has no operation {operation.name!r} here")


def _library(twin: Twin, meta_graph: Any) -> FunctionLibrary:
    index: Mapping[str, list[int]] = json.loads(twin.document(FUNCTION_INDEX))
    gradients = meta_graph.graph_def.library
    # Read and checked now: when a function is made, it is too late to leave the load to stock.
    content = twin.document(FUNCTIONS)

    def definition(name: str) -> Any:
        offset, nbytes = index[name]
        message = type(gradients)().function.add()
        message.ParseFromString(content[offset : offset + nbytes])
        return message

    return FunctionLibrary(definition, index, gradients, meta_graph.object_graph_def)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the loaders of one load find what they do not make themselves.

    What the first of two runs did is not done again: the model may have been trained since.

    Attributes:
        stock: the module of the stock loader.
        deserialization: what is done to functions once they are made.
        library: all concrete functions.
        array: returns a weight by name.
        variables: names of weights by node id.
        has_other_state: the checkpoint holds more than variables, so it is restored as in stock.
        bound: nodes that have their weights.
        captured: functions whose captures are seen to.
    """

    stock: Any
    deserialization: Deserialization
    library: FunctionLibrary
    array: Callable[[str], Any]
    variables: Mapping[str, str]
    has_other_state: bool
    bound: set[str] = field(default_factory=set)
    captured: set[str] = field(default_factory=set)

    def bind(self, nodes: Callable[[int], Any]) -> None:
        """Give their weights to those variables that *nodes* returns, and that have none yet."""
        for node, name in self.variables.items():
            variable = nodes(int(node))
            if variable is not None and node not in self.bound:
                assign(variable, tensor_over(self.array(name)))
                self.bound.add(node)


def sources_of(twin: Twin, meta_graph: Any) -> Sources:
    """Return what a load of *twin* draws on.

    Args:
        twin: a twin with a function section.
        meta_graph: its `MetaGraphDef` without functions.
    """
    stock = OBJECTS.part("load")
    return Sources(
        stock=stock,
        deserialization=Deserialization(stock),
        library=_library(twin, meta_graph),
        array=twin.array,
        variables=json.loads(twin.document(SAVED_VARIABLES)),
        has_other_state=OTHER_STATE in twin.manifest.documents,
    )


class TwinLoader:
    """What goes before TensorFlow's `Loader`: pending functions, and weights from the twin."""

    sources: Sources
    _nodes: list[Any]
    _proto: Any

    # The stock loader makes all functions here; there are none in what it is given.
    _concrete_functions = property(lambda self: self.sources.library, lambda self, made: None)

    def _recreate_function(self, proto: Any, dependencies: Any) -> Any:
        sources = self.sources
        for name in proto.concrete_functions:
            sources.library.finish(name, functools.partial(sources.deserialization.sign, proto))
            self._setup_function_captures(name, dependencies)
        make = functools.partial(sources.deserialization.recreate, proto, sources.library)
        kind = sources.deserialization.function_class
        return materialized_on_access(kind, taking_state(make), tracked_state()), setattr

    def _recreate_bare_concrete_function(self, proto: Any, dependencies: Any) -> Any:
        name, sources = proto.concrete_function_name, self.sources
        action = functools.partial(sources.deserialization.set_up_bare, proto)
        sources.library.finish(name, action)
        self._setup_function_captures(name, dependencies)
        return sources.library[name], setattr

    def _setup_function_captures(self, name: str, nodes: Any) -> None:
        sources, graph = self.sources, self._proto
        if name not in sources.captured:
            sources.captured.add(name)
            order = graph.concrete_functions[name].bound_inputs
            captures = {node: capture_of(nodes[node]) for node in order}
            capture = functools.partial(sources.deserialization.capture, graph, name)
            sources.library.finish(name, functools.partial(_capture, capture, captures))

    def _retrieve_all_filtered_nodes(self) -> set[int] | None:
        """Return what is asked for, and the tensors that gradients capture; None for all."""
        found: set[int] | None = super()._retrieve_all_filtered_nodes()  # type: ignore[misc]
        if found is None:
            return None
        graph = self._proto
        for name in functions_without_node(graph):
            for node in graph.concrete_functions[name].bound_inputs:
                if graph.nodes[node].WhichOneof("kind") == "captured_tensor":
                    found.add(node)
        return found

    def _setup_remaining_functions(self) -> None:
        """Give their captures to functions that others call, where these are there."""
        nodes, graph = self._nodes, self._proto
        for name in functions_without_node(graph):
            if all(nodes[node] is not None for node in graph.concrete_functions[name].bound_inputs):
                self._setup_function_captures(name, nodes)

    def _get_tensor_from_fn(self, proto: Any) -> Any:
        # Where nobody but functions refers to it, the function that it is in can wait too.
        library = SimpleNamespace(_concrete_functions=self.sources.library)
        stock_way = self.sources.stock.Loader._get_tensor_from_fn
        return PendingTensor(functools.partial(stock_way, library, proto)), setattr

    def _add_object_graph_edges(self, proto: Any, node_id: int) -> None:
        waiting = [c for c in proto.children if isinstance(self._nodes[c.node_id], PendingTensor)]
        if waiting:
            names = {child.local_name for child in waiting}
            complete, proto = proto, type(proto)()
            proto.children.extend(c for c in complete.children if c.local_name not in names)
        for child in waiting:
            action = functools.partial(
                _set_made, self._nodes[node_id], child.local_name, self._nodes[child.node_id]
            )
            once_materialized(self._nodes[node_id], action)
        super()._add_object_graph_edges(proto, node_id)  # type: ignore[misc]

    def _restore_checkpoint(self) -> None:
        if self.sources.has_other_state:
            super()._restore_checkpoint()  # type: ignore[misc]
            return
        self.sources.bind(self._nodes.__getitem__)


class _ObjectLoader(TwinLoader):
    """Finds what is asked for by path where the conversion found it."""

    node_ids: Mapping[str, int]
    _node_filters: Any

    def _convert_node_paths_to_ints(self) -> dict[str, int] | None:
        """Return the node ids of what is asked for; the stock way walks each path anew."""
        if self._node_filters is None:
            return None
        return {path: self.node_ids[path] for path in self._node_filters}


def _capture(
    capture: Callable[[Mapping[int, Any], Any], None],
    captures: Mapping[int, Callable[[], Any]],
    function: Any,
) -> None:
    capture({node: found() for node, found in captures.items()}, function)


def _set_made(owner: Any, name: str, tensor: PendingTensor) -> None:
    setattr(owner, name, tensor.make())


def restore_saved_model(twin: Twin, path: str, tags: Any) -> Any:
    """Return the object that `tf.saved_model.load` would return for the twin's source.

    Args:
        twin: a twin with a function section, or of a SavedModel that TensorFlow 1 wrote.
        path: the SavedModel's folder.
        tags: as in the stock loader.

    Raises:
        TwinCorruptError: a document of the twin is not what was written.
        RestoreError: TensorFlow raised where stock may not have.
        BypassError: TensorFlow cannot be driven as expected, or lacks an operation.
    """
    try:
        with paused_collector():
            if SESSION_MODEL in twin.manifest.documents:
                # Imported here: few SavedModels are of TensorFlow 1.
                from fastload.runtime.saved_model.session_objects import load_session

                return load_session(twin, path, tags)
            return load_objects(twin, path, tags)
    except (BypassError, TwinCorruptError, MemoryError):
        raise
    except Exception as error:
        raise RestoreError(twin.path, f"{type(error).__name__}: {error}") from error
