"""Turn the variables that a graph captures into plain tensor arguments.

A graph reads a variable through its handle, a resource. Where it does nothing else with the handle,
the weight itself can come in its place: no variable has to be made, and the weight never becomes a
constant. Handles go through loops, branches and calls, so the functions that are handed one are
copied for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fastload.runtime.inlining import called_by, function_names, nodes_of
from fastload.runtime.tensorflow import import_module, tensorflow
from fastload.runtime.transplant import require

#: dtypes (numbers of `types.proto`) of the variables behind some of a list of tensors, by position.
Handles = Mapping[int, int]


class NotFlatError(Exception):
    """The graph needs real variables, or other state; the message says what for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """What comes in place of a handle.

    Attributes:
        dtype: number of its dtype.
        shape: its shape.
    """

    dtype: int
    shape: tuple[int, ...]


def with_weights_as_arguments(graph: Any, weights: Mapping[str, Weight]) -> Any:
    """Return *graph* with tensors in place of variables.

    Args:
        graph: a `GraphDef` with functional control flow; it is changed.
        weights: what comes in place of placeholders, by their names.

    Raises:
        NotFlatError: it does more with a variable than to read it, or has state of another kind.
    """
    library = _Library(graph)
    handles = {(name, 0): weight.dtype for name, weight in weights.items()}
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
    node.attr["shape"].shape.SetInParent()
    for size in weight.shape:
        node.attr["shape"].shape.dim.add(size=size)


@dataclass(kw_only=True)
class _Scope:
    """The nodes of a graph or of a function, and which of their tensors are handles.

    A tensor is named by its node (or the function's argument) and its place among the outputs.

    Attributes:
        nodes: the nodes.
        handles: dtypes of the variables behind tensors; it grows.
        library: the functions that the nodes call.
        output: what a reference to the first output of a new constant ends in.
        added: nodes that are to be added.
        renamed: nodes whose output has another name now; only functions name outputs.
    """

    nodes: list[Any]
    handles: dict[tuple[str, int], int]
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
                    for index, dtype in _passed_on(node, given, self.library).items():
                        self.handles[node.name, index] = dtype

    def rewrite(self) -> None:
        """Have every node work with tensors where it had handles."""
        self.find()
        for node in self.nodes:
            if given := self.given(node):
                _rewriter(node)(node, given, self)

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


class _Library:
    """The functions of a graph, with copies of those that are handed weights."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._functions = {each.signature.name: each for each in graph.library.function}
        self._copies: dict[tuple[str, tuple[tuple[int, int], ...]], str] = {}

    def returned(self, name: str, given: Handles) -> Handles:
        """Return which results of a function are handles, given which arguments are."""
        function = self._function(name)
        scope = self._scope(function, given)
        scope.find()
        return {
            index: scope.handles[tensor]
            for index, result in enumerate(function.signature.output_arg)
            if (tensor := _tensor(function.ret[result.name])) in scope.handles
        }

    def copy(self, name: str, given: Handles) -> str:
        """Return the name of a copy of a function that takes weights for handles."""
        key = (name, tuple(sorted(given.items())))
        if key not in self._copies:
            self._copies[key] = f"{name}_flat_{len(self._copies)}"
            self._make(self._copies[key], self._function(name), given)
        return self._copies[key]

    def _make(self, new: str, original: Any, given: Handles) -> None:
        results = self.returned(original.signature.name, given)
        function = self._graph.library.function.add()
        function.CopyFrom(original)
        function.signature.name = new
        _drop_shapes(function, given)
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
            for index, dtype in found.items():
                arguments[index].type = dtype
                del arguments[index].handle_data[:]
        self._functions[new] = function

    def _scope(self, function: Any, given: Handles) -> _Scope:
        arguments = function.signature.input_arg
        handles = {(arguments[index].name, 0): dtype for index, dtype in given.items()}
        return _Scope(
            nodes=list(function.node_def), handles=handles, library=self, output=":output:0"
        )

    def _function(self, name: str) -> Any:
        if name not in self._functions:
            raise NotFlatError(f"it calls {name!r}, which is not there")
        return self._functions[name]

    def keep_reached(self, graph: Any) -> None:
        """Remove the functions that nothing calls any more."""
        kept: set[str] = set()
        waiting = [name for node in graph.node for name in called_by(node)]
        while waiting:
            name = waiting.pop()
            if name in self._functions and name not in kept:
                kept.add(name)
                nodes = self._functions[name].node_def
                waiting += [called for node in nodes for called in called_by(node)]
        functions = [self._functions[name] for name in self._functions if name in kept]
        del graph.library.gradient[:]
        copies = [type(each).FromString(each.SerializeToString()) for each in functions]
        del graph.library.function[:]
        graph.library.function.extend(copies)


def _drop_shapes(function: Any, given: Handles) -> None:
    """Forget the shapes that were inferred where handles, which are scalars, came in."""
    for index in given:
        if index in function.arg_attr:
            function.arg_attr[index].attr.pop("_output_shapes", None)
            function.arg_attr[index].attr.pop("_handle_dtypes", None)
            function.arg_attr[index].attr.pop("_handle_shapes", None)
    function.attr.pop("_input_shapes", None)


#: Functions of an operation that pass arguments on to a function, by where the arguments begin.
_CALLS: Final = {
    "PartitionedCall": (0, ("f",)),
    "StatefulPartitionedCall": (0, ("f",)),
    "If": (1, ("then_branch", "else_branch")),
    "StatelessIf": (1, ("then_branch", "else_branch")),
    "Case": (1, ("branches",)),
    "StatelessCase": (1, ("branches",)),
}
_LOOPS: Final = frozenset({"While", "StatelessWhile"})


def _passed_on(node: Any, given: Handles, library: _Library) -> Handles:
    """Return which outputs of *node* are the handles that it is given."""
    if node.op in _LOOPS:
        return given
    if node.op == "Identity":
        return {0: given[0]}
    if node.op in _CALLS:
        start, attributes = _CALLS[node.op]
        arguments = {index - start: dtype for index, dtype in given.items()}
        found = [
            library.returned(name, arguments)
            for attribute in attributes
            for name in _names(node.attr[attribute])
        ]
        if any(each != found[0] for each in found):
            raise NotFlatError(f"the branches of {node.name!r} give different variables")
        return found[0] if found else {}
    return {}


def _names(attribute: Any) -> list[str]:
    if attribute.WhichOneof("value") == "func":
        return [attribute.func.name]
    return [function.name for function in attribute.list.func]


def _rewriter(node: Any) -> Callable[[Any, Handles, _Scope], None]:
    if node.op in _CALLS:
        return _rewrite_call
    if node.op in _LOOPS:
        return _rewrite_loop
    if node.op not in _REWRITERS:
        raise NotFlatError(f"{node.op} needs a variable")
    return _REWRITERS[node.op]


def _rewrite_call(node: Any, given: Handles, scope: _Scope) -> None:
    start, attributes = _CALLS[node.op]
    results = _passed_on(node, given, scope.library)
    arguments = {index - start: dtype for index, dtype in given.items()}
    if min(arguments) < 0:
        raise NotFlatError(f"{node.op} takes a variable for a condition")
    for attribute in attributes:
        _rename(node.attr[attribute], lambda name: scope.library.copy(name, arguments))
    _retype(node.attr["Tin"], arguments)
    _retype(node.attr["Tout"], results)
    _forget(node, results)


def _rewrite_loop(node: Any, given: Handles, scope: _Scope) -> None:
    for attribute in ("cond", "body"):
        _rename(node.attr[attribute], lambda name: scope.library.copy(name, given))
    _retype(node.attr["T"], given)
    _forget(node, given)


def _rename(attribute: Any, rename: Callable[[str], str]) -> None:
    for named in function_names(attribute):
        named.name = rename(named.name)


def _retype(attribute: Any, found: Handles) -> None:
    for index, dtype in found.items():
        attribute.list.type[index] = dtype


def _forget(node: Any, outputs: Handles) -> None:
    """Forget the shapes of *outputs*, which were those of handles."""
    for name in ("_output_shapes", "_handle_dtypes", "_handle_shapes"):
        node.attr.pop(name, None)
    shapes = node.attr["output_shapes"].list.shape if "output_shapes" in node.attr else ()
    for index in outputs:
        if index < len(shapes):
            shapes[index].Clear()
            shapes[index].unknown_rank = True


def _rewrite_identity(node: Any, given: Handles, _: _Scope) -> None:
    node.attr.clear()  # the class too: it says to stay beside a handle
    node.attr["T"].type = given[0]


def _rewrite_read(node: Any, given: Handles, scope: _Scope) -> None:
    node.op = "Identity"
    scope.renamed.add(node.name)
    _rewrite_identity(node, given, scope)


def _rewrite_shape(node: Any, given: Handles, _: _Scope) -> None:
    node.op = "Shape"
    node.attr["T"].type = given[0]


def _rewrite_gather(node: Any, given: Handles, scope: _Scope) -> None:
    """Gather rows of a tensor as `ResourceGather` gathers those of a variable."""
    if set(given) != {0}:
        raise NotFlatError("ResourceGather takes a variable for indices")
    dimensions = node.attr["batch_dims"].i
    indices = node.attr["Tindices"].type
    axis = type(node)(name=f"{node.name}/fastload_axis", op="Const")
    tf = tensorflow()
    axis.attr["dtype"].type = tf.int32.as_datatype_enum
    axis.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(dimensions, tf.int32))
    scope.added.append(axis)
    control = [each for each in node.input if each.startswith("^")]
    data = [each for each in node.input if not each.startswith("^")]
    node.op = "GatherV2"
    node.input[:] = [*data, f"{axis.name}{scope.output}", *control]
    node.attr.clear()
    node.attr["Tparams"].type = given[0]
    node.attr["Tindices"].type = indices
    node.attr["Taxis"].type = tf.int32.as_datatype_enum
    node.attr["batch_dims"].i = dimensions


_REWRITERS: Final[Mapping[str, Callable[[Any, Handles, _Scope], None]]] = {
    "Identity": _rewrite_identity,
    "ReadVariableOp": _rewrite_read,
    "VariableShape": _rewrite_shape,
    "ResourceGather": _rewrite_gather,
}
#: Operations that TensorFlow calls stateful because a function that they call may be.
_MAY_BE_STATEFUL: Final = frozenset({*_CALLS, *_LOOPS, "Placeholder"})


def _require_stateless(graph: Any) -> None:
    for operation in sorted({node.op for node in nodes_of(graph)} - _MAY_BE_STATEFUL):
        if _is_stateful(operation):
            raise NotFlatError(f"it uses {operation}, which has state or an effect")


@functools.cache
def _is_stateful(operation: str) -> bool:
    registry = import_module("tensorflow.python.framework.op_def_registry")
    require(registry, ["get"])
    definition = registry.get(operation)
    return definition is None or bool(definition.is_stateful)
