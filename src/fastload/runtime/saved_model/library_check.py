"""Whether what a SavedModel holds could be made: a stock load makes all functions, a twin few.

No graph is made of any function: each name in it is looked for where the loader would.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from typing import Any, Final

from fastload.errors import UnconvertibleModelError, UnsupportedRuntimeError
from fastload.runtime.requirements import OBJECTS
from fastload.runtime.saved_model.objects_check import require_objects


def require_loadable(meta_graph: Any) -> None:
    """Check that TensorFlow could make every function and every object of a SavedModel.

    Args:
        meta_graph: its `MetaGraphDef`.

    Raises:
        UnconvertibleModelError: a function uses a name that nothing has, as damaged files do.
        UnsupportedRuntimeError: an operation is not the one that this TensorFlow has.
    """
    library = meta_graph.graph_def.library
    functions = {each.signature.name: each.signature for each in library.function}
    _require_order(library, functions)
    require_objects(meta_graph.object_graph_def, functions)
    signature = functools.cache(functools.partial(_signature, functions))
    for function in library.function:
        for name in _missing(function, functions, signature):
            raise UnconvertibleModelError(
                f"saved_model.pb is damaged: {function.signature.name!r} has no {name!r}"
            )


def _require_order(library: Any, names: Collection[str]) -> None:
    """Check that functions can be made one after the other, each after those that it calls."""
    loader = OBJECTS.part("functions")
    gradients = {
        each.registered_op_type.encode(): each.gradient_func
        for each in library.registered_gradients
    }
    called = {
        each.signature.name: loader._list_function_deps(each, names, gradients)
        for each in library.function
    }
    if len(names) < len(library.function):
        raise UnconvertibleModelError("saved_model.pb is damaged: two functions have one name")
    try:
        loader._sort_function_defs(library, called)
    except Exception as error:
        reason = f"saved_model.pb is damaged: its functions have no order: {error}"
        raise UnconvertibleModelError(reason) from error


#: What the loader takes the first of, for each argument.
_SHAPES: Final = "_output_shapes"
#: An attribute of the function's caller.
_LATER: Final = "placeholder"
#: Where the value of an attribute is, by the attribute's type; all others are lists.
_FIELDS: Final = {
    **{name: name[0] for name in ("int", "float", "bool", "string")},
    **{name: name for name in ("type", "shape", "tensor", "func")},
}


class _Operation:
    """What nodes of one operation, or calls of one function, have: outputs and attributes."""

    def __init__(self, definition: Any) -> None:
        self.outputs = frozenset(each.name for each in definition.output_arg)
        self.attributes = {
            each.name: _FIELDS.get(each.type, "list")
            for each in definition.attr
            if not each.HasField("default_value")
        }


def _signature(functions: Any, name: str) -> _Operation:
    found = functions.get(name) or OBJECTS.part("op_def_registry").get(name)
    if found is None:
        raise UnsupportedRuntimeError(f"TensorFlow has no operation {name!r} here")
    return _Operation(found)


def _missing(function: Any, functions: Collection[str], signature: Any) -> Iterator[str]:
    """Yield the names in *function* that stand for nothing."""
    arguments = {each.name for each in function.signature.input_arg}
    yield from _missing_of_arguments(function)
    nodes = {node.name: signature(node.op) for node in function.node_def}
    if "" in nodes:
        yield ""
    if len(nodes) < len(function.node_def) or not arguments.isdisjoint(nodes):
        yield "node of its own for each name"
    for node in function.node_def:
        operation = nodes[node.name]
        yield from (each for each in node.input if not _is_output(each, arguments, nodes))
        yield from _missing_attributes(operation, node.attr)
        for value in node.attr.values():
            if value.HasField("func") and value.func.name not in functions:
                yield value.func.name
    for output in function.signature.output_arg:
        if not _is_output(function.ret[output.name], arguments, nodes):
            yield output.name
    controls = (function.control_ret[each] for each in function.signature.control_output)
    yield from (each for each in controls if each not in nodes)


def _missing_of_arguments(function: Any) -> Iterator[str]:
    yield from (each.name for each in function.signature.input_arg if not _has_type(each))
    for told in function.arg_attr.values():
        if _SHAPES in told.attr and not told.attr[_SHAPES].list.shape:
            yield _SHAPES


def _has_type(argument: Any) -> bool:
    known = argument.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number
    return bool(argument.type_attr or argument.type_list_attr) or argument.type in set(known) - {0}


def _missing_attributes(operation: _Operation, attributes: Any) -> Iterator[str]:
    for name, field in operation.attributes.items():
        if name not in attributes or attributes[name].WhichOneof("value") not in (field, _LATER):
            yield name


def _is_output(name: str, arguments: Collection[str], nodes: Any) -> bool:
    """Say whether *name* stands for an argument, a node (`^node`) or its output (`node:z:0`)."""
    if name.startswith("^"):
        return name[1:] in nodes or name[1:] in arguments
    owner, _, output = name.partition(":")
    if not output:
        return owner in arguments
    output_name, _, index = output.partition(":")
    return owner in nodes and output_name in nodes[owner].outputs and index.isdecimal()
