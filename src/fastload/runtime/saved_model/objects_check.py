"""Whether the objects of a SavedModel could be made: a stock load makes all, a twin few.

Nothing is made: what each node refers to is looked for where the loader would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from fastload.errors import UnconvertibleModelError, UnsupportedRuntimeError
from fastload.runtime.requirements import OBJECTS
from fastload.runtime.saved_model.object_paths import KERAS_API, children

#: What Keras goes through of each layer, and what these are called that can be gone through.
_GONE_THROUGH: Final = ("layer_metrics", "layer_regularization_losses")
_TRACKED: Final = frozenset(f"trackable_{kind}_wrapper" for kind in ("dict", "list", "tuple"))
#: What a function can capture.
_CAPTURABLE: Final = frozenset({"variable", "asset", "constant", "captured_tensor", "resource"})


def require_objects(graph: Any, functions: Mapping[str, Any]) -> None:
    """Check that TensorFlow could make every object of a SavedModel.

    Args:
        graph: its `SavedObjectGraph`.
        functions: signatures of its functions (`OpDef`) by name.

    Raises:
        UnconvertibleModelError: an object refers to something that is not there, or is no such
            thing.
        UnsupportedRuntimeError: TensorFlow cannot read what a function takes and returns.
    """
    _require_names(graph, functions)
    if not all(each.WhichOneof("kind") for each in graph.nodes):
        raise _damaged("an object is of no kind")
    count = len(graph.nodes)
    if any(not 0 <= each < count for each in _references(graph)):
        raise _damaged("an object refers to one that is not there")
    if not all(map(_can_be_gone_through, _of_layers(graph))):
        raise _damaged("metrics or losses of a layer are something else")
    for name, function in graph.concrete_functions.items():
        captures = function.bound_inputs
        if len(captures) > len(functions[name].input_arg):
            raise _damaged(f"{name!r} captures more than it takes")
        if not all(_is_capturable(graph.nodes[each]) for each in captures):
            raise _damaged(f"{name!r} captures what is not a tensor")
    _require_specs(graph)


def _require_names(graph: Any, functions: Mapping[str, Any]) -> None:
    for name in graph.concrete_functions:
        if name not in functions:
            raise _damaged(f"it has no {name!r}")
    for name in _called(graph):
        if name not in graph.concrete_functions:
            raise _damaged(f"it does not say what {name!r} captures")


def _damaged(reason: str) -> UnconvertibleModelError:
    return UnconvertibleModelError(f"saved_model.pb is damaged: {reason}")


def _called(graph: Any) -> Iterator[str]:
    """Yield the names of functions that objects have."""
    for node in graph.nodes:
        yield from node.function.concrete_functions
        if node.HasField("bare_concrete_function"):
            yield node.bare_concrete_function.concrete_function_name


def _references(graph: Any) -> Iterator[int]:
    """Yield the numbers of nodes to which others refer."""
    for node in graph.nodes:
        yield from (each.node_id for each in node.children)
        yield from (each.node_id for each in node.dependencies)
        for slot in node.slot_variables:
            yield slot.original_variable_node_id
            yield slot.slot_variable_node_id
    for function in graph.concrete_functions.values():
        yield from function.bound_inputs


def _of_layers(graph: Any) -> Iterator[Any]:
    """Yield the nodes of what Keras goes through: the metrics and losses of each layer."""
    for node in graph.nodes:
        for child in node.children:
            if child.local_name == KERAS_API:
                found = children(graph, child.node_id)
                yield from (graph.nodes[found[name]] for name in _GONE_THROUGH if name in found)


def _can_be_gone_through(node: Any) -> bool:
    return node.user_object.identifier in _TRACKED


def _is_capturable(node: Any) -> bool:
    return node.WhichOneof("kind") in _CAPTURABLE or bool(node.registered_name)


def _require_specs(graph: Any) -> None:
    loader = OBJECTS.part("functions")
    # Most functions have one of a few: a spec has no name in it.
    _require_readable(
        loader._deserialize_function_spec_as_nonmethod,
        _function_specs(graph),
    )
    decode = getattr(loader.nested_structure_coder, "decode_proto", None)
    if decode is not None:  # TensorFlow 2.10 and later
        functions = graph.concrete_functions.values()
        _require_readable(decode, (each.output_signature for each in functions))
        for found in _require_readable(
            decode, (each.canonicalized_input_signature for each in functions)
        ):
            if not _is_canonical(found):
                raise _damaged("a function does not say what it takes")


def _function_specs(graph: Any) -> Iterator[Any]:
    for node in graph.nodes:
        if node.HasField("function"):
            yield node.function.function_spec
        if node.HasField("bare_concrete_function"):  # signatures
            bare = node.bare_concrete_function
            if hasattr(bare, "function_spec") and bare.HasField("function_spec"):
                yield bare.function_spec


def _is_canonical(arguments: Any) -> bool:
    """Say whether *arguments* are positional and named ones."""
    kinds = [type(each) for each in arguments] if isinstance(arguments, tuple) else []
    return kinds == [tuple, dict]


def _require_readable(read: Callable[[Any], Any], specs: Iterable[Any]) -> list[Any]:
    """Check that TensorFlow can *read* what its loader reads of all functions; return that."""
    distinct = {each.SerializeToString(deterministic=True): each for each in specs}
    try:
        return [read(each) for each in distinct.values()]
    except Exception as error:
        reason = f"the arguments of a function cannot be read: {error}"
        raise UnsupportedRuntimeError(reason) from error
