"""Turn the variables that a graph captures into plain tensor arguments.

A graph reads a variable through its handle, a resource. Where it does nothing else with the handle,
the weight itself can come in its place: no variable has to be made, and the weight never becomes a
constant. Handles go through loops, branches and calls, so the functions that are handed one are
copied for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fastload.runtime.functions.flat_function import NotFlatError
from fastload.runtime.functions.handle_flow import (
    CALLS,
    LOOPS,
    passed_on,
    rewrite_call,
    rewrite_loop,
)
from fastload.runtime.functions.inlining import called_by, has_state, nodes_of, reached
from fastload.runtime.functions.weight_readers import Handles, Weight, read_weight


def with_weights_as_arguments(graph: Any, weights: Mapping[str, Weight]) -> Any:
    """Return *graph* with tensors in place of variables.

    Args:
        graph: a `GraphDef` with functional control flow; it is changed.
        weights: what comes in place of placeholders, by their names.

    Raises:
        NotFlatError: it does more with a variable than to read it, or has state of another kind.
    """
    library = _Library(graph)
    handles = {(name, 0): weight for name, weight in weights.items()}
    scope = _Scope(nodes=list(graph.node), handles=handles, library=library, output="")
    scope.rewrite()
    graph.node.extend(scope.added)
    for node in graph.node:
        if node.name in weights:
            _make_placeholder(node, weights[node.name])
    library.keep_reached(graph)
    _require_stateless(graph)
    return graph


def _make_placeholder(node: Any, weight: Weight) -> None:
    node.attr.clear()
    node.attr["dtype"].type = weight.dtype
    node.attr["shape"].shape.CopyFrom(weight.shape_message())


@dataclass(kw_only=True)
class _Scope:
    """The nodes of a graph or of a function, and which of their tensors are handles.

    A tensor is named by its node (or the function's argument) and its place among the outputs.

    Attributes:
        nodes: the nodes.
        handles: what comes in place of tensors; it grows.
        library: the functions that the nodes call.
        output: what a reference to the first output of a new constant ends in.
        added: nodes that are to be added.
        renamed: nodes whose output has another name now; only functions name outputs.
    """

    nodes: list[Any]
    handles: dict[tuple[str, int], Weight]
    library: _Library
    output: str
    added: list[Any] = field(default_factory=list)
    renamed: set[str] = field(default_factory=set)

    def find(self) -> None:
        """Follow the handles through all nodes that only pass them on."""
        size = -1
        while size != len(self.handles):
            size = len(self.handles)
            for node in self.nodes:
                if given := self.given(node):
                    for index, weight in passed_on(node, given, self.library.returned).items():
                        self.handles[node.name, index] = weight

    def rewrite(self) -> None:
        """Have every node work with tensors where it had handles."""
        self.find()
        for node in self.nodes:
            if given := self.given(node):
                self._rewrite_node(node, given)

    def _rewrite_node(self, node: Any, given: Handles) -> None:
        if node.op in CALLS:
            results = passed_on(node, given, self.library.returned)
            rewrite_call(node, given, results, self.library.copy)
        elif node.op in LOOPS:
            rewrite_loop(node, given, self.library.copy)
        else:
            if node.op == "ReadVariableOp":
                self.renamed.add(node.name)
            self.added += read_weight(node, given, self.output)

    def given(self, node: Any) -> Handles:
        """Return which inputs of *node* are handles."""
        return {
            index: self.handles[_tensor(reference)]
            for index, reference in enumerate(node.input)
            if _tensor(reference) in self.handles
        }

    def reference(self, reference: str) -> str:
        """Return *reference* as it is after outputs were renamed."""
        node, _, rest = reference.partition(":")
        if node in self.renamed and rest.startswith("value:"):
            return f"{node}:output:{rest.removeprefix('value:')}"
        return reference


def _tensor(reference: str) -> tuple[str, int]:
    """Return node and place of an input: `node:1` in a graph, `node:output:1` in a function.

    Example:
        >>> _tensor("loop:output:2"), _tensor("x")
        (('loop', 2), ('x', 0))
    """
    parts = reference.split(":")
    return parts[0], int(parts[-1]) if len(parts) > 1 else 0


#: A function, and what comes in place of its arguments by position.
_Key = tuple[str, tuple[tuple[int, Weight], ...]]


def _key(name: str, given: Handles) -> _Key:
    return name, tuple((index, given[index]) for index in sorted(given))


class _Library:
    """The functions of a graph, with copies of those that are handed weights."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._functions = {each.signature.name: each for each in graph.library.function}
        self._copies: dict[_Key, str] = {}
        self._results: dict[_Key, Handles] = {}

    def returned(self, name: str, given: Handles) -> Handles:
        """Return which results of a function are handles, given which arguments are."""
        key = _key(name, given)
        if key not in self._results:
            function = self._function(name)
            scope = self._scope(function, given)
            scope.find()
            self._results[key] = {
                index: scope.handles[tensor]
                for index, result in enumerate(function.signature.output_arg)
                if (tensor := _tensor(function.ret[result.name])) in scope.handles
            }
        return self._results[key]

    def copy(self, name: str, given: Handles) -> str:
        """Return the name of a copy of a function that takes weights for handles."""
        key = _key(name, given)
        if key not in self._copies:
            self._copies[key] = f"{name}_flat_{len(self._copies)}"
            self._make(self._copies[key], self._function(name), given)
        return self._copies[key]

    def _make(self, new: str, original: Any, given: Handles) -> None:
        results = self.returned(original.signature.name, given)
        function = self._graph.library.function.add()
        function.CopyFrom(original)
        function.signature.name = new
        _reshape(function, given)
        scope = self._scope(function, given)
        scope.rewrite()
        function.node_def.extend(scope.added)
        for node in function.node_def:
            node.input[:] = [scope.reference(each) for each in node.input]
        for result in function.signature.output_arg:
            function.ret[result.name] = scope.reference(function.ret[result.name])
        for arguments, found in (
            (function.signature.input_arg, given),
            (function.signature.output_arg, results),
        ):
            for index, weight in found.items():
                arguments[index].type = weight.dtype
                del arguments[index].handle_data[:]
        self._functions[new] = function

    def _scope(self, function: Any, given: Handles) -> _Scope:
        arguments = function.signature.input_arg
        handles = {(arguments[index].name, 0): weight for index, weight in given.items()}
        return _Scope(
            nodes=list(function.node_def), handles=handles, library=self, output=":output:0"
        )

    def _function(self, name: str) -> Any:
        if name not in self._functions:
            raise NotFlatError(f"it calls {name!r}, which is not there")
        return self._functions[name]

    def keep_reached(self, graph: Any) -> None:
        """Remove the functions that nothing calls any more."""
        called = [name for node in graph.node for name in called_by(node)]
        found = reached(self._functions.__getitem__, self._functions, called)
        kept = {function.signature.name for function in found}
        functions = [self._functions[name] for name in self._functions if name in kept]
        del graph.library.gradient[:]
        copies = [type(each).FromString(each.SerializeToString()) for each in functions]
        del graph.library.function[:]
        graph.library.function.extend(copies)


def _reshape(function: Any, given: Handles) -> None:
    """Say which shapes arguments have that were handles; it decides how TensorFlow optimizes."""
    for index, weight in given.items():
        attributes = function.arg_attr[index].attr
        for name in ("_handle_dtypes", "_handle_shapes"):
            attributes.pop(name, None)
        del attributes["_output_shapes"].list.shape[:]
        attributes["_output_shapes"].list.shape.append(weight.shape_message())
    function.attr.pop("_input_shapes", None)


#: Operations that TensorFlow calls stateful because a function that they call may be, and `Assert`,
#: which is run for its error alone and stays in the graph.
_ALLOWED: Final = frozenset({*CALLS, *LOOPS, "Placeholder", "Assert"})
#: Without state to TensorFlow, which computes it in advance, once for all loads in a process.
_OF_PYTHON: Final = "PyFuncStateless"


def _require_stateless(graph: Any) -> None:
    for operation in sorted({node.op for node in nodes_of(graph)} - _ALLOWED):
        if has_state(operation) or operation == _OF_PYTHON:
            raise NotFlatError(f"it uses {operation}, which has state or an effect")
