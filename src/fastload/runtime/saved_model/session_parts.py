"""Functions cut out of a graph of TensorFlow 1, each by importing the nodes that it needs.

TensorFlow's loader imports the whole graph and then copies what each signature needs into a graph
of its own, operation by operation in Python. Here a function's graph is imported at once, and
TensorFlow's `prune` makes the function of it, for which nothing is left to copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any

from fastload.runtime.core.tensorflow import tensorflow
from fastload.runtime.core.transplant import Overlay, transplanted
from fastload.runtime.requirements import SESSION
from fastload.runtime.saved_model.session_document import SessionGraph
from fastload.runtime.saved_model.session_graph import operation_name, tensor_name

#: What belongs to the graph that a node was in.
_OF_THE_GRAPH = ("_class", "_tpu_replicate")


def known_shape(sizes: Sequence[int] | None) -> list[int | None] | None:
    """Return a shape as TensorFlow takes it.

    Args:
        sizes: as in `session_facts.FedTensor`.

    Example:
        >>> known_shape([-1, 3]), known_shape(None)
        ([None, 3], None)
    """
    return None if sizes is None else [None if size < 0 else size for size in sizes]


class FixedNodes:
    """The nodes of one load, in which names that must not be shared with other loads are new.

    Args:
        graph: the graph in the twin.
    """

    def __init__(self, graph: SessionGraph) -> None:
        self._graph = graph
        # One for all parts: tables that share a name within the graph must share it here.
        self._suffix = f"_load_{SESSION.part('ops').uid()}"
        self._fixed: dict[int, Any] = {}

    def graph_def(self, numbers: Iterable[int]) -> Any:
        """Return a `GraphDef` with the nodes *numbers* and all functions."""
        missing = [number for number in numbers if number not in self._fixed]
        for number, node in zip(missing, self._graph.graph_def(missing).node, strict=True):
            SESSION.part("functions").fix_node_def(node, self.functions, self._suffix)
            self._fixed[number] = node
        found = type(self._graph.meta_graph.graph_def)(
            node=[self._fixed[number] for number in numbers],
            versions=self._graph.meta_graph.graph_def.versions,
        )
        for function in self.functions.values():
            found.library.function.add().CopyFrom(function.function_def)
        return found

    @cached_property
    def functions(self) -> Mapping[str, Any]:
        """The functions of the graph, by the name that they had."""
        library = self._graph.meta_graph.graph_def.library
        load = SESSION.part("functions").load_function_def_library
        functions: Mapping[str, Any] = load(library, load_shared_name_suffix=self._suffix)
        return functions


class Parts:
    """What makes the functions of one load.

    Args:
        graph: the graph in the twin.
        variables: the variables of the load, by node.
        holder: TensorFlow's holder of them.
    """

    def __init__(self, graph: SessionGraph, variables: Mapping[str, Any], holder: Any) -> None:
        self._graph, self._variables, self._holder = graph, variables, holder
        self.nodes = FixedNodes(graph)
        self._outer = SESSION.part("func_graph").FuncGraph("wrapped_function", collections={})
        #: The device that the load runs under, if the caller chose one.
        self._device = SESSION.part("context").context().device_name or None
        self._set_collections()

    @contextmanager
    def as_at_the_load(self) -> Iterator[None]:
        """Run the block outside of any graph: an access from inside of one must not build there."""
        with tensorflow().init_scope(), tensorflow().device(self._device):
            yield

    def keep_their_names(self, definition: Any, fed: Iterable[str]) -> bool:
        """Say whether nodes keep their names where they are imported as a part of the graph.

        An importer renames `a` where `a/b` is there already, as what a function takes is.

        Args:
            definition: the part, as `nodes.graph_def` returns it.
            fed: names of the tensors that its function takes.
        """
        taken = [*self._variables, *map(operation_name, fed)]
        scopes = {str(scope) for name in taken for scope in PurePosixPath(name).parents}
        return not any(node.name in scopes for node in definition.node)

    def wrapped(self, definition: Any, fed: Iterable[str]) -> Any:
        """Return what stands in for TensorFlow's wrapped graph: a part of it, to be pruned once.

        Args:
            definition: the part, as `nodes.graph_def` returns it.
            fed: names of the tensors that its function takes.
        """
        with self._outer.as_default():
            graph = SESSION.part("func_graph").FuncGraph("pruned")
        with graph.as_default():
            handles = {name: self._handle(name, each) for name, each in self._variables.items()}
            given = {f"{name}:0": handle for name, handle in handles.items()}
            given |= {name: self._fed(name) for name in map(tensor_name, fed) if self._is_cut(name)}
            self._import(definition, given)
        captures = [(each.handle, handles[name]) for name, each in self._variables.items()]
        return self._stand_in(graph, captures, given)

    def _handle(self, name: str, variable: Any) -> Any:
        """Return the placeholder of a variable's handle, in the default graph."""
        handle = tensorflow().compat.v1.placeholder(tensorflow().resource, (), name=name)
        resources = SESSION.part("variables")
        known = resources.get_eager_safe_handle_data(variable.handle)
        resources._set_handle_shapes_and_types(handle, known, graph_mode=True)
        return handle

    def _is_cut(self, name: str) -> bool:
        return not self._graph.facts["fed"][name]["has_default"]

    def _fed(self, name: str) -> Any:
        """Return the placeholder of a tensor that is fed, in the default graph."""
        described = self._graph.facts["fed"][name]
        placeholder = tensorflow().compat.v1.placeholder
        shape = known_shape(described["shape"])
        return placeholder(described["dtype"], shape, name=operation_name(name))

    def _import(self, definition: Any, given: Mapping[str, Any]) -> None:
        there = {operation_name(name) for name in given}
        nodes = [node for node in definition.node if node.name not in there]
        kept = type(definition)(versions=definition.versions, library=definition.library)
        _copy(nodes, kept)
        used = {tensor_name(each) for node in kept.node for each in node.input}
        info = self._graph.meta_graph.meta_info_def
        SESSION.part("importer").import_graph_def(
            kept,
            name="",
            input_map={name: tensor for name, tensor in given.items() if name in used},
            producer_op_list=info.stripped_op_list if info.HasField("stripped_op_list") else None,
        )

    def _stand_in(self, graph: Any, captures: list[Any], given: Mapping[str, Any]) -> Any:
        stock = SESSION.part("wrap_function")
        elements = {
            "captures": captures,
            "internal_captures": [inner for _, inner in captures],
            "variables": tuple(self._variables.values()),
            "_functions": {},
            "as_graph_element": lambda name, *_a, **_k: _element(graph, given, name),
            "get_tensor_by_name": lambda name: _element(graph, given, name),
        }
        stand_in = SimpleNamespace(
            graph=Overlay(graph, elements), _func_graph=graph, _variable_holder=self._holder
        )
        prune = transplanted(
            stock,
            stock.WrappedFunction.prune,
            {
                "func_graph": Overlay(stock.func_graph, {"FuncGraph": lambda _name: graph}),
                "lift_to_graph": SimpleNamespace(lift_to_graph=lambda *_a, **_k: _Lifted()),
            },
        )
        stand_in.prune = partial(prune, stand_in)
        return stand_in

    def _set_collections(self) -> None:
        keys = tensorflow().compat.v1.GraphKeys
        for described in self._graph.facts["variables"]:
            key = keys.LOCAL_VARIABLES if described["is_local"] else keys.GLOBAL_VARIABLES
            self._outer.add_to_collection(key, self._variables[described["node"]])


def _copy(nodes: Sequence[Any], graph: Any) -> None:
    """Copy *nodes* to the message *graph*, without what holds in the graph that they were in."""
    controlled = {f"^{node.name}" for node in nodes}
    for node in nodes:
        new = graph.node.add()
        new.CopyFrom(node)
        for attribute in [each for each in new.attr if each.startswith(_OF_THE_GRAPH)]:
            del new.attr[attribute]
        new.input[:] = [e for e in node.input if not e.startswith("^") or e in controlled]


class _Lifted:
    """The map from a graph to the copy of it that was never made."""

    def __getitem__(self, element: Any) -> Any:
        return element


def _element(graph: Any, given: Mapping[str, Any], name: Any) -> Any:
    """Return what is called *name* in the whole graph."""
    if isinstance(name, str) and tensor_name(name) in given and not name.startswith("^"):
        return given[tensor_name(name)]
    return graph.as_graph_element(name)
