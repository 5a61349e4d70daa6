"""How handles of variables go through loops, branches and calls, and weights in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from fastload.runtime.functions.flat_function import NotFlatError
from fastload.runtime.functions.inlining import function_names
from fastload.runtime.functions.weight_readers import Handles

#: Functions of an operation that pass arguments on to a function, by where the arguments begin.
CALLS: Final = {
    "PartitionedCall": (0, ("f",)),
    "StatefulPartitionedCall": (0, ("f",)),
    "If": (1, ("then_branch", "else_branch")),
    "StatelessIf": (1, ("then_branch", "else_branch")),
    "Case": (1, ("branches",)),
    "StatelessCase": (1, ("branches",)),
}
LOOPS: Final = frozenset({"While", "StatelessWhile"})


def passed_on(node: Any, given: Handles, returned: Callable[[str, Handles], Handles]) -> Handles:
    """Return which outputs of *node* are handles.

    Args:
        node: a `NodeDef`.
        given: which of its inputs are.
        returned: says which results of a function are handles, given which arguments are.
    """
    if node.op in LOOPS:
        return given
    if node.op == "Identity":
        return {0: given[0]}
    if node.op in CALLS:
        start, attributes = CALLS[node.op]
        arguments = {index - start: weight for index, weight in given.items()}
        found = [
            returned(function.name, arguments)
            for attribute in attributes
            for function in function_names(node.attr[attribute])
        ]
        if any(each != found[0] for each in found):
            raise NotFlatError(f"the branches of {node.name!r} give different variables")
        return found[0] if found else {}
    return {}


def rewrite_call(
    node: Any, given: Handles, results: Handles, copy: Callable[[str, Handles], str]
) -> None:
    """Have *node*, a call or a branch, pass weights where it passed handles.

    Args:
        node: a `NodeDef`; it is changed.
        given: which of its inputs were handles.
        results: which of its outputs were.
        copy: returns the name of a copy of a function that takes weights for these handles.
    """
    start, attributes = CALLS[node.op]
    arguments = {index - start: weight for index, weight in given.items()}
    if min(arguments) < 0:
        raise NotFlatError(f"{node.op} takes a variable for a condition")
    _rename(node, attributes, arguments, copy)
    _retype(node.attr["Tin"], arguments)
    _retype(node.attr["Tout"], results)
    _reshape(node, results)


def rewrite_loop(node: Any, given: Handles, copy: Callable[[str, Handles], str]) -> None:
    """Have *node*, a loop, carry weights where it carried handles; see `rewrite_call`."""
    _rename(node, ("cond", "body"), given, copy)
    _retype(node.attr["T"], given)
    _reshape(node, given)


def _rename(
    node: Any, attributes: Iterable[str], given: Handles, copy: Callable[[str, Handles], str]
) -> None:
    for attribute in attributes:
        for called in function_names(node.attr[attribute]):
            called.name = copy(called.name, given)


def _retype(attribute: Any, found: Handles) -> None:
    for index, weight in found.items():
        attribute.list.type[index] = weight.dtype


def _reshape(node: Any, outputs: Handles) -> None:
    """Say which shapes *outputs* have, which were handles."""
    for name in ("_output_shapes", "_handle_dtypes", "_handle_shapes"):
        node.attr.pop(name, None)
    shapes = node.attr["output_shapes"].list.shape if "output_shapes" in node.attr else ()
    for index, weight in outputs.items():
        if index < len(shapes):
            shapes[index].CopyFrom(weight.shape_message())
