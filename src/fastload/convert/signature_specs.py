"""The inputs and outputs of a SavedModel's signatures, read from its object graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fastload.runtime.saved_model.session_graph import spec_of
from fastload.signature import DEFAULT_SIGNATURE, Signature, TensorSpec, map_structure

#: The names of the function that a Keras model's signature was made from: in Keras 2, and in
#: exports of Keras 3.
_KERAS2_CALL: Final = "__call__"
_KERAS3_CALL: Final = "serve"
#: Signatures that are made from it; others may be made from anything.
_OF_THE_CALL: Final = frozenset({DEFAULT_SIGNATURE, _KERAS3_CALL})
#: A child of the root of exports of Keras 3.
_KERAS3_MARK: Final = "_misc_assets"


def signature_specs(graph: Any, config: Mapping[str, Any] | None = None) -> dict[str, Signature]:
    """Return each signature by name.

    Args:
        graph: a `SavedObjectGraph` message. A signature takes tensors by name only and returns a
            mapping; see `signature_serialization.py` in TensorFlow.
        config: the configuration of the Keras model, if it is one.
    """
    calls = list(_call_signatures(graph))
    found = {}
    for name, function in signature_functions(graph):
        arguments = function.canonicalized_input_signature.tuple_value.values
        inputs = _specs(arguments[1].dict_value.fields) if len(arguments) > 1 else {}
        outputs = _specs(function.output_signature.dict_value.fields)
        of_call = calls if name in _OF_THE_CALL else []
        found[name] = Signature(
            name=name,
            inputs=inputs,
            outputs=outputs,
            order=_order(config, [first for first, _ in of_call], inputs),
            structure=_structure(config, of_call[0][1] if of_call else None, outputs),
        )
    return found


def signature_functions(graph: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and `SavedConcreteFunction` of each signature."""
    for name, node in signature_nodes(graph):
        function = graph.nodes[node].bare_concrete_function.concrete_function_name
        if function in graph.concrete_functions:
            yield name, graph.concrete_functions[function]


def signature_nodes(graph: Any) -> Iterator[tuple[str, int]]:
    """Yield name and node id of each signature."""
    for child in graph.nodes[0].children:
        if child.local_name == "signatures":
            signatures = graph.nodes[child.node_id].children
            yield from ((each.local_name, each.node_id) for each in signatures)


def _specs(fields: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {
        name: spec_of(name, value.tensor_spec_value.dtype, value.tensor_spec_value.shape)
        for name, value in sorted(fields.items())
        if value.WhichOneof("kind") == "tensor_spec_value"
    }


def _order(
    config: Mapping[str, Any] | None, calls: Sequence[Any], specs: Mapping[str, TensorSpec]
) -> tuple[str, ...] | None:
    """Return the names of *specs* in the order of the model's first argument, if that is known."""
    for call in calls or [None]:
        found = _matching(_orders(config, "input_layers", call, specs), specs)
        if found is not None:
            return found
    return None


def _call_signatures(graph: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the first argument and the result of a Keras model's calls as nests of tensor names.

    Not each trace names the tensors as the signature does.
    """
    root = graph.nodes[0]
    children = {child.local_name: child.node_id for child in root.children}
    is_keras2 = root.user_object.identifier.startswith("_tf_keras_")
    name = _KERAS2_CALL if is_keras2 else _KERAS3_CALL
    if name not in children or not (is_keras2 or _KERAS3_MARK in children):
        return
    for function in graph.nodes[children[name]].function.concrete_functions:
        concrete = graph.concrete_functions[function]
        arguments = _nest(concrete.canonicalized_input_signature)
        first = arguments[0][0] if arguments and arguments[0] else ""
        yield first, _nest(concrete.output_signature)


def _nest(value: Any) -> Any:
    """Return a `StructuredValue` as lists, tuples and dicts with the names of its tensors."""
    kind = value.WhichOneof("kind")
    if kind == "list_value":
        return [_nest(each) for each in value.list_value.values]
    if kind == "tuple_value":
        return tuple(_nest(each) for each in value.tuple_value.values)
    if kind == "dict_value":
        return {key: _nest(each) for key, each in sorted(value.dict_value.fields.items())}
    return str(value.tensor_spec_value.name) if kind == "tensor_spec_value" else ""


def _structure(
    config: Mapping[str, Any] | None, call: Any, outputs: Mapping[str, TensorSpec]
) -> Any:
    """Return the model's own structure of its outputs, with their names as leaves."""
    names = _matching(_orders(config, "output_layers", call, outputs), outputs)
    if names is None or call is None:
        return None
    following = iter(names)
    return map_structure(lambda _: next(following), call)


def _matching(
    orders: Iterator[Sequence[str]], specs: Mapping[str, TensorSpec]
) -> tuple[str, ...] | None:
    """Return the first of *orders* that contains each name of *specs* once."""
    for order in orders:
        if len(order) == len(specs) and set(order) == specs.keys():
            return tuple(order)
    return None


def _orders(
    config: Mapping[str, Any] | None, layers: str, call: Any, specs: Mapping[str, TensorSpec]
) -> Iterator[Sequence[str]]:
    """Yield the names that Keras may have given to the tensors of *call*, in its order.

    A functional model names them after its layers, numbered to be unique; any other model, and
    Keras 3, after their keys or numbers in the structure.
    """
    if config is not None and layers in config:
        yield _unique(_layer_names(config[layers]))
    if call is None:
        return
    leaves = list(_leaves(call, ()))
    count = len(leaves)
    if count == 1:
        yield list(specs)
    yield [name for _, name in leaves]
    yield ["_".join(path) for path, _ in leaves]
    stem = "input" if layers == "input_layers" else "output"
    yield [f"{stem}_{number}" for number in range(1, count + 1)]
    yield [f"{stem}_{number}" for number in range(count)]


def _layer_names(nest: Any) -> list[str]:
    """Return the names in a nest of `[layer, node, tensor]`.

    Example:
        >>> _layer_names([["a", 0, 0], ["b", 0, 1]]), _layer_names({"k": ["a", 0, 0]})
        (['a', 'b'], ['a'])
    """
    if isinstance(nest, Mapping):
        return [name for _, value in sorted(nest.items()) for name in _layer_names(value)]
    if len(nest) >= 3 and isinstance(nest[0], str) and isinstance(nest[1], int):  # noqa: PLR2004 - as said above
        return [nest[0]]
    return [
        name
        for value in nest
        if isinstance(value, (list, tuple, Mapping))
        for name in _layer_names(value)
    ]


def _unique(names: Sequence[str]) -> list[str]:
    """Number repeated names, as Keras's `_set_output_names` does.

    Example:
        >>> _unique(["a", "a", "b", "a"])
        ['a', 'a_1', 'b', 'a_2']
    """
    counts: dict[str, int] = {}
    found = []
    for name in names:
        count = counts.get(name, 0)
        found.append(f"{name}_{count}" if count else name)
        counts[name] = count + 1
    return found


def _leaves(nest: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield path and name of each leaf."""
    if isinstance(nest, dict):
        for key, value in nest.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(nest, (list, tuple)):
        for index, value in enumerate(nest, 1):
            yield from _leaves(value, (*path, f"{index}"))
    else:
        yield path, nest
